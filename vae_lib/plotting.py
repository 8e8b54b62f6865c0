"""Tensors in, matplotlib Axes out: the book's one look."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vae_lib.training import History

#: One colour for one thing, in every figure of the book (Okabe and Ito, colour-blind safe).
COLORS = {
    "x": "#333333",
    "z": "#009E73",
    "encoder": "#0072B2",
    "decoder": "#D55E00",
    "mu": "#0072B2",
    "sigma": "#E69F00",
    "prior": "#6B4C9A",
    "posterior": "#CC79A7",
    "autoencoder": "#D55E00",
    "vae": "#0072B2",
    "train": "#0072B2",
    "valid": "#D55E00",
}

#: Ten classes, ordered so that digits which are often confused lie far apart.
CLASS_COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6B4C9A",
    "#CC79A7", "#8C6D31", "#56B4E9", "#333333", "#A6B727",
)  # fmt: skip


def use_style() -> None:
    """Switch matplotlib to the book's style, and notebooks to sharp vector output."""
    plt.style.use(Path(__file__).with_name("vae_lib.mplstyle"))
    try:
        from IPython.core.getipython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # plain Python, no notebook
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg")


def image_grid(
    images: Tensor,
    *,
    n_cols: int | None = None,
    image_shape: tuple[int, int, int] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw images side by side in one Axes, black ink on white.

    Args:
        images: shape (N, D), values in [0, 1]; values outside are clipped.
        n_cols: images in a row; a square arrangement when not given.
        image_shape: (1, H, W). Taken to be square when not given.
        ax: where to draw; a new figure when not given.
        title: above the grid.
    Returns:
        The Axes.
    Raises:
        ValueError: D is not a square number and no image_shape is given.

    >>> image_grid(torch.rand(10, 784), n_cols=5).get_images()[0].get_array().shape
    (60, 150)
    """
    tiles = _tiles(images, image_shape)
    n, height, width = tiles.shape
    n_cols = n_cols or math.ceil(math.sqrt(n))
    n_rows = math.ceil(n / n_cols)
    sheet = np.full((n_rows * (height + 2), n_cols * (width + 2)), 0.0)
    for i, tile in enumerate(tiles):
        top, left = i // n_cols * (height + 2) + 1, i % n_cols * (width + 2) + 1
        sheet[top : top + height, left : left + width] = tile
    if ax is None:
        side = min(6.2, 0.62 * n_cols)
        _, ax = plt.subplots(figsize=(side, side * sheet.shape[0] / sheet.shape[1]))
    ax.imshow(sheet, vmin=0, vmax=1)
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax


def image_rows(
    rows: Mapping[str, Tensor],
    *,
    image_shape: tuple[int, int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw rows of images with the name of each row on its left.

    Args:
        rows: name -> images (N, D), the same N in every row.
        image_shape: (1, H, W). Taken to be square when not given.
        ax: where to draw; a new figure when not given.
    Returns:
        The Axes.
    Raises:
        ValueError: the rows differ in length.

    >>> ax = image_rows({"data": torch.rand(5, 784), "model": torch.rand(5, 784)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['data', 'model']
    """
    counts = {name: len(images) for name, images in rows.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"every row needs the same number of images, got {counts}")
    n_cols = next(iter(counts.values()))
    if ax is None:
        _, ax = plt.subplots(figsize=(6.2, 5.0 / n_cols * len(rows) + 0.1))
    image_grid(torch.cat(list(rows.values())), n_cols=n_cols, image_shape=image_shape, ax=ax)
    height = ax.get_images()[0].get_array().shape[0] / len(rows)  # type: ignore[union-attr]
    ax.set_axis_on()
    ax.set_xticks([])
    ax.set_yticks([(i + 0.5) * height - 0.5 for i in range(len(rows))], list(rows))
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def latent_scatter(z: Tensor, labels: Tensor, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Scatter two-dimensional codes, coloured by class, each class named at its median or close by.

    Args:
        z: shape (N, 2).
        labels: integers 0 to 9, shape (N,).
        ax: where to draw; a new figure when not given.
        title: above the plot.
    Returns:
        The Axes.
    Raises:
        ValueError: z is not (N, 2).

    >>> ax = latent_scatter(torch.randn(50, 2), torch.arange(50) % 10)
    >>> sorted(int(t.get_text()) for t in ax.texts)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    >>> len(latent_scatter(torch.zeros(0, 2), torch.zeros(0)).texts)
    0
    """
    if z.ndim != 2 or z.shape[1] != 2:
        raise ValueError(f"a scatter needs codes of shape (N, 2), got {tuple(z.shape)}")
    if ax is None:
        _, ax = plt.subplots(figsize=(4.4, 4.2))
    points, classes = z.cpu().numpy(), labels.cpu().numpy()
    # Thousands of points: a picture inside the vector figure keeps the page small.
    style: dict[str, Any] = {
        "cmap": ListedColormap(CLASS_COLORS),
        "vmin": 0,
        "vmax": 9,
        "s": 5,
        "alpha": 0.6,
        "lw": 0,
    }
    ax.scatter(points[:, 0], points[:, 1], c=classes, rasterized=True, **style)
    names = np.unique(classes)
    medians = np.reshape([np.median(points[classes == label], axis=0) for label in names], (-1, 2))
    # A name is a circle of about 8 % of the picture.
    gap = 0.08 * max(np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim()))
    for label, (x, y) in zip(names, _apart(medians, gap), strict=True):
        box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": CLASS_COLORS[label], "lw": 1.5}
        ax.text(x, y, str(label), ha="center", va="center", fontsize=9, weight="bold", bbox=box)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    if title:
        ax.set_title(title)
    return ax


def _apart(places: np.ndarray, gap: float) -> np.ndarray:
    """Push points that are closer than `gap` away from each other.

    >>> _apart(np.array([[0.0, 0.1], [0.0, 0.3], [5.0, 5.0]]), gap=1.0).round(2).tolist()
    [[0.0, -0.3], [0.0, 0.7], [5.0, 5.0]]
    >>> _apart(np.array([[np.nan, np.nan], [1.0, 2.0]]), gap=1.0).tolist()
    [[nan, nan], [1.0, 2.0]]
    """
    for _ in range(100):
        offsets = places[:, None] - places
        distances = np.linalg.norm(offsets, axis=2, keepdims=True)
        missing = np.clip(gap - distances, 0, None)
        # nansum: the codes of one class that are NaN must not take the other names with them.
        places = places + np.nansum(0.5 * missing * offsets / np.maximum(distances, 1e-9), axis=1)
    return places


def history_curves(
    history: History,
    columns: Sequence[str] = ("elbo", "log_p_x_given_z", "kl"),
    *,
    names: Mapping[str, str] | None = None,
) -> Any:
    """Draw train and validation curves of a history, one Axes per term, in nats per example.

    Args:
        history: what `train` returned.
        columns: terms to draw.
        names: term -> title.
    Returns:
        An array of Axes.
    """
    titles = {
        "elbo": "ELBO",
        "log_p_x_given_z": "reconstruction\n$\\log p(x|z)$",
        "kl": "KL",
    } | dict(names or {})
    _, axes = plt.subplots(1, len(columns), figsize=(6.6, 2.6), squeeze=False)
    for ax, column in zip(axes[0], columns, strict=True):
        for split in ("train", "valid"):
            if f"{split}_{column}" in history.columns:
                style = {"color": COLORS[split], "ls": "-" if split == "train" else "--"}
                ax.plot(history["epoch"], history[f"{split}_{column}"], label=split, **style)
        ax.set_title(titles.get(column, column))
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes[0][0].set_ylabel("nats per example")
    axes[0][0].legend()
    return axes[0]


def _tiles(images: Tensor, image_shape: tuple[int, int, int] | None) -> np.ndarray:
    if image_shape is None:
        side = math.isqrt(images.shape[1])
        if side**2 != images.shape[1]:
            raise ValueError(f"{images.shape[1]} pixels are no square: pass image_shape=(1, H, W)")
        image_shape = (1, side, side)
    return images.detach().cpu().clip(0, 1).reshape(-1, *image_shape[1:]).numpy()
