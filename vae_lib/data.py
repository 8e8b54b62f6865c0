"""Images in memory: `load("mnist")`, `"digits"`, `"fashion-mnist"`, `"sprites"`; binary images.

The only module that touches disk or network. Only Fashion-MNIST may need a download, once. Every
IDX file is checked against the SHA-256 of its unpacked content, so a damaged one is an error.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import math
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "SPRITE_FACTORS",
    "SPRITE_ROTATION_PERIODS",
    "SPRITE_SHAPES",
    "DamagedFileError",
    "DataError",
    "Dataset",
    "bernoulli_sample",
    "binarize",
    "draw_sprites",
    "load",
    "parse_idx",
    "threshold",
]

SPRITE_SHAPES = ("square", "ellipse", "heart")
# Turning a shape by this angle gives the same image, so its rotation is only known up to it.
SPRITE_ROTATION_PERIODS = (math.pi / 2, math.pi, 2 * math.pi)
# The factors of a sprite, in the order of the columns, and where `load("sprites")` draws them from.
SPRITE_FACTORS = {
    "shape": (0.0, 2.0),  # 0, 1 or 2: an index into SPRITE_SHAPES
    "scale": (0.15, 0.3),
    "rotation": (0.0, 2 * math.pi),
    "x": (0.26, 0.74),  # at the largest scale every shape still lies inside the image
    "y": (0.26, 0.74),
}

_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# SHA-256 of the unpacked content: mirrors pack the same content into different gzip files.
_MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_FASHION_SHA256 = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
_MNIST_DIR = Path(__file__).parent / "data_files" / "mnist"
_DEBIAN_DIR = Path("/usr/share/datasets/fashion-mnist")
_FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)


class DataError(RuntimeError):
    """A data file is missing or could not be fetched; the message says what to do."""


class DamagedFileError(DataError):
    """A data file is there, but its content is not the published one."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images as rows of a tensor, split into train, valid and test.

    Images are float32 in [0, 1], shape (N, x_dim): `x.view(-1, *image_shape)` shows them, with
    `image_shape` (channels, height, width). Labels are int64, shape (N,), and index `class_names`.
    Factors, the truth behind a drawn image, are float32, shape (N, F), one column for each of
    `factor_names`: five for sprites, none for the rest.

    >>> load("digits")
    Dataset('digits': train 1197, valid 300, test 300; x_dim 64, image_shape (1, 8, 8),
    10 classes)
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    train_labels: Tensor
    valid_labels: Tensor
    test_labels: Tensor
    train_factors: Tensor
    valid_factors: Tensor
    test_factors: Tensor
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    factor_names: tuple[str, ...]
    source: str
    licence: str

    @property
    def x_dim(self) -> int:
        """Pixels of an image, the width of a row."""
        return math.prod(self.image_shape)

    @property
    def train_and_valid(self) -> Tensor:
        """All images but the test images, copied. Of MNIST the 60,000 of the training file, in order."""
        return torch.cat([self.train, self.valid])

    def __repr__(self) -> str:
        sizes = f"train {len(self.train)}, valid {len(self.valid)}, test {len(self.test)}"
        factors = f", factors {', '.join(self.factor_names)}" if self.factor_names else ""
        return (
            f"Dataset({self.name!r}: {sizes}; x_dim {self.x_dim}, image_shape {self.image_shape}, "
            f"{len(self.class_names)} classes{factors})"
        )


