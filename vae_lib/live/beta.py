"""Models trained with different weights beta of the KL, side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_lib.evaluation import evaluate, isolated_rng
from vae_lib.live.base import LiveFigure, pack_images
from vae_lib.models import VAE
from vae_lib.plotting import COLORS


class Entry(NamedTuple):
    """What is kept of one model: its beta, where it lies in the plane of rate and distortion, pictures.

    The rate is the mean KL divergence to the prior, the distortion the mean of -log p(x|z), in nats.
    """

    beta: float
    rate: float
    distortion: float
    reconstructions: Tensor
    samples: Tensor


def record_betas(models: Mapping[float, VAE], x: Tensor, n_images: int = 6, seed: int = 0) -> list[Entry]:
    """An entry for each model, in order of beta.

    Args:
        models: beta -> the model that was trained with it.
        x: held-out examples, shape (N, D), over which rate and distortion are means.
        n_images: how many reconstructions and samples an entry holds.
        seed: of the noise, the same for each model.

    >>> from vae_lib.models import dense_vae
    >>> models = {beta: dense_vae(16, (8,), 2) for beta in (4.0, 1.0)}
    >>> [entry.beta for entry in record_betas(models, torch.rand(20, 16))]
    [1.0, 4.0]
    """
    entries = []
    for beta, model in sorted(models.items()):
        terms = evaluate(model, x, seed=seed)
        with isolated_rng(x.device, seed):
            samples = model.sample(n_images)
        pictures = model.reconstruct(x[:n_images]), samples
        entries.append(Entry(float(beta), terms.kl, -terms.log_p_x_given_z, *pictures))
    return entries


class BetaDial(LiveFigure):
    """Turn beta: the model moves along the curve of rate and distortion, and its pictures change.

    Through the chosen point goes the line of equal loss D + beta R, of slope -beta.

    Args:
        entries: two or more, in order of beta, from `record_betas`.
        x: the examples that they draw again, shape (n, D) or longer, D a square number.
    Raises:
        ValueError: fewer than two entries, or their betas are not in order.

    Book: eq-elbo-rate-distortion.

    >>> from vae_lib.models import dense_vae
    >>> x = torch.rand(20, 16)
    >>> models = {beta: dense_vae(16, (8,), 2) for beta in (0.1, 1.0, 10.0)}
    >>> dial = BetaDial(record_betas(models, x), x)
    >>> dial.state  # number of the entry, from 0
    {'entry': 1}
    """

    tag = "live-beta"

    def __init__(self, entries: Sequence[Entry], x: Tensor) -> None:
        betas = [entry.beta for entry in entries]
        if len(betas) < 2 or betas != sorted(set(betas)):
            raise ValueError(f"a dial needs two or more entries in order of beta, got {betas}")
        self.entries = entries
        n_images = len(entries[0].samples)
        super().__init__(
            state={"entry": min(range(len(betas)), key=lambda i: abs(betas[i] - 1))},
            config={
                "betas": betas,
                "rates": [entry.rate for entry in entries],
                "distortions": [entry.distortion for entry in entries],
                "originals": pack_images(x[:n_images]),
                "reconstructions": pack_images(torch.cat([entry.reconstructions for entry in entries])),
                "samples": pack_images(torch.cat([entry.samples for entry in entries])),
                "n_images": n_images,
            },
        )

    def draw_still(self, figure: Figure) -> None:
        ax = figure.subplots()
        rates = [entry.rate for entry in self.entries]
        distortions = [entry.distortion for entry in self.entries]
        ax.plot(rates, distortions, "o-", color=COLORS["vae"])
        for entry in self.entries:
            label = rf"$\beta$ = {entry.beta:g}"
            ax.annotate(
                label, (entry.rate, entry.distortion), xytext=(6, 6), textcoords="offset points", fontsize=8
            )
        ax.set(xlabel="rate, KL in nats", ylabel=r"distortion, $-\log p(x|z)$ in nats")
