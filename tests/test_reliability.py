"""A run can be killed, stopped, starved of disk and fed nonsense: it goes on, or says what is wrong."""

import json
import os
import pickle
import queue
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vae_lib as vl
from vae_lib.training import write_atomically

BATCHES = 5  # of 64 in 300 examples
CONFIG = vl.TrainConfig(
    epochs=24, batch_size=64, lr=0.01, lr_schedule="cosine", kl_warmup_epochs=3, grad_clip=50.0,
    patience=40, device="cpu",
)  # fmt: skip


def images() -> Tensor:
    return torch.rand(300, 16, generator=torch.Generator().manual_seed(0)).square()


def make_model() -> vl.VAE:
    vl.seed_everything(1)
    return vl.dense_vae(16, (12,), 2)


def full_run(
    checkpoint: Path | None = None,
    config: vl.TrainConfig = CONFIG,
    each_batch: Callable[[], object] | None = None,
    **options,
) -> tuple[vl.VAE, vl.History]:
    """All that a checkpoint has to carry: shuffling, noise, binarisation, schedules, best weights."""

    def transform(x: Tensor) -> Tensor:
        if each_batch:
            each_batch()
        return vl.bernoulli_sample(x)

    model, x = make_model(), images()
    history = vl.train(
        model, x, valid=x[:50], config=config, batch_transform=transform, checkpoint=checkpoint,
        progress=False, **options,
    )  # fmt: skip
    return model, history


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


# --- killed ----------------------------------------------------------------------------------------


def kill_twenty_times(checkpoint: Path, seed: int) -> None:
    """Start the run twenty times, and kill it each time at a random moment of a random step.

    Runs in a process of its own, on one thread, so that it can fork safely: importing torch anew for each of
    the twenty would take a minute. A child reports every batch and waits for leave to go on, so it cannot
    outrun its killer, however busy the machine is.
    """
    torch.set_num_threads(1)
    full_run(config=vl.TrainConfig(epochs=1, device="cpu"))  # what torch loads late, it loads here
    chance = random.Random(seed)
    kills = 0
    while kills < 20:
        report_end, report = os.pipe()
        leave, leave_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(report_end)
            os.close(leave_end)

            def meet(report: int = report, leave: int = leave) -> None:
                os.write(report, b".")
                os.read(leave, 1)

            full_run(checkpoint, resume=True, each_batch=meet)
            os._exit(0)  # not reached: see the number of steps below
        os.close(report)
        os.close(leave)
        # Every other one in the last step of an epoch, which validates and saves; the first one later.
        # At most one epoch is saved each time, so that 20 kills leave some of the 24 to the last run.
        step = BATCHES if kills % 2 else chance.randint(1 if kills else BATCHES + 1, 2 * BATCHES - 1)
        for _ in range(1 + step):  # the first report is of the validation data
            assert os.read(report_end, 1) == b".", "the run ended by itself"
            os.write(leave_end, b".")
        time.sleep(chance.uniform(0, 0.015))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(report_end)
        os.close(leave_end)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        kills += 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_twenty_times_ends_in_the_same_bits(tmp_path):
    path = tmp_path / "run.pt"
    seed = random.randrange(1000)  # another one in every run; the error shows the command with it
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_reliability as t; "
        "t.kill_twenty_times(pathlib.Path(sys.argv[2]), seed=int(sys.argv[3]))"
    )
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, here, str(path), str(seed)], check=True)
    epochs_so_far = len(vl.read_checkpoint(path)["history"]["rows"])
    assert 0 < epochs_so_far <= 20
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the killed ones: the order of additions depends on it
    try:
        whole, h_whole = full_run()
        resumed, h_resumed = full_run(path, resume=True)
    finally:
        torch.set_num_threads(threads)
    assert h_resumed == h_whole
    assert len(h_whole) == CONFIG.epochs
    assert same_weights(resumed, whole)
    # A process that dies while it writes leaves its half of a file; the next one sweeps it away.
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


# --- damaged checkpoints ---------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    short = vl.TrainConfig(epochs=1, batch_size=64, device="cpu")
    vl.train(make_model(), images(), config=short, checkpoint=tmp_path / "run.pt", progress=False)
    return tmp_path / "run.pt"


def refuses(path: Path) -> bool:
    """Whether resuming is refused; either way the file, and if so the model, must be as before."""
    content, model = path.read_bytes(), make_model()
    config = vl.TrainConfig(epochs=1, batch_size=64, device="cpu")  # nothing left to do if it is accepted
    try:
        vl.train(model, images(), config=config, checkpoint=path, resume=True, progress=False)
    except vl.CheckpointError:
        assert same_weights(model, make_model())
        return True
    finally:
        assert path.read_bytes() == content
    return False


