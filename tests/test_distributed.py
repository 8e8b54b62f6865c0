"""Two processes under torchrun compute what one process computes.

Started by torchrun, this file is the program that both processes run: it works through RUNS and writes what
came out. Started by pytest, it runs the same RUNS in one process and compares.
"""

import functools
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import vae_lib as vl
from vae_lib import training
from vae_lib.__main__ import main
from vae_lib.processes import Processes, join_processes

CLI = [
    "train",
    "run",
    "--data",
    "digits",
    "--hidden",
    "16",
    "--z-dim",
    "2",
    "--epochs",
    "2",
    "--device",
    "cpu",
]


def images(n: int) -> Tensor:
    return torch.rand(n, 64, generator=torch.Generator().manual_seed(0)).square()


class Squares(NamedTuple):
    minus_square: Tensor


class Own(nn.Module):
    """No VAE: chance in a layer, weights without use, weights that one example alone uses, buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 8), nn.Dropout(0.3), nn.Linear(8, 64))
        self.unused = nn.Linear(2, 2)
        self.seldom = nn.Linear(64, 64)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("first", torch.zeros(64))  # of its share: another one in every process

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
            self.first.copy_(x[0] if len(x) else -torch.ones(64))
        rare = x[:, :1] == images(301)[123, 0]
        return self.net(x + noise) + (rare * self.seldom(x) if rare.any() else 0)


def own_objective(model: Own, x: Tensor) -> Squares:
    noise = torch.distributions.Normal(0.0, 0.1).sample(x.shape) + torch.empty_like(x).uniform_(-1, 1)
    squares = (model(x, noise) - x).square().sum(-1)
    return Squares(-squares * torch.bernoulli(torch.full((len(x),), 0.5)))


def run(
    model: Callable[[], nn.Module], n: int, checkpoint: Path | None = None, resume: bool = False, **options
) -> tuple[nn.Module, vl.History]:
    settings = {k: options.pop(k) for k in list(options) if k in vl.TrainConfig.__dataclass_fields__}
    config = vl.TrainConfig(**({"epochs": 3, "batch_size": 64, "device": "cpu"} | settings))
    # Only the first process has the right weights: the others must get them from it.
    vl.seed_everything(1 + int(os.environ.get("RANK", "0")))
    net = model()
    history = vl.train(
        net, images(n), valid=images(50), config=config, checkpoint=checkpoint, resume=resume, **options
    )
    return net, history


def dense() -> vl.VAE:
    return vl.dense_vae(64, (12,), 2)


def conv() -> vl.VAE:
    return vl.conv_vae((1, 8, 8), (4,), 2)


# 301 = 4 * 64 + 45: shares of 23 and 22. 65 = 64 + 1: nothing is left for the second process.
RUNS: dict[str, Callable[[], tuple[nn.Module, vl.History]]] = {
    "elbo": lambda: run(dense, 301),
    "settings": lambda: run(
        dense, 301, epochs=6, beta=0.5, kl_warmup_epochs=2, lr_schedule="cosine", grad_clip=1.0, patience=1
    ),
    "one left over": lambda: run(conv, 65),
    "fewer examples than processes": lambda: run(dense, 1),
    "iwae, binarised": lambda: run(
        dense,
        301,
        objective=functools.partial(vl.iwae_bound, n_samples=5),
        batch_transform=vl.bernoulli_sample,
    ),
    "a module of one's own": lambda: run(Own, 301, objective=own_objective),
    "dropout, one left over": lambda: run(Own, 65, objective=own_objective),
}


def poisoned(model: vl.VAE, x: Tensor) -> vl.ElboTerms:
    """NaN for one example of the data, so in the share of one process only."""
    terms = vl.elbo(model, x)
    return terms._replace(elbo=torch.where(x[:, 0] == images(301)[123, 0], torch.nan, terms.elbo))


def gradient_of_ddp(batch: Tensor) -> float:
    """Largest difference between our gradient and DistributedDataParallel's, for shares of equal size."""

    class Step(nn.Module):
        def __init__(self, model: vl.VAE) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:  # the code is the mean: no chance
            mu, logvar = self.model.encoder(x)
            return -(self.model.decoder.log_prob(x, mu) - vl.gaussian_kl(mu, logvar))

    processes, _ = join_processes("cpu")
    vl.seed_everything(0)
    ours = dense()
    wrapped = nn.parallel.DistributedDataParallel(Step(dense()))
    wrapped.module.model.load_state_dict(ours.state_dict())
    with processes.share(batch) as part:
        wrapped(part).mean().backward()
        (Step(ours)(part).sum() / len(batch)).backward()
    processes.add_up_gradients(ours)
    pairs = zip(ours.parameters(), wrapped.module.model.parameters(), strict=True)
    return max(float((p.grad - q.grad).abs().max()) for p, q in pairs)