def load(name: str) -> Dataset:
    """Read or draw a dataset. The split is fixed: the same on every call and every machine.

    - `"mnist"`: handwritten digits, 28 x 28, part of the package. The last 10,000 images of the
      training file validate: train 50,000, valid 10,000, test 10,000.
    - `"fashion-mnist"`: clothes, 28 x 28, split like MNIST. Each file is looked for in the folder
      VAE_LIB_DATA (environment; or its subfolder `fashion-mnist`), in Debian's package
      dataset-fashion-mnist and in the user's cache; else it is downloaded, once, 30 MB in all.
    - `"digits"`: handwritten digits, 8 x 8, from scikit-learn: train 1,197, valid 300, test 300.
      They come ordered by writer and are shuffled first (fixed seed), so every writer can be in
      every split: the test is about new images by known writers, easier than new writers.
    - `"sprites"`: squares, ellipses and hearts, 32 x 32, drawn by `draw_sprites` from independent
      uniform factors (`SPRITE_FACTORS`, fixed seed): 10,000 / 2,000 / 2,000. Labels are the shape.

    Args:
        name: one of the four.
    Returns:
        A `Dataset`, all of it in memory.
    Raises:
        ValueError: there is no such dataset.
        DamagedFileError: a file of the package, of VAE_LIB_DATA or of Debian is not the published
            one. (One in the cache is fetched again, with a warning.)
        DataError: a file of the package is missing, VAE_LIB_DATA is no folder, or no mirror helps.

    Source: LeCun et al. (1998); Xiao et al. (2017); Alpaydin & Kaynak (1998); the sprites follow
    the idea of dSprites, Matthey et al. (2017).

    >>> mnist = load("mnist")
    >>> mnist.train.shape, mnist.train.dtype, mnist.train_labels[:5].tolist()
    (torch.Size([50000, 784]), torch.float32, [5, 0, 4, 1, 9])
    """
    if name not in _LOADERS:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), _LOADERS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no dataset {name!r}; there are {', '.join(map(repr, _LOADERS))}.{hint}")
    return _LOADERS[name]()


# --- binary images -------------------------------------------------------------------------------


def bernoulli_sample(x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Dynamic binarisation: each pixel is 1 with probability x, drawn anew on every call.

    As `train(..., batch_transform=bernoulli_sample)` every batch is a fresh draw, so a model
    overfits less than on one fixed draw; do not compare its bound with one on `binarize(x)`.

    Args:
        x: grey values in [0, 1], any shape.
        generator: where the chance comes from; default is torch's global generator.
    Returns:
        0 or 1, shape and dtype of x.
    Raises:
        ValueError: x is not floating, or leaves [0, 1].

    Book: eq-likelihoods-grey.

    >>> bernoulli_sample(torch.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    _check_unit_range(x)
    # A uniform number in [0, 1) is below x with probability x; twice as fast as torch.bernoulli.
    return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device).lt_(x)


def binarize(x: Tensor, *, seed: int = 0) -> Tensor:
    """Static binarisation: each pixel is 1 with probability x, drawn once: same x, same result.

    The procedure behind "statically binarised MNIST", on the same split; but the draw is our own,
    so results match published ones up to the luck of the draw, not bit for bit.

    Args:
        x: grey values in [0, 1], any shape.
        seed: chooses the draw. Give each split its own, or their i-th images share their noise.
    Returns:
        0 or 1, shape, dtype and device of x.
    Raises:
        ValueError: x is not floating, or leaves [0, 1].

    Source: Salakhutdinov & Murray (2008).

    >>> x = torch.full((1000,), 0.5)
    >>> once, again, other = binarize(x), binarize(x), binarize(x, seed=1)
    >>> torch.equal(once, again), torch.equal(once, other)
    (True, False)
    """
    # Drawn on the CPU wherever x lives: another device would draw other numbers.
    generator = torch.Generator().manual_seed(seed)
    return bernoulli_sample(x.cpu(), generator=generator).to(x.device)


def threshold(x: Tensor, *, at: float = 0.5) -> Tensor:
    """Binarisation without chance: 1 where x >= at, else 0.

    Args:
        x: grey values in [0, 1], any shape.
        at: the smallest grey value that becomes 1.
    Returns:
        0 or 1, shape and dtype of x.
    Raises:
        ValueError: x is not floating, or leaves [0, 1].

    >>> threshold(torch.tensor([0.2, 0.5, 0.9]))
    tensor([0., 1., 1.])
    """
    _check_unit_range(x)
    return (x >= at).to(x.dtype)


def _check_unit_range(x: Tensor) -> None:
    if not x.is_floating_point():
        raise ValueError(f"x must be floats in [0, 1], got {x.dtype}; for bytes take x.float() / 255")
    if x.numel():
        low, high = (v.item() for v in x.aminmax())
        if not (low >= 0 and high <= 1):  # written so that nan fails too
            raise ValueError(f"x must lie in [0, 1], got values from {low:g} to {high:g}")


# --- sprites -------------------------------------------------------------------------------------

# Signed distances to an outline, negative inside; (u, v) in units of `scale`, v upwards. Each shape
# has area 1 and its centroid at the origin, so neither size nor place gives the shape away.


def _box(u: Tensor, v: Tensor, half: float) -> Tensor:
    du, dv = u.abs() - half, v.abs() - half
    return torch.hypot(du.clamp_min(0), dv.clamp_min(0)) + torch.maximum(du, dv).clamp_max(0)


def _square(u: Tensor, v: Tensor) -> Tensor:
    return _box(u, v, 0.5)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    b = 1 / math.sqrt(2 * math.pi)  # half axes a = 2 b, area pi a b = 1
    # First order, f / |grad f| with f = norm - 1 (then rescaled by norm); 1e-12 avoids 0 / 0.
    norm = (u.square() / (4 * b**2) + v.square() / b**2 + 1e-12).sqrt()
    grad = (u.square() / (16 * b**4) + v.square() / b**4 + 1e-12).sqrt()
    return norm * (norm - 1) / grad


def _heart(u: Tensor, v: Tensor) -> Tensor:
    # A square of side s on its corner, and a disc of diameter s on the middle of each upper side.
    s = 1 / math.sqrt(1 + math.pi / 4)
    # The centroid lies above the square's centre: half discs have theirs 2 s / (3 pi) outside.
    rise = (math.pi / 8 + 1 / 6) / (1 + math.pi / 4) * s / math.sqrt(2)
    v = v + rise
    square = _box((u + v) / math.sqrt(2), (v - u) / math.sqrt(2), s / 2)
    middle = s / math.sqrt(8)
    discs = torch.hypot(u.abs() - middle, v - middle) - s / 2  # |u|: left and right at once
    return torch.minimum(square, discs)


_OUTLINES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_square, _ellipse, _heart)