def test_a_flipped_bit_is_noticed_or_harmless(checkpoint):
    content = checkpoint.read_bytes()
    good = vl.read_checkpoint(checkpoint)
    with zipfile.ZipFile(checkpoint) as archive:
        payload = sum(info.file_size for info in archive.infolist()) / len(content)
    chance, refused, n = random.Random(0), 0, 80
    for _ in range(n):
        position = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[position] ^= 1 << chance.randrange(8)
        checkpoint.write_bytes(damaged)
        if refuses(checkpoint):
            refused += 1
        else:  # padding, or a field of the archive that nobody reads
            again = vl.read_checkpoint(checkpoint)
            assert all(torch.equal(again["model"][k], v) for k, v in good["model"].items())
            assert again["history"] == good["history"]
    assert refused > 0.8 * payload * n


def test_a_checkpoint_cut_anywhere_is_refused(checkpoint):
    content = checkpoint.read_bytes()
    for _ in range(40):
        checkpoint.write_bytes(content[: random.Random(_).randrange(len(content))])
        assert refuses(checkpoint)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"epoch,lr\n1,0.1\n", b"PK\x03\x04" + b"junk" * 300, b"\x80\x02."]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "run.pt").write_bytes(content)
    assert refuses(tmp_path / "run.pt")


def test_a_checkpoint_that_lacks_a_part_is_refused(checkpoint):
    state = vl.read_checkpoint(checkpoint)
    for part in ("model", "optimizer", "config", "history", "best", "rng"):
        torch.save({k: v for k, v in state.items() if k != part}, checkpoint)
        with pytest.raises(vl.CheckpointError, match=f"it has no '{part}'"):
            vl.read_checkpoint(checkpoint)
        assert refuses(checkpoint)


def test_code_in_a_checkpoint_is_not_executed_by_resuming(checkpoint, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    state = vl.read_checkpoint(checkpoint)
    torch.save(state | {"history": Bomb()}, checkpoint)  # otherwise a perfect checkpoint
    assert refuses(checkpoint)
    checkpoint.write_bytes(pickle.dumps(Bomb()))
    assert refuses(checkpoint)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))  # it is a working one
    assert (tmp_path / "exploded").exists()


# --- disk full -------------------------------------------------------------------------------------


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """The operating system refuses to write beyond n_bytes: a write that breaks off, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_breaks_off_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    whole, h_whole = full_run()
    left = iter(range(1 + 3 * BATCHES))  # one call is for the validation data
    with ExitStack() as full_disk:

        def fill_the_disk() -> None:
            if next(left, None) is None:
                full_disk.enter_context(files_no_longer_than(5000))

        with pytest.raises(OSError, match=r"File too large: .*run\.pt"):
            full_run(path, each_batch=fill_the_disk)
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert len(vl.read_checkpoint(path)["history"]["rows"]) == 3
    resumed, h_resumed = full_run(path, resume=True)
    assert h_resumed == h_whole
    assert same_weights(resumed, whole)


FULL_DISK = """
import os, sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_reliability as t, vae_lib as vl
disk = Path(sys.argv[2]); path = disk / "run.pt"
def fill():
    if path.exists() and len(vl.read_checkpoint(path)["history"]["rows"]) == 3:
        with open(disk / "filler", "ab", buffering=0) as file:
            try:
                while True: file.write(b"x" * 4096)
            except OSError: pass
try:
    t.full_run(path, each_batch=fill)
except OSError as error:
    print(error)