def program(out: Path) -> None:
    """What each process does; the file `rank.pt` holds what came out of it."""
    rank = int(os.environ["RANK"])
    saves: list[Path] = []
    real_save = training._save
    training._save = lambda path, *rest: (saves.append(path), real_save(path, *rest))[1]

    result: dict[str, Any] = {}
    bars, printed = io.StringIO(), io.StringIO()
    with redirect_stderr(bars):
        for name, one in RUNS.items():
            model, history = one()
            result[name] = {"rows": history.rows, "weights": model.state_dict()}
    result["bars"] = bars.getvalue()

    half = {"checkpoint": out / "two.pt", "progress": False}
    run(dense, 301, epochs=2, **half)
    result["there at once"] = (out / "two.pt").exists()
    _, history = run(dense, 301, epochs=3, resume=True, **half)
    result["resumed by two"] = {"rows": history.rows}
    _, history = run(dense, 301, epochs=3, checkpoint=out / "one.pt", resume=True, progress=False)
    result["begun by one, resumed by two"] = {"rows": history.rows}

    try:
        run(dense, 301, objective=poisoned, progress=False)
    except FloatingPointError as error:
        result["nan"] = str(error)
    result["ddp"] = gradient_of_ddp(images(64))

    os.chdir(out)
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        result["status"] = main(CLI)
    result["printed"] = printed.getvalue()
    result["saves"] = [str(path) for path in saves]
    torch.save(result, out / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "two"
    out.mkdir()
    run(dense, 301, epochs=2, checkpoint=out / "one.pt", progress=False)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*torchrun, __file__, str(out)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1))

    for name, one in RUNS.items():
        model, history = one()
        for rows in (first[name]["rows"], second[name]["rows"]):
            assert len(rows) == len(history), name
            for row, expected in zip(rows, history.rows, strict=True):
                assert row == pytest.approx(expected, rel=1e-5, abs=1e-5), name
        assert first[name]["rows"] == second[name]["rows"]  # not nearly: the same
        for key, weight in model.state_dict().items():
            assert torch.equal(first[name]["weights"][key], second[name]["weights"][key]), name
            torch.testing.assert_close(first[name]["weights"][key], weight, rtol=1e-3, atol=1e-3, msg=name)
    assert 3 <= len(first["settings"]["rows"]) <= 6

    whole = run(dense, 301, epochs=3, progress=False)[1]
    _, by_one = run(dense, 301, epochs=3, checkpoint=out / "two.pt", resume=True, progress=False)
    assert by_one.rows == first["resumed by two"]["rows"]  # two.pt is complete: nothing was left to do
    for name in ("resumed by two", "begun by one, resumed by two"):
        assert first[name] == second[name]
        for row, expected in zip(first[name]["rows"], whole.rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)

    # Only the first process writes, prints and draws; a file is there for both when `train` returns.
    assert "ELBO" in first["bars"]
    assert second["bars"] == ""
    assert len(first["saves"]) == 2 + 1 + 1 + 2
    assert second["saves"] == []
    assert first["there at once"]
    assert second["there at once"]

    # Both stop at a NaN that one of them met, and each says what it can.
    assert "elbo in 1 of" in first["nan"] + second["nan"]
    assert "in the examples of another process" in first["nan"] + second["nan"]
    assert max(first["ddp"], second["ddp"]) < 1e-6

    monkeypatch.chdir(tmp_path)
    assert (main(CLI), first["status"], second["status"]) == (0, 0, 0)
    assert first["printed"].startswith("run: 2 epochs; valid: elbo -")
    assert second["printed"] == ""
    files = ["checkpoint.pt", "config.toml", "history.csv", "samples.png"]
    assert sorted(p.name for p in (out / "run").iterdir()) == files
    tables = [(folder / "run" / "history.csv").read_text().splitlines() for folder in (out, tmp_path)]
    assert tables[0][0] == tables[1][0]
    for ours, expected in zip(tables[0][1:], tables[1][1:], strict=True):
        assert [*map(float, ours.split(","))] == pytest.approx([*map(float, expected.split(","))], rel=1e-5)