def draw_sprites(factors: Tensor, *, size: int = 32) -> Tensor:
    """Draw one white shape on black, with soft edges, for each row of factors. Nothing is random.

    Factors are shape (0 square, 1 ellipse with axes 2 : 1, 2 heart); scale (the area is scale^2);
    rotation in radians, counter-clockwise as seen (at 0 the ellipse lies and the heart stands);
    x from the left and y from the top of the centroid. Lengths are in units of the image's width.
    Rotations repeat after `SPRITE_ROTATION_PERIODS`: pi/2, pi, 2 pi.

    Args:
        factors: shape (..., 5). What leaves the image is cut off.
        size: height and width in pixels.
    Returns:
        The covered part of each pixel, float32 in [0, 1], shape (..., size * size). A rule for
        straight edges: at a sharp corner a pixel is off by up to 0.2, a small area by up to 5 %.
    Raises:
        ValueError: the last dimension is not 5, a shape is not 0, 1 or 2, a scale is not positive,
            or a value is not finite.

    >>> square = torch.tensor([[0, 0.25, 0.0, 0.5, 0.5]])  # of 8 x 8 pixels
    >>> image = draw_sprites(square)
    >>> image.shape, float(image.sum())
    (torch.Size([1, 1024]), 64.0)
    """
    if factors.shape[-1:] != (5,):
        names = ", ".join(SPRITE_FACTORS)
        raise ValueError(f"factors must be (..., 5) for {names}, got {tuple(factors.shape)}")
    rows = factors.reshape(-1, 5).to(torch.float32)
    if not rows.isfinite().all() or not (rows[:, 1] > 0).all():
        raise ValueError("factors must be finite and scale positive")
    if not torch.isin(rows[:, 0], torch.arange(3.0, device=rows.device)).all():
        raise ValueError(f"shape must be 0, 1 or 2 for {', '.join(SPRITE_SHAPES)}")
    centre = (torch.arange(size, device=rows.device) + 0.5) / size
    pixel_y, pixel_x = (axis.reshape(-1) for axis in torch.meshgrid(centre, centre, indexing="ij"))
    images = torch.empty(len(rows), size * size, device=rows.device)
    for kind, outline in enumerate(_OUTLINES):
        # 256 at a time: the intermediate tensors then fit in the processor's cache.
        for index in (rows[:, 0] == kind).nonzero().squeeze(1).split(256):
            scale, angle, x, y = rows[index, 1:].unsqueeze(2).unbind(1)
            right, up = (pixel_x - x) / scale, (y - pixel_y) / scale
            # Turning the shape by an angle is turning the plane back by it.
            u, v = angle.cos() * right + angle.sin() * up, angle.cos() * up - angle.sin() * right
            # A pixel whose centre is d pixels outside a straight edge is covered by 1/2 - d.
            images[index] = (0.5 - outline(u, v) * (scale * size)).clamp_(0, 1)
    return images.reshape(*factors.shape[:-1], size * size)