print(len(vl.read_checkpoint(path)["history"]["rows"]), sorted(p.name for p in disk.iterdir()))
"""


@pytest.mark.slow
def test_a_disk_that_really_is_full(tmp_path):
    """A file system of 256 KiB in memory, mounted where only this test sees it."""
    inside = 'mount -t tmpfs -o size=256k tmpfs "$1" && shift && exec "$@"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh", str(tmp_path)]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let us mount a small file system")
    program = [sys.executable, "-c", FULL_DISK, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run([*unshare, *program], capture_output=True, text=True, check=True)
    error, state = done.stdout.splitlines()
    assert "No space left on device" in error
    assert "run.pt" in error
    assert state == "3 ['filler', 'run.pt']"


def test_what_a_killed_writer_left_is_swept_away_and_nothing_else(tmp_path):
    for name in (".a.pt.0123.tmp", ".b.pt.0123.tmp", "a.pt.tmp"):
        (tmp_path / name).write_bytes(b"half")
    write_atomically(tmp_path / "a.pt", b"whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.pt.0123.tmp", "a.pt", "a.pt.tmp"]
    write_atomically(tmp_path / "[a].pt", b"whole")  # brackets mean something to glob
    assert (tmp_path / "[a].pt").read_bytes() == b"whole"


# --- stopped by hand -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["batch", "validation", "fsync", "replace", "after replace"])
def test_ctrl_c_anywhere_leaves_model_history_and_checkpoint_that_agree(tmp_path, monkeypatch, where):
    path = tmp_path / "run.pt"
    whole, h_whole = full_run()
    calls = iter(range(10**6))

    def at(call: int) -> None:
        if next(calls) == call:
            signal.raise_signal(signal.SIGINT)

    model, x = make_model(), images()

    def objective(m: vl.VAE, batch: Tensor) -> vl.ElboTerms:
        if where == ("batch" if m.training else "validation"):
            at(3 * BATCHES + 2 if where == "batch" else 3)
        return vl.elbo(m, batch)

    with monkeypatch.context() as patch:
        fsync, replace = os.fsync, os.replace

        def pressed_fsync(*args: int) -> None:
            if where == "fsync":
                at(3)
            fsync(*args)

        def pressed_replace(*args: Path) -> None:
            if where == "replace":
                at(3)
            replace(*args)
            if where == "after replace":
                at(2)

        patch.setattr(os, "fsync", pressed_fsync)
        patch.setattr(os, "replace", pressed_replace)
        with pytest.warns(UserWarning, match="stopped by hand after 3 complete epochs.*holds them"):
            history = vl.train(
                model, x, valid=x[:50], config=CONFIG, batch_transform=vl.bernoulli_sample, checkpoint=path,
                objective=objective, progress=False,
            )  # fmt: skip

    assert history.interrupted
    assert history.rows == h_whole.rows[:3]
    assert vl.read_checkpoint(path)["history"]["rows"] == history.rows
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert math_is_fine(model)
    resumed, h_resumed = full_run(path, resume=True)
    assert h_resumed == h_whole
    assert same_weights(resumed, whole)


def math_is_fine(model: vl.VAE) -> bool:
    """The model can be evaluated, sampled and trained on."""
    terms = vl.evaluate(model, images())
    more = vl.train(model, images(), config=vl.TrainConfig(epochs=1, device="cpu"), progress=False)
    return np.isfinite([*terms, more["train_elbo"][0]]).all() and model.sample(2).shape == (2, 16)


def test_ctrl_c_before_the_first_checkpoint_says_that_nothing_is_saved(tmp_path):
    presses = iter([False, False, True])

    def press() -> None:
        if next(presses):
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="after 0 complete epochs. Nothing is saved yet"):
        _, history = full_run(tmp_path / "run.pt", each_batch=press)
    assert len(history) == 0
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_interrupting_a_notebook_kernel(tmp_path, monkeypatch):
    """The button of a notebook: a kernel of its own, interrupted while a cell trains."""
    manager = pytest.importorskip("jupyter_client.manager")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "run.pt"
    kernel = manager.KernelManager()
    kernel.start_kernel()
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)

        def run(code: str, interrupt_when: Callable[[], bool] | None = None) -> tuple[str, str]:
            """Status of the cell and what it printed."""
            request, printed = client.execute(code), ""
            while True:
                if interrupt_when is not None and interrupt_when():
                    kernel.interrupt_kernel()
                    interrupt_when = None
                try:
                    message = client.get_iopub_msg(timeout=0.1 if interrupt_when else 60)
                except queue.Empty:
                    continue
                if message["parent_header"].get("msg_id") != request:
                    continue
                if message["msg_type"] == "stream":
                    printed += message["content"]["text"]
                elif message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    return client.get_shell_msg(timeout=60)["content"]["status"], printed

        status, _ = run(
            "import torch, json, vae_lib as vl; x = torch.rand(300, 16); model = vl.dense_vae(16, (12,), 2); "
            "config = vl.TrainConfig(epochs=10**6, batch_size=64, device='cpu')"
        )
        assert status == "ok"
        status, printed = run(
            f"history = vl.train(model, x, valid=x[:50], config=config, checkpoint={str(path)!r})",
            interrupt_when=path.exists,
        )
        assert status == "ok"  # no traceback: the cell ends, and the next one has a history
        assert "stopped by hand after" in printed
        status, printed = run(
            f"state = vl.read_checkpoint({str(path)!r})\n"
            "print(json.dumps([history.interrupted, len(history), state['history']['rows'] == history.rows, "
            "vl.evaluate(model, x).elbo, list(model.sample(3).shape)]))\n"
            f"more = vl.train(model, x, valid=x[:50], config=vl.TrainConfig(epochs=len(history) + 1, "
            f"batch_size=64, device='cpu'), checkpoint={str(path)!r}, resume=True, progress=False)\n"
            "print(len(more) - len(history), more.rows[:-1] == history.rows)"
        )
        assert status == "ok", printed
        first, second = printed.splitlines()
        interrupted, epochs, equal, elbo, shape = json.loads(first)
        assert (interrupted, equal, shape) == (True, True, [3, 16])
        assert epochs >= 1
        assert np.isfinite(elbo)
        assert second == "1 True"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


# --- wrong inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (lambda x: torch.where(x == x[7, 3], torch.nan, x), ValueError, r"1 of 300 examples .* number 7"),
        (lambda x: torch.where(x == x[7, 3], torch.inf, x), ValueError, r"1 of 300 examples .* number 7"),
        (lambda x: x - 1e-3, ValueError, r"data in \[0, 1\]"),
        (lambda x: x * 255, ValueError, "Divide bytes by 255"),
        (lambda x: x.reshape(-1, 4, 4), ValueError, r"x\.flatten\(1\)"),
        (lambda x: x[0], ValueError, r"\(N, 16\), got \(16,\)"),
        (lambda x: x.sum(), ValueError, "no example"),
        (lambda x: x[:0], ValueError, "no example"),
        (lambda x: x[:, :0], ValueError, r"got \(300, 0\)"),
        (lambda x: (x * 255).byte(), TypeError, r"x\.float\(\) / 255"),
        (lambda x: x > 0.5, TypeError, "floating-point"),
        (lambda x: x.double(), TypeError, r"float64, the model is torch\.float32"),
        (lambda x: x.numpy(), TypeError, "as_tensor"),
        (lambda x: x.tolist(), TypeError, "as_tensor"),
    ],
)
def test_nonsense_is_named_before_anything_changes(tmp_path, bad, error, words):
    for data in ({"x": bad(images())}, {"x": images(), "valid": bad(images())}):
        model = make_model()
        with pytest.raises(error, match=words):
            vl.train(model, **data, checkpoint=tmp_path / "run.pt", progress=False)
        assert same_weights(model, make_model())
        assert not any(tmp_path.iterdir())


def test_one_example_gives_the_bound_of_that_example():
    """With steps too small to matter, the history is the bound of the one example, training and valid."""
    x = images()[:1]
    model = make_model()
    config = vl.TrainConfig(epochs=400, lr=1e-12, batch_size=128, device="cpu")
    history = vl.train(model, x, valid=x, config=config, progress=False)
    exact = vl.evaluate(model, x.expand(20_000, -1)).elbo
    spread = torch.tensor(history["train_elbo"]).std().item() / 20
    assert np.mean(history["train_elbo"]) == pytest.approx(exact, abs=5 * spread)
    assert history["valid_elbo"][0] == pytest.approx(exact, abs=5 * 20 * spread)


class Squares(NamedTuple):
    minus_square: Tensor


def test_a_model_of_ones_own_may_have_integers_and_is_told_about_nan():
    embedding = nn.Embedding(10, 3)
    words = torch.arange(10)
    history = vl.train(
        embedding, words, objective=lambda m, x: Squares(-m(x).square().sum(-1)),
        config=vl.TrainConfig(epochs=2, lr=0.1, device="cpu"), progress=False,
    )  # fmt: skip
    assert history["train_minus_square"][1] > history["train_minus_square"][0]

    x = torch.rand(10, 3)
    x[2, 1] = torch.nan
    linear = nn.Linear(3, 1)
    before = linear.weight.clone()
    with pytest.raises(FloatingPointError, match=r"1 of 10 examples; x itself, so look at the data"):
        vl.train(linear, x, objective=lambda m, x: Squares(-m(x).square().sum(-1)), progress=False)
    assert torch.equal(linear.weight, before)


@pytest.mark.parametrize(
    ("objective", "error", "words"),
    [
        (lambda m, x: Squares(vl.elbo(m, x).elbo.mean()), ValueError, r"shape \(\) .*expected \(64,\)"),
        (lambda m, x: Squares(m.decoder(m.encoder(x)[0])), ValueError, r"shape \(64, 16\)"),
        (lambda m, x: vl.elbo(m, x).elbo, TypeError, "returned Tensor, expected a NamedTuple"),
    ],
)
def test_an_objective_that_averages_or_has_no_names_is_named(objective, error, words):
    model = make_model()
    config = vl.TrainConfig(epochs=1, batch_size=64, device="cpu")
    with pytest.raises(error, match=words):
        vl.train(model, images(), objective=objective, config=config, progress=False)
    assert same_weights(model, make_model())
