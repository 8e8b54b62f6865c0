"""`make bench`: one epoch over MNIST's 60,000 images, ours against the usual DataLoader loop, in turns.

    python tools/bench.py                print the table
    python tools/bench.py --record       and write it to book/3-building/bench.json for the chapter

Network 784-400-20-400-784, batches of 128, Adam. The third row is the time of the matrix products alone,
which no loop on this machine can beat.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import vae_lib as vl

RECORD = Path(__file__).resolve().parent.parent / "book" / "3-building" / "bench.json"
ROUNDS = 5
BATCH = 128


class PictureByPicture(Dataset[tuple[Tensor, int]]):
    """What torchvision's MNIST with ToTensor does for one item: tensor to PIL picture to float tensor."""

    def __init__(self, data: Tensor, targets: Tensor) -> None:
        self.data, self.targets = data, targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.data[i].numpy())
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        pixels = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return pixels, int(self.targets[i])


def usual_epoch(loader: DataLoader[tuple[Tensor, int]], model: nn.Module) -> None:
    """The loop of most tutorials: DataLoader, BCE and KL summed, Adam's defaults, `.item()` every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
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


def main() -> None:
    mnist = vl.load("mnist")
    x = mnist.train_and_valid
    pixels = (x * 255).round().to(torch.uint8).view(-1, 28, 28)
    labels = torch.cat([mnist.train_labels, mnist.valid_labels])
    loader = DataLoader(PictureByPicture(pixels, labels), batch_size=BATCH, shuffle=True)
    config = vl.TrainConfig(epochs=1, batch_size=BATCH, device="cpu")

    def model() -> vl.VAE:
        vl.seed_everything(0)
        return vl.dense_vae(784, (400,), 20)

    contenders: dict[str, Callable[[], object]] = {
        "vae_lib.train": lambda: vl.train(model(), x, config=config, progress=False),
        "DataLoader loop": lambda: usual_epoch(loader, model()),
        "matrix products alone": matrix_products(-(-len(x) // BATCH)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(ROUNDS + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if i > 0:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
        print("warm-up done" if i == 0 else f"round {i} of {ROUNDS}", flush=True)

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours, limit = medians["vae_lib.train"], medians["matrix products alone"]
    print(f"\none epoch over {len(x):,} images, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':24}{'median':>9}{'fastest':>9}{'slowest':>9}   relative to ours")
    for name, values in seconds.items():
        row = f"{medians[name]:8.2f}s{min(values):8.2f}s{max(values):8.2f}s"
        print(f"{name:24}{row}   {medians[name] / ours:6.2f}")
    print(f"\nours is {medians['DataLoader loop'] / ours:.2f} times as fast as the DataLoader loop")
    print(f"matrix products are {100 * limit / ours:.0f} % of our time")
    if "--record" in sys.argv[1:]:
        settings = {"images": len(x), "threads": torch.get_num_threads(), "torch": torch.__version__}
        rows = [{"name": name, "seconds": values} for name, values in seconds.items()]
        RECORD.write_text(json.dumps({**settings, "rounds": ROUNDS, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