# --- files ---------------------------------------------------------------------------------------


def parse_idx(raw: bytes) -> NDArray[np.uint8]:
    """Read the format of MNIST's files: 0, 0, 8, the rank, the sizes as big-endian int32, bytes.

    Args:
        raw: the unpacked file.
    Returns:
        A read-only array of the shape that the header gives.
    Raises:
        ValueError: not an IDX file of bytes, or longer or shorter than its header says.

    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)
    """
    if raw[:3] != b"\0\0\x08" or len(raw) < 4 or raw[3] == 0:
        raise ValueError(f"no IDX file of bytes: it begins with {raw[:4].hex(' ') or 'nothing'}")
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise ValueError(f"the IDX header ends after {len(raw)} of {start} bytes")
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    if len(raw) - start != math.prod(shape):
        raise ValueError(f"the IDX header says {shape}, but {len(raw) - start} bytes follow it")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _unpack(packed: bytes, sha256: str, origin: str) -> NDArray[np.uint8]:
    """The content of a gzipped IDX file, provided that it is the published one."""
    try:
        raw = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFileError(f"{origin} is not a whole gzip file ({error})") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise DamagedFileError(
            f"{origin} does not hold the published data: "
            f"SHA-256 of the unpacked content is {found}, not {sha256}"
        )
    return parse_idx(raw)


def _read(path: Path, sha256: str, advice: str) -> NDArray[np.uint8]:
    try:
        return _unpack(path.read_bytes(), sha256, str(path))
    except DamagedFileError as error:
        raise DamagedFileError(f"{error}; {advice}") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error}); {advice}") from error


def _fashion_file(filename: str, sha256: str) -> NDArray[np.uint8]:
    """One file of Fashion-MNIST, looked for in the order that `load` describes."""
    places = [(_DEBIAN_DIR, "install the package dataset-fashion-mnist again, or remove it")]
    if own := os.environ.get("VAE_LIB_DATA"):
        if not Path(own).is_dir():
            raise DataError(f"VAE_LIB_DATA={own} is not a folder; correct it or unset it")
        # The subfolder first: MNIST's files have the same names and may lie in the folder itself.
        advice = "VAE_LIB_DATA points to it: replace the file or remove it"
        places = [(Path(own) / "fashion-mnist", advice), (Path(own), advice), *places]
    for folder, advice in places:
        if (folder / filename).exists():
            return _read(folder / filename, sha256, advice)

    import pooch  # only here: nobody should wait for a network library to read a file

    cached = Path(pooch.os_cache("vae_lib")) / "fashion-mnist" / filename
    tried = []
    if cached.exists():
        try:
            return _read(cached, sha256, "fetching it again")
        except DataError as error:
            warnings.warn(str(error), stacklevel=2)
            tried.append(str(error))
    return _download(cached, sha256, tried)


