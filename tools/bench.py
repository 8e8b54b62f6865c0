"""`make bench`: our loop against others, in turns: one epoch, and the time to a given quality.

    python tools/bench.py                print both tables (a quarter of an hour)
    python tools/bench.py --record       and write them to book/3-building/bench.json for the chapter
    python tools/bench.py --epoch        only the first table (four minutes)

Network 784-400-20-400-784, Adam, MNIST's 60,000 training images. The row of the matrix products alone is a
limit that no loop on this machine can beat. The DataLoader loop reads torchvision's own MNIST, which
requirements-bench.txt asks for. A row for pythae's trainer is there if it is installed (`pip install
pythae==0.1.2`). Nothing else needs either.
"""

import gzip
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

import vae_lib as vl

Runs = dict[str, list[tuple[float, Any]]]

RECORD = Path(__file__).resolve().parent.parent / "book" / "3-building" / "bench.json"
# An epoch takes seconds, and a neighbour on the machine shows in it: more rounds than the long runs get.
ROUNDS = 9
SEEDS = 5
BATCH = 128
# The recipe of the training chapter: three epochs instead of ten.
RECIPE = vl.TrainConfig(epochs=3, batch_size=200, lr=1.2e-2, lr_schedule="one-cycle", device="cpu")


def usual_data() -> DataLoader[tuple[Tensor, int]]:
    """torchvision's MNIST with ToTensor, shuffled, from the files that the library brings."""
    # The shapes of its compiled operators: PyPI's build for Linux cannot register them beside PyTorch's CPU
    # build, and pictures are read without them.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("not needed"))
    try:
        from torchvision import datasets, transforms
    except ImportError as error:
        raise SystemExit(
            f"{error}: python -m pip install -r requirements-bench.txt -c constraints.txt"
        ) from None
    files = Path(vl.__file__).parent / "data_files" / "mnist"
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for path in files.glob("*.gz"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        pictures = datasets.MNIST(folder, train=True, transform=transforms.ToTensor())
    return DataLoader(pictures, batch_size=BATCH, shuffle=True)


def new_model(seed: int = 0) -> vl.VAE:
    vl.seed_everything(seed)
    return vl.dense_vae(784, (400,), 20)


def usual_loop(loader: DataLoader[tuple[Tensor, int]], model: nn.Module, epochs: int = 1) -> None:
    """The loop of most tutorials: DataLoader, BCE and KL summed, Adam's defaults, `.item()` every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        total = 0.0
        for pictures, _ in loader:
            x = pictures.view(-1, 784)
            logits, mu, logvar = model(x)
            bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            optimizer.zero_grad()
            (bce + kl).backward()
            optimizer.step()
            total += (bce + kl).item()


def matrix_products(n_batches: int) -> Callable[[], None]:
    """Every matrix product of forward and backward, into memory that is there already."""
    triples = []
    for n_in, n_out, needs_input_gradient in (
        (784, 400, False),
        (400, 20, True),
        (400, 20, True),
        (20, 400, True),
        (400, 784, True),
    ):
        x, w, g = torch.rand(BATCH, n_in), torch.rand(n_out, n_in), torch.rand(BATCH, n_out)
        triples.append((x, w.T, torch.empty(BATCH, n_out)))
        triples.append((g.T, x, torch.empty(n_out, n_in)))
        if needs_input_gradient:
            triples.append((g, w, torch.empty(BATCH, n_in)))

    def run() -> None:
        for _ in range(n_batches):
            for a, b, out in triples:
                torch.mm(a, b, out=out)

    return run


def pythae_epoch(x: Tensor, labels: Tensor) -> Callable[[], object] | None:
    """One epoch of pythae's trainer, saving included, on the same network; None if it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError:
        return None

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ours = vl.GaussianEncoder(784, 20)

        def forward(self, x: Tensor) -> Any:
            mu, logvar = self.ours(x)
            return ModelOutput(embedding=mu, log_covariance=logvar)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ours = vl.BernoulliDecoder(20, 784)

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.ours.mean(z))

    data = BaseDataset(x, labels)

    def run() -> None:
        vl.seed_everything(0)
        shape = VAEConfig(input_dim=(784,), latent_dim=20, reconstruction_loss="bce")
        model = VAE(shape, encoder=Encoder(), decoder=Decoder())
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=BATCH,
                learning_rate=1e-3,
                no_cuda=True,
            )
            BaseTrainer(model, data, training_config=config).train()

    return run


