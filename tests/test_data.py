"""data.py against published facts, an independent renderer, and failures that are provoked."""

import gzip
import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from vae_lib import data

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data._FILES


@pytest.fixture(scope="module")
def mnist() -> data.Dataset:
    return data.load("mnist")


@pytest.fixture(scope="module")
def sprites() -> data.Dataset:
    return data.load("sprites")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# --- what every dataset promises -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes", "shape"),
    [
        ("mnist", (50_000, 10_000, 10_000), (1, 28, 28)),
        ("digits", (1197, 300, 300), (1, 8, 8)),
        ("sprites", (10_000, 2_000, 2_000), (1, 32, 32)),
    ],
)
def test_every_split_is_what_the_docstring_says(name, sizes, shape):
    dataset = data.load(name)
    assert dataset.image_shape == shape
    assert dataset.x_dim == math.prod(shape)
    for split, size in zip(("train", "valid", "test"), sizes, strict=True):
        x, labels = getattr(dataset, split), getattr(dataset, f"{split}_labels")
        factors = getattr(dataset, f"{split}_factors")
        assert x.shape == (size, dataset.x_dim)
        assert x.dtype == torch.float32
        assert x.is_contiguous()
        assert x.min() == 0
        assert x.max() == 1
        assert labels.shape == (size,)
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(len(dataset.class_names)))
        assert factors.shape == (size, len(dataset.factor_names))
        for tensor in (x, labels, factors):  # no view of a larger tensor
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
    assert torch.equal(dataset.train_and_valid, torch.cat([dataset.train, dataset.valid]))
    assert len(repr(dataset)) < 200
    assert repr(name) in repr(dataset)
    with pytest.raises(AttributeError):
        dataset.train = dataset.test  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("minst", "mnist"), ("MNIST", "mnist"), ("fashion_mnist", "fashion-mnist"), ("zzz", None)],
)
def test_unknown_name_lists_the_known_ones(name, meant):
    with pytest.raises(ValueError, match="'mnist', 'digits', 'fashion-mnist', 'sprites'") as error:
        data.load(name)
    assert (f"Did you mean {meant!r}?" in str(error.value)) == (meant is not None)
    assert ("Did you mean" in str(error.value)) == (meant is not None)


# --- MNIST and digits ----------------------------------------------------------------------------


def test_mnist_has_its_published_statistics(mnist):
    labels = torch.cat([mnist.train_labels, mnist.valid_labels])
    expected = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == expected
    assert mnist.test_labels.bincount()[1] == 1135
    assert mnist.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    x = mnist.train_and_valid
    assert x.double().mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert x.double().std().item() == pytest.approx(0.3081, abs=5e-5)


def test_mnist_first_image_is_an_upright_five(mnist):
    image = (mnist.train[0].view(28, 28) * 255).round().int()
    assert image[5, 12:18].tolist() == [3, 18, 18, 18, 126, 136]
    assert image[:5].sum() == 0
    assert image[25:].sum() == 0


def test_mnist_splits_are_the_files_in_order(mnist):
    for rows, filename in ((mnist.train_and_valid, IMAGES), (mnist.test, TEST_IMAGES)):
        raw = gzip.decompress((data._MNIST_DIR / filename).read_bytes())
        pixels = torch.frombuffer(bytearray(raw[16:]), dtype=torch.uint8)
        assert torch.equal((rows * 255).round().byte().flatten(), pixels)
    raw = gzip.decompress((data._MNIST_DIR / LABELS).read_bytes())
    assert mnist.valid_labels.tolist() == list(raw[-10_000:])