def _download(target: Path, sha256: str, tried: list[str]) -> NDArray[np.uint8]:
    """Fetch a file into the cache from the first mirror that has it; `tried`: what failed before.

    The target is replaced in one step and by a checked file only: what goes wrong leaves it alone.
    """
    import pooch

    # "identity", because some servers would unpack the file on the way if we let them.
    fetch = pooch.HTTPDownloader(
        progressbar=True,
        chunk_size=2**16,
        timeout=(10, 60),  # seconds: to connect, and between two packets
        headers={"Accept-Encoding": "identity"},
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Inside the cache, so that the move is a rename; removed in any case, even by an interrupt.
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            part = Path(folder) / target.name
            for url in (mirror + target.name for mirror in _FASHION_MIRRORS):
                try:
                    fetch(url, str(part), None)
                    content = _unpack(part.read_bytes(), sha256, url)
                except DamagedFileError as error:
                    tried.append(str(error))
                except OSError as error:  # the base of all errors of requests
                    tried.append(f"{url}: {error}")
                else:
                    part.replace(target)
                    return content
    except OSError as error:
        tried.append(f"cannot write to {target.parent} ({error})")
    raise DataError(
        "\n  ".join([f"could not get {target.name} of Fashion-MNIST; tried", *tried])
        + "\nConnect to the network and load again, or `apt install dataset-fashion-mnist`, "
        + f"or put {', '.join(_FILES)} into a folder and set VAE_LIB_DATA to that folder."
    )


# --- the four datasets ---------------------------------------------------------------------------


def _split(
    x: Tensor, top: int, labels: Tensor, sizes: tuple[int, int, int], factors: Tensor | None = None
) -> dict[str, Tensor]:
    """The tensors of a `Dataset` by name: rows cut into the splits, grey value `top` made 1."""
    if factors is None:
        factors = torch.empty(len(x), 0)
    parts = {}
    for suffix, rows in (("", x), ("_labels", labels), ("_factors", factors)):
        for split, part in zip(("train", "valid", "test"), rows.split(list(sizes)), strict=True):
            # Each with memory of its own: a view, when saved, would save all the other splits too.
            parts[split + suffix] = part.float().div(top) if suffix == "" else part.clone()
    return parts


def _from_idx(arrays: list[NDArray[np.uint8]]) -> dict[str, Tensor]:
    images, labels, test, test_labels = arrays
    x = torch.from_numpy(np.concatenate([images, test])).flatten(1)
    y = torch.from_numpy(np.concatenate([labels, test_labels])).long()
    return _split(x, 255, y, (50_000, 10_000, 10_000))


def _mnist() -> Dataset:
    advice = "install vae_lib again, it brings the file"
    pairs = zip(_FILES, _MNIST_SHA256, strict=True)
    return Dataset(
        name="mnist",
        **_from_idx([_read(_MNIST_DIR / filename, sha256, advice) for filename, sha256 in pairs]),
        image_shape=(1, 28, 28),
        class_names=tuple("0123456789"),
        factor_names=(),
        source="Y. LeCun, C. Cortes, C. J. C. Burges, http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    )


def _fashion_mnist() -> Dataset:
    names = "T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
    pairs = zip(_FILES, _FASHION_SHA256, strict=True)
    return Dataset(
        name="fashion-mnist",
        **_from_idx([_fashion_file(filename, sha256) for filename, sha256 in pairs]),
        image_shape=(1, 28, 28),
        class_names=tuple(names.split(", ")),
        factor_names=(),
        source="Zalando Research, https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT, copyright 2017 Zalando SE",
    )


def _digits() -> Dataset:
    from sklearn.datasets import load_digits  # only here: it takes a second to import

    images, labels = load_digits(return_X_y=True)
    # RandomState, here and below, because numpy promises that its numbers never change.
    order = np.random.RandomState(0).permutation(len(images))
    x, y = torch.from_numpy(images[order]).float(), torch.from_numpy(labels[order]).long()
    return Dataset(
        name="digits",
        **_split(x, 16, y, (1197, 300, 300)),
        image_shape=(1, 8, 8),
        class_names=tuple("0123456789"),
        factor_names=(),
        source="E. Alpaydin, C. Kaynak, https://archive.ics.uci.edu/dataset/80, in scikit-learn",
        licence="CC BY 4.0",
    )


def _sprites() -> Dataset:
    sizes = (10_000, 2_000, 2_000)
    uniform = torch.from_numpy(np.random.RandomState(0).random_sample((sum(sizes), 5)))
    low, high = torch.tensor(list(SPRITE_FACTORS.values()), dtype=torch.float64).T
    factors = low + (high - low) * uniform
    factors[:, 0] = (uniform[:, 0] * len(SPRITE_SHAPES)).floor()
    factors = factors.float()
    return Dataset(
        name="sprites",
        **_split(draw_sprites(factors), 1, factors[:, 0].long(), sizes, factors),
        image_shape=(1, 32, 32),
        class_names=SPRITE_SHAPES,
        factor_names=tuple(SPRITE_FACTORS),
        source="drawn by vae_lib.draw_sprites",
        licence="MIT",
    )


_LOADERS: dict[str, Callable[[], Dataset]] = {
    "mnist": _mnist,
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "sprites": _sprites,
}
