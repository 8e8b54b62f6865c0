"""A training run, recorded epoch by epoch and played again."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, no_grad

from vae_lib.evaluation import evaluate
from vae_lib.live.base import LiveFigure, pack, pack_images
from vae_lib.live.latent import check_model, codes_of
from vae_lib.models import VAE
from vae_lib.objectives import ElboTerms
from vae_lib.plotting import CLASS_COLORS, COLORS, latent_scatter
from vae_lib.training import TrainConfig, train


class Frame(NamedTuple):
    """What is kept of a model at one moment of its training."""

    codes: Tensor
    reconstructions: Tensor
    samples: Tensor
    terms: ElboTerms


def record_frame(model: VAE, x: Tensor, n_images: int = 6, seed: int = 0) -> Frame:
    """The model as it is now: codes of x, its first pictures drawn again, samples, and means of the ELBO.

    The codes that the samples are decoded from come from the same seed in every frame.

    Raises:
        ValueError: the latent space is no plane, or the decoder is not a Bernoulli decoder.

    >>> from vae_lib.models import dense_vae
    >>> frame = record_frame(dense_vae(16, (8,), 2), torch.rand(9, 16), n_images=4)
    >>> frame.samples.shape
    torch.Size([4, 16])
    """
    check_model(model)
    codes = codes_of(model, x)
    z = torch.randn(n_images, 2, generator=torch.Generator().manual_seed(seed))
    with no_grad():
        samples = model.decoder.mean(z.to(codes))
    return Frame(codes, model.reconstruct(x[:n_images]), samples, evaluate(model, x))


def record_run(
    model: VAE, train_x: Tensor, x: Tensor, config: TrainConfig | None = None, n_images: int = 6
) -> list[Frame]:
    """Train as `vl.train` does, to the same bits, and keep a frame before the first and after each epoch.

    Args:
        model: a `VAE` with two latent coordinates.
        train_x: training examples, shape (N, D).
        x: some hundred examples to watch, shape (M, D), on the model's device.
        config: the settings. The learning rate must be constant.
        n_images: how many reconstructions and samples a frame holds.
    Raises:
        ValueError: the learning rate follows a schedule, or the latent space is no plane.

    >>> from vae_lib.models import dense_vae
    >>> x = torch.rand(32, 16)
    >>> len(record_run(dense_vae(16, (8,), 2), x, x, TrainConfig(epochs=3)))
    4
    """
    config = config or TrainConfig()
    if config.lr_schedule != "constant":
        raise ValueError("a run is recorded epoch by epoch, which needs lr_schedule='constant'")
    frames = [record_frame(model, x, n_images)]
    with tempfile.TemporaryDirectory() as folder:
        for epochs in range(1, config.epochs + 1):
            part = replace(config, epochs=epochs)
            train(model, train_x, config=part, checkpoint=Path(folder, "run.pt"), resume=True, progress=False)
            frames.append(record_frame(model, x, n_images))
    return frames


class TrainingReplay(LiveFigure):
    """Scrub through a training run: codes, reconstructions, samples and the ELBO move together.

    Args:
        frames: at least two, from `record_run`, or from `record_frame` in a loop of your own; number 0 is
            shown first and called epoch 0.
        x: the examples that the frames were recorded with, shape (N, D), D a square number.
        labels: integers 0 to 9, shape (N,).
    Raises:
        ValueError: fewer than two frames, or frames of other examples.

    Book: eq-elbo-reconstruction.

    >>> from vae_lib.models import dense_vae
    >>> model, x = dense_vae(16, (8,), 2), torch.rand(12, 16)
    >>> replay = TrainingReplay([record_frame(model, x)] * 3, x, torch.arange(12) % 10)
    >>> replay.state = {"epoch": 2}
    """

    tag = "live-replay"

    def __init__(self, frames: Sequence[Frame], x: Tensor, labels: Tensor) -> None:
        if len(frames) < 2 or any(len(frame.codes) != len(x) for frame in frames):
            raise ValueError(f"a replay needs two or more frames of these {len(x)} examples")
        self.frames, self.labels = frames, labels
        codes = torch.stack([frame.codes for frame in frames])
        super().__init__(
            state={"epoch": 0.0},
            config={
                "codes": pack(codes),
                "labels": labels.tolist(),
                "originals": pack_images(x[: len(frames[0].reconstructions)]),
                "reconstructions": pack_images(torch.cat([frame.reconstructions for frame in frames])),
                "samples": pack_images(torch.cat([frame.samples for frame in frames])),
                "terms": {
                    name: [getattr(frame.terms, name) for frame in frames] for name in ElboTerms._fields
                },
                "n_images": len(frames[0].reconstructions),
                "class_colors": CLASS_COLORS,
                # A few codes of the first epochs may leave the window.
                "reach": max(3.0, codes.abs().flatten().quantile(0.99).ceil().item()),
            },
        )

    def draw_still(self, figure: Figure) -> None:
        plane, curve = figure.subplots(1, 2)
        latent_scatter(self.frames[-1].codes, self.labels, ax=plane, title="after the last epoch")
        curve.plot([frame.terms.elbo for frame in self.frames], color=COLORS["encoder"])
        curve.set(xlabel="epoch", ylabel="ELBO in nats")
