"""`make bench`: one epoch over MNIST's 60,000 images, ours against the usual DataLoader loop, in turns.

Network 784-400-20-400-784, batches of 128, Adam. The third row is the time of the matrix products alone,
which no loop on this machine can beat.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import vae_lib as vl

ROUNDS = 5
BATCH = 128


class ImageFolderOfDigits(Dataset[Tensor]):
    """Item by item as torchvision's MNIST with ToTensor does it: array to PIL, PIL to float tensor."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> Tensor:
        picture = np.array(Image.fromarray(self.pixels[i]), copy=True)
        return torch.from_numpy(picture).unsqueeze(0).to(torch.float32).div(255)


def usual_epoch(loader: DataLoader[Tensor], model: nn.Module) -> None:
    """The loop of most tutorials: DataLoader, BCE and KL summed, Adam's defaults, `.item()` every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total = 0.0
    for batch in loader:
        x = batch.view(-1, 784)
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
    x = vl.load("mnist").train_and_valid
    pixels = (x * 255).round().to(torch.uint8).view(-1, 28, 28).numpy()
    loader = DataLoader(ImageFolderOfDigits(pixels), batch_size=BATCH, shuffle=True)
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


if __name__ == "__main__":
    main()