def in_turns(contenders: dict[str, Callable[[int], Any]], rounds: range) -> Runs:
    """Seconds and result of each contender in each round, one after the other. Round -1 warms up."""
    runs: Runs = {name: [] for name in contenders}
    for i in rounds:
        for name, run in contenders.items():
            started = time.perf_counter()
            result = run(i)
            if i >= 0:
                runs[name].append((time.perf_counter() - started, result))
        print("warm-up done" if i < 0 else f"round {i + 1} of {rounds.stop}", flush=True)
    return runs


def print_table(runs: Runs) -> dict[str, float]:
    medians = {name: statistics.median(seconds for seconds, _ in values) for name, values in runs.items()}
    ours = next(iter(medians.values()))
    print(f"\n{'':24}{'median':>9}{'fastest':>9}{'slowest':>9}   relative to ours")
    for name, values in runs.items():
        seconds = [s for s, _ in values]
        row = f"{medians[name]:8.2f}s{min(seconds):8.2f}s{max(seconds):8.2f}s"
        print(f"{name:24}{row}   {medians[name] / ours:6.2f}")
    return medians


def time_one_epoch(x: Tensor, labels: Tensor, loader: DataLoader[tuple[Tensor, int]]) -> Runs:
    config = vl.TrainConfig(epochs=1, batch_size=BATCH, device="cpu")
    products = matrix_products(-(-len(x) // BATCH))
    contenders: dict[str, Callable[[int], Any]] = {
        "vae_lib.train": lambda i: vl.train(new_model(), x, config=config, progress=False),
        "DataLoader loop": lambda i: usual_loop(loader, new_model()),
        "matrix products alone": lambda i: products(),
    }
    if pythae := pythae_epoch(x, labels):
        contenders["pythae's trainer"] = lambda i: pythae()
    print(f"one epoch over {len(x):,} images, batches of {BATCH}")
    runs = in_turns(contenders, range(-1, ROUNDS))
    medians = print_table(runs)
    ours = medians["vae_lib.train"]
    print(f"\nours takes 1/{medians['DataLoader loop'] / ours:.2f} of the DataLoader loop")
    print(f"matrix products are {medians['matrix products alone'] / ours:.2f} of our time")
    return runs


def time_to_quality(x: Tensor, test: Tensor, loader: DataLoader[tuple[Tensor, int]]) -> Runs:
    """Ten epochs of the usual loop against three of the recipe, and of the recipe without its parts."""

    def train(seed: int, start: bool, **changes: Any) -> vl.VAE:
        model = new_model(seed)
        if start:
            vl.start_at_mean(model, x)
        vl.train(model, x, config=vl.TrainConfig(**{**vars(RECIPE), "seed": seed, **changes}), progress=False)
        return model

    def usual(seed: int) -> vl.VAE:
        model = new_model(seed)
        usual_loop(loader, model, epochs=10)
        return model

    plain = {"lr_schedule": "constant", "lr": 1e-3, "batch_size": BATCH}
    contenders: dict[str, Callable[[int], Any]] = {
        "recipe": lambda seed: train(seed, start=True),
        "without the biases": lambda seed: train(seed, start=False),
        "without the schedule": lambda seed: train(seed, start=True, **plain),
        "without both": lambda seed: train(seed, start=False, **plain),
        "DataLoader loop": usual,
    }
    print(f"\nten epochs of the usual loop, three of ours, {SEEDS} seeds")
    runs = in_turns(contenders, range(SEEDS))
    scored = {
        name: [(seconds, -vl.evaluate(model, test).elbo) for seconds, model in values]
        for name, values in runs.items()
    }
    medians = print_table(scored)
    print("\ntest -ELBO in nats, mean and range over the seeds")
    for name, values in scored.items():
        nats = [value for _, value in values]
        print(f"{name:24}{statistics.mean(nats):8.2f}   {min(nats):.2f} to {max(nats):.2f}")
    print(f"\nthe recipe takes 1/{medians['DataLoader loop'] / medians['recipe']:.1f} of the time")
    return scored


def main() -> None:
    logging.disable(logging.INFO)  # pythae reports every run
    mnist = vl.load("mnist")
    x = mnist.train_and_valid
    labels = torch.cat([mnist.train_labels, mnist.valid_labels])
    loader = usual_data()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    epoch = time_one_epoch(x, labels, loader)
    quality = {} if "--epoch" in sys.argv[1:] else time_to_quality(x, mnist.test, loader)
    if "--record" in sys.argv[1:] and quality:
        record = {
            "images": len(x),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
            "rounds": ROUNDS,
            "seeds": SEEDS,
            "rows": [{"name": name, "seconds": [s for s, _ in runs]} for name, runs in epoch.items()],
            "quality": [
                {"name": name, "seconds": [s for s, _ in runs], "nats": [nats for _, nats in runs]}
                for name, runs in quality.items()
            ],
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