def test_digits_are_each_used_once_and_every_writer_everywhere():
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    digits = data.load("digits")
    ours = torch.cat([digits.train, digits.valid, digits.test])
    our_labels = torch.cat([digits.train_labels, digits.valid_labels, digits.test_labels])
    rows = {(tuple(row), int(k)): i for i, (row, k) in enumerate(zip(x / 16, labels, strict=True))}
    assert len(rows) == 1797  # no image occurs twice, so a row says where it came from
    origin = [rows[tuple(row), k] for row, k in zip(ours.tolist(), our_labels.tolist(), strict=True)]
    assert sorted(origin) == list(range(1797))
    for part in (origin[:1197], origin[1197:1497], origin[1497:]):
        blocks = np.bincount(np.array(part) * 13 // 1797, minlength=13)  # 13 writers, one by one
        assert (blocks > 0.5 * len(part) / 13).all()


def test_digits_and_sprites_do_not_depend_on_global_seeds(sprites):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  scikit-learn and numpy still read it
    assert torch.equal(data.load("sprites").test, sprites.test)
    first = data.load("digits").train
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002  scikit-learn and numpy still read it
    state = torch.get_rng_state()
    assert torch.equal(data.load("digits").train, first)
    data.load("sprites")
    assert torch.equal(torch.get_rng_state(), state)


# --- binary images -------------------------------------------------------------------------------


def test_bernoulli_sample_has_the_mean_and_differs_between_calls():
    torch.manual_seed(0)
    grey = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    x = grey.repeat(100_000, 1)
    draw = data.bernoulli_sample(x)
    assert set(draw.unique().tolist()) == {0.0, 1.0}
    assert draw.dtype == x.dtype
    assert draw.mean(0).tolist() == pytest.approx(grey.tolist(), abs=0.008)  # five sigma
    assert draw[:, 0].max() == 0
    assert draw[:, -1].min() == 1
    assert not torch.equal(draw, data.bernoulli_sample(x))
    assert torch.equal(x, grey.repeat(100_000, 1))  # x itself is left alone
    pair = [data.bernoulli_sample(x, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*pair)


def test_binarize_is_one_draw_for_all_times():
    x = torch.linspace(0, 1, 1000).repeat(200, 1)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    draw = data.binarize(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(draw, data.binarize(x))
    assert not torch.equal(draw, data.binarize(x, seed=1))
    assert torch.equal(draw[:50], data.binarize(x[:50]))  # a part is a part of the whole
    assert torch.equal(draw, data.binarize(x.T.contiguous().T))  # values count, not memory order
    assert (draw.mean(0) - x[0]).abs().max() < 0.18  # five sigma of a mean of 200
    assert draw.double().mean().item() == pytest.approx(0.5, abs=0.005)


def test_threshold():
    x = torch.tensor([0.0, 0.49, 0.5, 1.0], dtype=torch.float64)
    assert data.threshold(x).tolist() == [0, 0, 1, 1]
    assert data.threshold(x).dtype == x.dtype
    assert data.threshold(x, at=0.2).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("function", [data.bernoulli_sample, data.binarize, data.threshold])
def test_binarisation_refuses_what_is_no_grey_value(function: Callable[..., torch.Tensor]):
    for bad in (-0.01, 1.01, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            function(torch.tensor([0.5, bad]))
    with pytest.raises(ValueError, match="255"):
        function(torch.tensor([0, 255], dtype=torch.uint8))
    assert function(torch.empty(0, 784)).shape == (0, 784)


# --- sprites -------------------------------------------------------------------------------------


def moments(images: torch.Tensor, size: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Area, and centroid from the left and from the top, in units of the width."""
    stack = images.view(-1, size, size).double()
    centre = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    mass = stack.sum((1, 2))
    x = (stack.sum(1) * centre).sum(1) / mass
    y = (stack.sum(2) * centre).sum(1) / mass
    return mass / size**2, x, y


def test_sprite_area_and_centroid_tell_scale_and_place(sprites):
    area, x, y = moments(sprites.train)
    _, scale, _, true_x, true_y = sprites.train_factors.double().unbind(1)
    assert ((x - true_x).abs() * 32).max() < 0.1  # a tenth of a pixel
    assert ((y - true_y).abs() * 32).max() < 0.1
    assert (area / scale**2 - 1).abs().max() < 0.05
    assert (area / scale**2).mean().item() == pytest.approx(1, abs=0.01)


def test_sprite_factors_are_independent_and_fill_their_ranges(sprites):
    factors = sprites.train_factors.double()
    assert sprites.factor_names == ("shape", "scale", "rotation", "x", "y")
    assert torch.equal(sprites.train_labels, sprites.train_factors[:, 0].long())
    assert (factors[:, 0].long().bincount() / 10_000 - 1 / 3).abs().max() < 0.025
    for column, (low, high) in enumerate(data.SPRITE_FACTORS.values()):
        assert low <= factors[:, column].min()
        assert factors[:, column].max() <= high + 1e-6
        assert factors[:, column].mean().item() == pytest.approx((low + high) / 2, rel=0.05)
        assert factors[:, column].max() - factors[:, column].min() > 0.99 * (high - low)
    correlation = torch.corrcoef(factors.T) - torch.eye(5)
    assert correlation.abs().max() < 0.05
    everything = torch.cat([factors, sprites.valid_factors, sprites.test_factors])
    assert len(everything.unique(dim=0)) == 14_000  # the splits share no image
    edge = sprites.train.view(-1, 32, 32)
    assert edge[:, [0, -1]].max() == 0
    assert edge[:, :, [0, -1]].max() == 0


def test_sprite_images_are_drawn_from_their_factors(sprites):
    for split in ("train", "valid", "test"):
        images, factors = getattr(sprites, split), getattr(sprites, f"{split}_factors")
        assert torch.equal(images[-20:], data.draw_sprites(factors[-20:]))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_sprite_returns_after_its_period_and_not_before(kind):
    period = data.SPRITE_ROTATION_PERIODS[kind]

    def draw(angle: float) -> torch.Tensor:
        return data.draw_sprites(torch.tensor([kind, 0.3, angle, 0.47, 0.55]))

    for angle in (0.0, 0.4, 1.9):
        assert torch.allclose(draw(angle), draw(angle + period), atol=1e-4)
        for fraction in (0.25, 0.5, 0.75):
            assert (draw(angle) - draw(angle + fraction * period)).abs().max() > 0.3


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_sprite_turns_counter_clockwise(kind):
    angles = torch.tensor([0.3, 0.3 + math.pi / 2])
    factors = torch.tensor([kind, 0.28, 0.0, 0.5, 0.5]).repeat(2, 1)
    factors[:, 2] = angles
    before, after = data.draw_sprites(factors).view(2, 32, 32)
    assert torch.allclose(torch.rot90(before), after, atol=1e-4)  # rot90 is counter-clockwise


def covered(kind: int, scale: float, angle: float, x: float, y: float) -> np.ndarray:
    """The same picture by brute force: 20 x 20 points per pixel; area and centroid measured too."""

    def inside(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        if kind == 0:
            return (abs(p) < 1) & (abs(q) < 1)
        if kind == 1:
            return (p / 2) ** 2 + q**2 < 1
        lobes = [(p - c) ** 2 + (q - 0.5) ** 2 < 0.5 for c in (-0.5, 0.5)]
        return (abs(p) + abs(q) < 1) | lobes[0] | lobes[1]

    fine = (np.arange(2000) + 0.5) / 2000 * 5 - 2.5
    q, p = np.meshgrid(fine, fine, indexing="ij")
    body = inside(p, q)
    unit, p0, q0 = math.sqrt(body.sum()) * 5 / 2000, p[body].mean(), q[body].mean()
    points = (np.arange(640) + 0.5) / 640
    down, right = np.meshgrid(points - y, points - x, indexing="ij")
    plane = (right - 1j * down) * np.exp(-1j * angle) / scale * unit  # upwards is +i
    hits = inside(plane.real + p0, plane.imag + q0)
    return hits.reshape(32, 20, 32, 20).mean((1, 3))


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("pose", [(0.3, 0.0, 0.5, 0.5), (0.22, 0.7, 0.4, 0.61), (0.16, 2.5, 0.6, 0.3)])
def test_sprite_against_brute_force(kind, pose):
    image = data.draw_sprites(torch.tensor([kind, *pose])).view(32, 32).numpy()
    error = abs(image - covered(kind, *pose))
    assert error.max() < 0.2
    assert (error > 0.1).sum() <= 4
    assert error.mean() < 0.0015


def test_draw_sprites_keeps_leading_dimensions_and_size(sprites):
    factors = sprites.test_factors[:6]
    images = data.draw_sprites(factors.view(2, 3, 5))
    assert torch.equal(images.view(6, -1), data.draw_sprites(factors))
    assert data.draw_sprites(factors[0]).shape == (1024,)
    assert data.draw_sprites(torch.empty(0, 5)).shape == (0, 1024)
    large = data.draw_sprites(factors, size=64)
    halved = torch.nn.functional.avg_pool2d(large.view(6, 1, 64, 64), 2).view(6, -1)
    assert (halved - images.view(6, -1)).abs().max() < 0.25


@pytest.mark.parametrize(
    "row",
    [
        [3, 0.2, 0, 0.5, 0.5],
        [0.5, 0.2, 0, 0.5, 0.5],
        [-1, 0.2, 0, 0.5, 0.5],
        [0, 0.0, 0, 0.5, 0.5],
        [0, 0.2, math.nan, 0.5, 0.5],
        [0, 0.2, 0, 0.5, math.inf],
        [0, 0.2, 0, 0.5],
    ],
)
def test_draw_sprites_refuses_impossible_factors(row):
    with pytest.raises(ValueError, match=r"shape|scale|factors"):
        data.draw_sprites(torch.tensor([row]))


# --- IDX files -----------------------------------------------------------------------------------


def test_parse_idx_reads_row_by_row():
    array = np.arange(24).reshape(2, 3, 4)
    assert (data.parse_idx(idx(array)) == array).all()
    assert data.parse_idx(idx(np.array([9, 8]))).tolist() == [9, 8]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "begins with nothing"),
        (b"<html>", "begins with 3c 68 74 6d"),
        (b"\0\0\x08", "begins with"),
        (b"\0\0\x08\0", "begins with"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "begins with 00 00 0d 01"),  # floats
        (b"\x01\0\x08\x01\0\0\0\x01\0", "begins with"),
        (b"\0\0\x08\x02\0\0\0\x01\0\0", "header ends"),
        (idx(np.arange(6))[:-1], "5 bytes follow"),
        (idx(np.arange(6)) + b"\0", "7 bytes follow"),
    ],
)
def test_parse_idx_is_strict(raw, message):
    with pytest.raises(ValueError, match=message):
        data.parse_idx(raw)


def damaged(good: bytes) -> dict[str, tuple[bytes, str]]:
    flipped = bytearray(gzip.decompress(good))
    flipped[-1] ^= 1
    return {
        "truncated": (good[: len(good) // 2], "not a whole gzip file"),
        "html": (b"<html>404</html>", "not a whole gzip file"),
        "empty": (b"", "SHA-256"),
        "one bit": (gzip.compress(bytes(flipped)), "SHA-256"),
        "trash": (good[:12] + bytes(8) + good[20:], "not a whole gzip file"),
    }


def copy_of_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for filename in data._FILES:
        (folder / filename).symlink_to(data._MNIST_DIR / filename)
    monkeypatch.setattr(data, "_MNIST_DIR", folder)


@pytest.mark.parametrize("kind", ["truncated", "html", "empty", "one bit", "trash"])
def test_damaged_file_of_the_package_is_an_error(kind, tmp_path, monkeypatch):
    copy_of_mnist(tmp_path, monkeypatch)
    bad, message = damaged((tmp_path / TEST_LABELS).read_bytes())[kind]
    (tmp_path / TEST_LABELS).unlink()
    (tmp_path / TEST_LABELS).write_bytes(bad)
    with pytest.raises(data.DamagedFileError, match=message) as error:
        data.load("mnist")
    assert str(tmp_path / TEST_LABELS) in str(error.value)
    assert "install vae_lib" in str(error.value)


def test_missing_file_of_the_package_is_an_error(tmp_path, monkeypatch):
    copy_of_mnist(tmp_path, monkeypatch)
    (tmp_path / LABELS).unlink()
    with pytest.raises(data.DataError, match="install vae_lib again") as error:
        data.load("mnist")
    assert str(tmp_path / LABELS) in str(error.value)


# --- Fashion-MNIST: where it is looked for -------------------------------------------------------

SMALL = idx(np.arange(12).reshape(3, 2, 2))
GOOD = gzip.compress(SMALL)


class Places:
    """Every place `load("fashion-mnist")` may look, moved below a temporary folder, all empty."""

    def __init__(self, root: Path) -> None:
        self.own, self.debian, self.cache = root / "own", root / "debian", root / "cache"
        for folder in (self.own, self.debian):
            folder.mkdir()
        self.cached = self.cache / "vae_lib" / "fashion-mnist" / IMAGES

    def fill_cache(self, content: bytes) -> None:
        self.cached.parent.mkdir(parents=True)
        self.cached.write_bytes(content)


@pytest.fixture
def places(tmp_path, monkeypatch) -> Places:
    places = Places(tmp_path)
    monkeypatch.setenv("VAE_LIB_DATA", str(places.own))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "_DEBIAN_DIR", places.debian)
    monkeypatch.setattr(pooch, "os_cache", lambda project: places.cache / project)
    # Nobody listens on port 9: a test that means to download names its own mirrors.
    dead = [f"http://127.0.0.1:9/{i}/" for i in range(3)]
    monkeypatch.setattr(data, "_FASHION_MIRRORS", dead)
    return places


def fetch() -> np.ndarray:
    return data._fashion_file(IMAGES, sha(SMALL))


def test_first_place_that_has_the_file_wins(places, monkeypatch):
    """One byte of content says which place was read; take them away one by one."""
    subfolder = places.own / "fashion-mnist"
    subfolder.mkdir()
    folders = [subfolder, places.own, places.debian, places.cached.parent]
    seen = []
    monkeypatch.setattr(data, "_read", lambda path, sha256, advice: seen.append(path.parent))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / IMAGES).write_bytes(GOOD)
    for folder in folders:
        fetch()
        (folder / IMAGES).unlink()
    assert seen == folders


def test_all_places_give_the_content(places, monkeypatch):
    for folder in (places.own, places.debian):
        (folder / IMAGES).write_bytes(GOOD)
        assert fetch().tolist() == np.arange(12).reshape(3, 2, 2).tolist()
        (folder / IMAGES).unlink()
    monkeypatch.delenv("VAE_LIB_DATA")
    places.fill_cache(GOOD)
    assert fetch().shape == (3, 2, 2)


@pytest.mark.parametrize("kind", ["truncated", "html", "empty", "one bit", "trash"])
def test_bad_file_of_the_user_is_never_passed_over(kind, places):
    bad, message = damaged(GOOD)[kind]
    (places.debian / IMAGES).write_bytes(GOOD)
    (places.own / IMAGES).write_bytes(bad)
    with pytest.raises(data.DamagedFileError, match=message) as error:
        fetch()
    assert str(places.own / IMAGES) in str(error.value)
    assert "VAE_LIB_DATA" in str(error.value)
    assert (places.own / IMAGES).read_bytes() == bad  # not ours to remove


def test_bad_file_of_debian_is_an_error(places):
    (places.debian / IMAGES).write_bytes(GOOD[:-9])
    with pytest.raises(data.DamagedFileError, match="install the package dataset-fashion-mnist"):
        fetch()


def test_folder_in_the_way_of_a_file_is_an_error(places):
    (places.own / IMAGES).mkdir()
    with pytest.raises(data.DataError, match="cannot read"):
        fetch()


def test_mistyped_folder_is_an_error(places, monkeypatch):
    monkeypatch.setenv("VAE_LIB_DATA", str(places.own / "nowhere"))
    (places.debian / IMAGES).write_bytes(GOOD)
    with pytest.raises(data.DataError, match="nowhere is not a folder"):
        fetch()


# --- Fashion-MNIST: downloads --------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator["Server"]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class Server(ThreadingHTTPServer):
    """/good/, /html/, /missing/, /short/, /other/: the ways in which a mirror answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = {IMAGES: GOOD}
        self.asked: list[str] = []

    def mirrors(self, *kinds: str) -> list[str]:
        return [f"http://127.0.0.1:{self.server_address[1]}/{kind}/" for kind in kinds]


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        _, kind, filename = self.path.split("/")
        self.server.asked.append(kind)
        body = self.server.files[filename]
        length = len(body)
        if kind == "html":
            body = b"<html>please log in</html>"
            length = len(body)
        elif kind == "other":
            body = gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x07")
            length = len(body)
        elif kind == "short":  # the line breaks in the middle
            body = body[: length // 2]
        elif kind == "cut":  # half a file that says it is whole
            body = body[: length // 2]
            length = len(body)
        self.send_response(404 if kind == "missing" else 200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_download_tries_every_mirror_and_keeps_the_good_file(places, server, monkeypatch):
    kinds = ("html", "missing", "short", "cut", "other", "good", "html")
    monkeypatch.setattr(data, "_FASHION_MIRRORS", server.mirrors(*kinds))
    assert fetch().shape == (3, 2, 2)
    assert server.asked == list(kinds[:-1])  # each once, and none after the good one
    assert places.cached.read_bytes() == GOOD
    assert list(places.cached.parent.iterdir()) == [places.cached]  # nothing half-done lies around
    fetch()
    assert len(server.asked) == 6  # once downloaded, never again


@pytest.mark.parametrize("kind", ["html", "missing", "short", "cut", "other"])
def test_bad_download_leaves_nothing_and_says_what_to_do(kind, places, server, monkeypatch):
    mirrors = server.mirrors(kind)
    monkeypatch.setattr(data, "_FASHION_MIRRORS", mirrors)
    with pytest.raises(data.DataError) as error:
        fetch()
    for word in (mirrors[0] + IMAGES, "VAE_LIB_DATA", "apt install dataset-fashion-mnist"):
        assert word in str(error.value)
    assert "cannot write" not in str(error.value)
    assert list(places.cached.parent.iterdir()) == []


def test_no_network_lists_what_was_tried(places):
    with pytest.raises(data.DataError) as error:
        fetch()
    assert all(f"127.0.0.1:9/{i}/{IMAGES}" in str(error.value) for i in range(3))
    assert "Connect to the network" in str(error.value)


def test_cached_file_that_turned_bad_is_fetched_again(places, server, monkeypatch):
    places.fill_cache(GOOD[:-5])
    monkeypatch.setattr(data, "_FASHION_MIRRORS", server.mirrors("good"))
    with pytest.warns(UserWarning, match="fetching it again") as warned:
        assert fetch().shape == (3, 2, 2)
    assert str(places.cached) in str(warned[0].message)
    assert places.cached.read_bytes() == GOOD


def test_bad_cached_file_without_network_is_named(places):
    places.fill_cache(GOOD[:-5])
    with (
        pytest.warns(UserWarning, match="again"),
        pytest.raises(data.DataError, match=r"127\.0\.0\.1:9") as error,
    ):
        fetch()
    assert f"{places.cached} is not a whole gzip file" in str(error.value)


def test_failed_or_interrupted_download_leaves_a_good_file_alone(places, server, monkeypatch):
    places.fill_cache(GOOD)
    monkeypatch.setattr(data, "_FASHION_MIRRORS", server.mirrors("short", "html", "other"))
    with pytest.raises(data.DataError):
        data._download(places.cached, sha(SMALL), [])
    assert places.cached.read_bytes() == GOOD

    class Interrupted:
        def __init__(self, **_: object) -> None: ...

        def __call__(self, url: str, path: str, _: object) -> None:
            Path(path).write_bytes(GOOD[:10])
            raise KeyboardInterrupt

    monkeypatch.setattr(pooch, "HTTPDownloader", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        data._download(places.cached, sha(SMALL), [])
    assert places.cached.read_bytes() == GOOD
    assert list(places.cached.parent.iterdir()) == [places.cached]


def test_cache_that_cannot_be_written_is_reported(places):
    places.cache.write_text("a file where the folder should be")
    with pytest.raises(data.DataError, match=r"(?s)cannot write to .*VAE_LIB_DATA") as error:
        fetch()
    assert str(places.cached.parent) in str(error.value)


def test_fashion_mnist_is_downloaded_and_split_like_mnist(places, server, monkeypatch):
    """The whole way, with made-up images that carry their own number."""
    files = {}
    for part, size in (("train", 60_000), ("t10k", 10_000)):
        images = np.zeros((size, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 27, 27] = np.divmod(np.arange(size), 256)
        files[f"{part}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{part}-labels-idx1-ubyte.gz"] = idx(np.arange(size) % 10)
    server.files = {name: gzip.compress(raw, 1) for name, raw in files.items()}
    monkeypatch.setattr(data, "_FASHION_MIRRORS", server.mirrors("good"))
    monkeypatch.setattr(data, "_FASHION_SHA256", [sha(files[name]) for name in data._FILES])
    fashion = data.load("fashion-mnist")
    starts = {"train": (0, 50_000), "valid": (50_000, 60_000), "test": (0, 10_000)}
    for split, (start, stop) in starts.items():
        x = (getattr(fashion, split) * 255).round()
        assert torch.equal(x[:, 0] * 256 + x[:, -1], torch.arange(start, stop).float())
        assert torch.equal(getattr(fashion, f"{split}_labels"), torch.arange(start, stop) % 10)
    assert len(fashion.class_names) == 10
    assert len(server.asked) == 4


@pytest.mark.skipif(not data._DEBIAN_DIR.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_real_fashion_mnist(monkeypatch):
    monkeypatch.delenv("VAE_LIB_DATA", raising=False)
    fashion = data.load("fashion-mnist")
    x, labels = fashion.train_and_valid, torch.cat([fashion.train_labels, fashion.valid_labels])
    assert labels.bincount().tolist() == [6000] * 10
    assert fashion.test_labels.bincount().tolist() == [1000] * 10
    assert fashion.class_names[fashion.train_labels[0]] == "ankle boot"
    assert x.double().mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert x.double().std().item() == pytest.approx(0.3530, abs=5e-5)