# --- the parts, in one process ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 64])
@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.randn_like(x),
        lambda x: torch.randn(3, *x.shape),  # samples lead
        lambda x: torch.rand(len(x)),
        lambda x: torch.randint(100, (len(x), 2)),
        lambda x: x.clone().normal_(1.0, 2.0),
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: torch.normal(x, x.exp()),
        lambda x: torch.multinomial(x.exp(), 2),
        lambda x: nn.functional.dropout(x + 1, 0.4),
        lambda x: torch.distributions.Laplace(x, 1.0).rsample(),
    ],
)
def test_shares_draw_the_noise_of_the_whole_batch(n, draw):
    x = torch.linspace(-1, 1, 7 * n).reshape(n, 7)
    torch.manual_seed(0)
    whole = draw(x)
    after = torch.rand(1)
    parts = []
    for rank in range(3):
        torch.manual_seed(0)
        with Processes(rank, 3).share(x) as part:
            parts.append(draw(part))
        if len(part):  # dropout draws nothing for no rows
            assert torch.equal(torch.rand(1), after)  # all go on from the same state
    dim = whole.shape.index(n)
    assert torch.equal(torch.cat(parts, dim), whole)
    assert [p.shape[dim] for p in parts] == {1: [1, 0, 0], 2: [1, 1, 0], 5: [2, 2, 1], 64: [22, 21, 21]}[n]


def test_a_draw_that_is_not_per_example_is_the_same_for_all():
    torch.manual_seed(0)
    expected = torch.rand(3, 4)
    for rank in (0, 1):
        torch.manual_seed(0)
        with Processes(rank, 2).share(torch.zeros(20, 2)):
            assert torch.equal(torch.rand(3, 4), expected)


def test_gradients_flow_through_shared_noise():
    mu = torch.zeros(5, 2, requires_grad=True)
    with Processes(1, 2).share(mu) as part:
        (vl.reparameterize(part, torch.zeros(2, 2)) * torch.tensor([1.0, 2.0])).sum().backward()
    assert mu.grad.tolist() == [[0, 0]] * 3 + [[1, 2]] * 2


def test_one_process_alone_is_left_alone():
    alone = Processes()
    x = torch.rand(4, 2)
    with alone.share(x) as part:
        assert part is x
    model = nn.Linear(2, 2)
    alone.copy_from_first(model)
    alone.add_up(x)
    alone.add_up_gradients(model)
    assert alone.from_first("value") == "value"
    assert model.weight.grad is None


def test_a_gpu_for_every_process_or_a_clear_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(ValueError, match=r"number 1 on this machine, which has 1.*--nproc-per-node=1"):
            join_processes(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match="need device='cpu' or 'cuda', got 'mps'"):
        join_processes("mps")


if __name__ == "__main__":
    program(Path(sys.argv[1]))
