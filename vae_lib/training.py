"""The training loop, in one piece, and the checkpoints that let it be stopped at any moment.

Read `train` first: everything else in this module is what it calls, in the order in which it calls it.
"""

import csv
import glob
import io
import math
import os
import random
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from tqdm import tqdm

from vae_lib.evaluation import evaluate, isolated_rng
from vae_lib.gradients import DenseElbo, can_write_out
from vae_lib.objectives import elbo
from vae_lib.processes import join_processes

Objective = Callable[..., Any]


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Frozen and without spare fields, so that a misspelt option is an error.

    Args:
        epochs: passes over the data.
        batch_size: examples per step; the last batch of an epoch may be smaller.
        lr: learning rate of Adam.
        lr_schedule: "constant"; "cosine", from lr down to 0 over all epochs; or "one-cycle", from lr / 10 up
            to lr in the first quarter of the steps and down to lr / 50 in the rest, which bears a larger lr.
        beta: weight of the KL in the loss. History and evaluation always hold the true bound.
        kl_warmup_epochs: epochs over which the weight rises linearly from 0 to beta.
        grad_clip: largest norm of the gradient; longer ones are scaled down to it.
        patience: stop after this many epochs without a better validation loss, and go back to the best
            weights. Counts from the end of the warm-up.
        seed: of shuffling and noise. The initial weights are the model's own: see `seed_everything`.
        device: "cpu", "cuda", "mps" or "auto", which takes the first of cuda, mps, cpu that is there.
    Raises:
        ValueError: a value out of range.

    Book: eq-loop-weighted, eq-loop-clip.

    >>> TrainConfig(epochs=3, kl_warmup_epochs=1).beta
    1.0
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    lr_schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    beta: float = 1.0
    kl_warmup_epochs: float = 0.0
    grad_clip: float | None = None
    patience: int | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        def need(ok: bool, what: str) -> None:
            if not ok:
                raise ValueError(f"TrainConfig: {what}")

        need(self.epochs >= 1, f"epochs must be at least 1, got {self.epochs}")
        need(self.batch_size >= 1, f"batch_size must be at least 1, got {self.batch_size}")
        need(0 < self.lr < math.inf, f"lr must be positive, got {self.lr}")
        need(
            self.lr_schedule in ("constant", "cosine", "one-cycle"),
            f"lr_schedule must be 'constant', 'cosine' or 'one-cycle', got {self.lr_schedule!r}",
        )
        need(0 <= self.beta < math.inf, f"beta must not be negative, got {self.beta}")
        need(
            0 <= self.kl_warmup_epochs < math.inf,
            f"kl_warmup_epochs must not be negative, got {self.kl_warmup_epochs}",
        )
        need(
            self.grad_clip is None or self.grad_clip > 0,
            f"grad_clip must be positive or None, got {self.grad_clip}",
        )
        need(
            self.patience is None or self.patience >= 1,
            f"patience must be at least 1 or None, got {self.patience}",
        )

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0 over the whole run.

        Book: eq-loop-cosine, eq-loop-one-cycle.
        """
        if self.lr_schedule == "constant":
            return self.lr
        done = step / (self.epochs * steps_per_epoch)
        if self.lr_schedule == "cosine":
            return 0.5 * self.lr * (1 + math.cos(math.pi * done))
        if done < 0.25:
            return self.lr * (0.1 + 0.9 * done / 0.25)
        return self.lr * (0.02 + 0.49 * (1 + math.cos(math.pi * (done - 0.25) / 0.75)))

    def beta_at(self, step: int, steps_per_epoch: int) -> float:
        """Weight of the KL at a step, counted from 0 over the whole run.

        Book: eq-loop-warmup.
        """
        if self.kl_warmup_epochs == 0:
            return self.beta
        return self.beta * min(1.0, step / (self.kl_warmup_epochs * steps_per_epoch))


@dataclass
class History:
    """One row per epoch: epoch, lr, beta, and each term of the objective for train and valid.

    All terms are means in nats per example. The train columns average over the epoch while the weights
    move; the valid columns are taken at its end. `seconds` is left out of comparisons.

    Book: eq-loop-epoch-mean.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list, compare=False)
    interrupted: bool = field(default=False, compare=False)

    def __getitem__(self, column: str) -> list[float]:
        if not self.rows or column not in self.rows[0]:
            raise KeyError(f"no column {column!r}; there are {', '.join(self.columns)}")
        return [row[column] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0]) if self.rows else []

    def to_csv(self, path: str | Path) -> None:
        """Write the table, one line per epoch, in full precision."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(Path(path), text.getvalue().encode())

    def _cells(self) -> list[list[str]]:
        shown = [
            [f"{v:.0f}" if k == "epoch" else f"{v:.4g}" if k in ("lr", "beta") else f"{v:.2f}"]
            for row in self.rows
            for k, v in row.items()
        ]
        width = len(self.columns)
        flat = [cell for (cell,) in shown]
        return [self.columns, *(flat[i : i + width] for i in range(0, len(flat), width))]

    def __str__(self) -> str:
        if not self.rows:
            return "History with no epoch yet"
        table = self._cells()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        return "\n".join(
            "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in table
        )

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{self}</p>"
        head, *body = self._cells()
        # A long name may break after an underscore, so that the table fits a narrow page.
        header = "".join(f'<th scope="col">{name.replace("_", "_<wbr>")}</th>' for name in head)
        lines = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>"


def train(
    model: nn.Module,
    x: Tensor,
    *,
    valid: Tensor | None = None,
    objective: Objective = elbo,
    config: TrainConfig | None = None,
    batch_transform: Callable[[Tensor], Tensor] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Fit a model by Adam on minus an objective. Changes the model in place.

    Under `torchrun` the processes share every batch, and the result is that of one process up to rounding:
    see `processes.Processes`. The history is the same in all of them; the first one writes and draws the bar.

    On a CPU the ELBO of a dense Bernoulli VAE has its gradient from `gradients.DenseElbo`, where it is
    written out. Everything else is left to autograd; the bits would be the same.

    Args:
        model: any module that the objective accepts; moved to the config's device.
        x: training examples, shape (N, D), held in memory.
        valid: validation examples, evaluated after every epoch. They never influence the weights,
            except through `patience`.
        objective: objective(model, x) -> NamedTuple of tensors (B,); the first field is made large, a field
            `kl` is what beta weights.
        config: the settings; TrainConfig() when not given.
        batch_transform: applied to every batch of x and once to `valid`: `bernoulli_sample` binarises anew
            at every step.
        checkpoint: file that is rewritten, in one piece, after every epoch. It fits any number of processes.
        resume: go on from `checkpoint`, to the same bits as a run that was never stopped. Starts from the
            beginning where there is no such file yet.
        progress: show a bar (the environment variable TQDM_DISABLE=1 turns it off everywhere).
    Returns:
        The history of all epochs, those before a resume included. After Ctrl-C too: `interrupted` is then
        True, and the model has the weights of the last step that was taken.
    Raises:
        ValueError, TypeError: data or settings that do not fit, before anything is changed; an objective
            that does not return named terms of shape (B,).
        FloatingPointError: the loss became NaN or infinite. The weights are those before that step.
        FileExistsError: a checkpoint is there and resume is False.
        CheckpointError: the checkpoint cannot be read or belongs to another model or run.

    Book: eq-loop-weighted, eq-loop-clip, def-numpy-adam.

    >>> from vae_lib.models import dense_vae
    >>> x = torch.rand(256, 64)
    >>> model, config = dense_vae(64, (32,), 2), TrainConfig(epochs=2)
    >>> history = train(model, x, config=config, progress=False)
    >>> history.columns
    ['epoch', 'lr', 'beta', 'train_elbo', 'train_log_p_x_given_z', 'train_kl']
    """
    config = config or TrainConfig()
    processes, device = join_processes(config.device)
    _check_before_training(model, x, valid, config, checkpoint, resume)
    checkpoint = Path(checkpoint) if checkpoint and processes.rank == 0 else None

    processes.copy_from_first(model.to(device))
    x = x.to(device)
    optimizer = _Adam(model, fused=device.type != "mps")
    passes: DenseElbo | _WithAutograd = _WithAutograd(model, objective)
    if objective is elbo and can_write_out(model):
        passes = DenseElbo(model)
    steps_per_epoch = math.ceil(len(x) / config.batch_size)
    history, best = History(), _Best()

    with isolated_rng(device, config.seed):
        if valid is not None:
            valid = batch_transform(valid) if batch_transform else valid
        state = None
        if checkpoint and resume and checkpoint.exists():
            state = _read_matching(checkpoint, model, config)
        state = processes.from_first(state)
        if state is not None:
            history, best = _restore(state, model, optimizer, device)

        progress = progress and processes.rank == 0
        bar = _progress_bar(config.epochs * steps_per_epoch, len(history) * steps_per_epoch, progress)
        model.train()
        try:
            for epoch in range(len(history), config.epochs):
                if _out_of_patience(best, epoch, config):
                    break
                started = time.perf_counter()
                _set_rng_state(processes.from_first(_rng_state(device)), device)
                order = torch.randperm(len(x), device=device)
                sums, seen = [], 0
                for i, index in enumerate(order.split(config.batch_size)):
                    step = epoch * steps_per_epoch + i
                    beta = config.beta_at(step, steps_per_epoch)
                    lr = config.lr_at(step, steps_per_epoch)

                    batch = x.index_select(0, index)
                    batch = batch_transform(batch) if batch_transform else batch
                    with processes.share(batch) as part:  # all of the batch, if this process is alone
                        terms = passes.forward(part)
                    _check_terms(terms, len(part))
                    totals = torch.stack(terms).detach().sum(dim=1)
                    processes.add_up(totals)
                    total = type(terms)(*totals.tolist())
                    if not math.isfinite(_weigh(total, beta)):
                        raise FloatingPointError(_diagnose(model, part, terms, epoch, step, config))

                    optimizer.zero_grad()
                    passes.backward(beta, len(batch))
                    processes.add_up_gradients(model)
                    if config.grad_clip is not None:
                        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
                    optimizer.step(lr)

                    sums.append(total)
                    seen += len(batch)
                    bar.update()
                    if i % 20 == 0:
                        bar.set_postfix_str(_postfix(total, len(batch)), refresh=False)

                row = {"epoch": epoch + 1, "lr": lr, "beta": beta}
                means = torch.tensor(sums, dtype=torch.float64).sum(dim=0) / seen
                row |= _named("train", terms, means.tolist())
                if valid is not None:
                    valid_terms = evaluate(model, valid, objective)
                    valid_terms = type(valid_terms)(*processes.from_first(tuple(valid_terms)))
                    row |= _named("valid", valid_terms, valid_terms)
                    if config.patience is not None and epoch + 1 > config.kl_warmup_epochs:
                        best.update(epoch, float(_weigh(valid_terms, config.beta)), model)
                history.rows.append(row)
                history.seconds.append(time.perf_counter() - started)
                if checkpoint:
                    _save(checkpoint, model, optimizer, config, history, best, device)
                processes.from_first(None)  # nobody goes on before the first process has written
        except KeyboardInterrupt:
            kept = " Nothing is saved yet." if checkpoint else ""
            if checkpoint and checkpoint.exists():
                # Pressed while saving, it may have come before or after the last epoch was in the file.
                history = History(**read_checkpoint(checkpoint)["history"])
                kept = f" {checkpoint} holds them; resume=True goes on from there."
            history.interrupted = True
            if processes.rank == 0:
                warnings.warn(f"stopped by hand after {len(history)} complete epochs.{kept}", stacklevel=2)
        finally:
            bar.close()
        if best.weights is not None and not history.interrupted:
            model.load_state_dict(best.weights)
    return history


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, so that weights made after this are the same in every run.

    `train` needs no call of this for its own noise: it starts from TrainConfig.seed.

    >>> seed_everything(0); first = torch.rand(1)
    >>> seed_everything(0); bool(first == torch.rand(1))
    True
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the legacy state is what scikit-learn reads)
    torch.manual_seed(seed)


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used. Nothing was loaded and nothing was overwritten."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of `train` without running any code that a file might hold.

    Returns:
        A dictionary with `model` (a state dict for `load_state_dict`), `config`, `history`, and what
        `train` needs to go on.
    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged, or not a checkpoint of `train`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        if zipfile.is_zipfile(path):
            # torch.load does not compare the checksums that it wrote: a flipped bit would be a wrong weight.
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")
        # weights_only refuses every pickle that would call anything but torch's own tensor builders.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint, nothing was loaded ({first_line}). "
            "Delete it, or name another file, to start anew."
        ) from error
    if not isinstance(state, dict) or state.get("format") != "vae_lib checkpoint 1":
        raise CheckpointError(
            f"{path} was not written by vae_lib.train. For a plain state dict use "
            "model.load_state_dict(torch.load(path, weights_only=True))."
        )
    if missing := {"model", "optimizer", "config", "history", "best", "rng"} - state.keys():
        raise CheckpointError(f"{path} is not complete, nothing was loaded: it has no {sorted(missing)[0]!r}")
    return state


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: whatever happens, it holds either the old bytes or all the new ones.

    Raises:
        OSError: it cannot be written, for example because the disk is full. The old file is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(new, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
    # What a process left that was killed right here.
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)


class _WithAutograd:
    """An objective and its gradient by PyTorch, in the form of `DenseElbo`."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        self.model, self.objective = model, objective

    def forward(self, x: Tensor) -> Any:
        self.terms = self.objective(self.model, x)
        return self.terms

    def backward(self, beta: float, n: int) -> None:
        # elbo - (beta - 1) kl = log p(x|z) - beta kl: the minus sign, beta and the batch mean.
        (_weigh(self.terms, beta).sum() / -n).backward()


class _Adam:
    """Adam by torch's own kernel, to the same bits as torch.optim.Adam, without that class around it.

    The class finds out at every step what stays the same in a run, which took 4 % of an epoch of a small
    network, and brings torch's compiler with it: two seconds of import in every new process.
    """

    def __init__(self, model: nn.Module, fused: bool) -> None:
        self.fused = fused  # all weights in one call
        self.parameters = list(model.parameters())
        self.state = [
            {
                "step": torch.zeros((), device=p.device if fused else "cpu", dtype=torch.float32),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
            for p in self.parameters
        ]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        # What the objective left out stays as it is, its count of steps too.
        both = zip(self.parameters, self.state, strict=True)
        used = [(p, p.grad, state) for p, state in both if p.grad is not None]
        adam(
            [p for p, _, _ in used],
            [gradient for _, gradient, _ in used],
            [state["exp_avg"] for _, _, state in used],
            [state["exp_avg_sq"] for _, _, state in used],
            [],
            [state["step"] for _, _, state in used],
            fused=self.fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """The part of torch.optim.Adam's state dict that changes."""
        return {"state": dict(enumerate(self.state))}

    def load_state_dict(self, saved: dict[str, dict[int, dict[str, Tensor]]]) -> None:
        # torch.optim.Adam, which wrote the first checkpoints, had no entry for a weight that was never used.
        for i, state in saved["state"].items():
            for name, value in state.items():
                self.state[i][name].copy_(value)


@dataclass
class _Best:
    """The weights with the best validation loss so far, for early stopping."""

    value: float = -math.inf
    epoch: int = -1
    weights: dict[str, Tensor] | None = None

    def update(self, epoch: int, value: float, model: nn.Module) -> None:
        if value > self.value:
            copy = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
            self.value, self.epoch, self.weights = value, epoch, copy


def _out_of_patience(best: _Best, epoch: int, config: TrainConfig) -> bool:
    return (
        config.patience is not None and best.weights is not None and epoch - 1 - best.epoch >= config.patience
    )


def _weigh(terms: Any, beta: float) -> Any:
    goal = terms[0]
    if beta == 1.0:
        return goal
    if not hasattr(terms, "kl"):
        raise ValueError(
            f"beta={beta:g} has no `kl` to weigh: this objective returns {', '.join(terms._fields)}. "
            "Leave beta at 1 and kl_warmup_epochs at 0."
        )
    return goal - (beta - 1.0) * terms.kl


def _check_terms(terms: Any, n: int) -> None:
    if not hasattr(terms, "_fields"):
        raise TypeError(
            f"the objective returned {type(terms).__name__}, expected a NamedTuple of tensors (B,), such as "
            "ElboTerms, with the one to maximise in front."
        )
    for name, term in zip(terms._fields, terms, strict=True):
        if term.shape != (n,):
            raise ValueError(
                f"the objective's term {name!r} has shape {tuple(term.shape)} for a batch of {n}, expected "
                f"({n},): one value per example, summed over pixels and latents, never averaged."
            )


def _named(split: str, terms: Any, values: Any) -> dict[str, float]:
    return {f"{split}_{name}": value for name, value in zip(terms._fields, values, strict=True)}


def _progress_bar(total: int, initial: int, progress: bool) -> Any:
    # Passing disable=False would overrule TQDM_DISABLE, which the book's build sets.
    silence = {} if progress else {"disable": True}
    return tqdm(total=total, initial=initial, unit="step", dynamic_ncols=True, **silence)


def _postfix(total: Any, n: int) -> str:
    short = {"elbo": "ELBO", "log_p_x_given_z": "reconstruction", "kl": "KL"}
    return ", ".join(f"{short.get(name, name)} {value / n:.2f}" for name, value in total._asdict().items())


def _diagnose(model: nn.Module, x: Tensor, terms: Any, epoch: int, step: int, config: TrainConfig) -> str:
    parts = [
        f"{name} in {int((~torch.isfinite(term)).sum())} of {len(term)} examples"
        for name, term in zip(terms._fields, terms, strict=True)
        if not torch.isfinite(term).all()
    ]
    if not parts:
        parts = ["in the examples of another process, or in the sum over the batch"]
    if x.is_floating_point() and not torch.isfinite(x).all():
        parts.append("x itself, so look at the data and the batch_transform first")
    broken = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    weights = (
        f"Weights were already not finite ({broken[0]}), so the gradient of the step before exploded."
        if broken
        else "All weights are finite and stay as they were before this step."
    )
    return (
        f"the loss is not finite in epoch {epoch + 1}, step {step}: NaN or infinite {'; '.join(parts)}. "
        f"{weights} Usual causes: a learning rate too large (lr is {config.lr:g}), a log-variance that "
        "ran away (try grad_clip=10), or a logarithm or division in an objective of your own."
    )


def _check_before_training(
    model: nn.Module,
    x: Tensor,
    valid: Tensor | None,
    config: TrainConfig,
    checkpoint: str | Path | None,
    resume: bool,
) -> None:
    for data in (x, valid):
        if data is None:
            continue
        if not isinstance(data, Tensor):
            raise TypeError(f"expected a torch tensor, got {type(data).__name__}. Use torch.as_tensor(x).")
        if data.ndim == 0 or len(data) == 0:
            raise ValueError("the data hold no example")
        # Models of one's own may take any shape and type: integers for words, NaN for what is missing.
        if check := getattr(model, "check_data", None):
            check(data)
            dtype = next(model.parameters()).dtype
            if data.dtype != dtype:
                raise TypeError(f"the data are {data.dtype}, the model is {dtype}. Use x.to({dtype}).")
    if config.patience is not None and valid is None:
        raise ValueError("patience watches the validation loss: pass valid=...")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs to know from where: pass checkpoint=...")
    if checkpoint is not None and not resume and Path(checkpoint).exists():
        raise FileExistsError(
            f"{checkpoint} is there already and is not overwritten. Pass resume=True to go on from it, "
            "or name another file."
        )


def _rng_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _save(
    path: Path,
    model: nn.Module,
    optimizer: _Adam,
    config: TrainConfig,
    history: History,
    best: _Best,
    device: torch.device,
) -> None:
    state = {
        "format": "vae_lib checkpoint 1",
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "config": asdict(config),
        "history": {"rows": history.rows, "seconds": history.seconds},
        "best": asdict(best),
        "rng": _rng_state(device),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _read_matching(path: Path, model: nn.Module, config: TrainConfig) -> dict[str, Any]:
    state = read_checkpoint(path)
    _check_same_run(path, state["config"], config)
    _check_same_model(path, state["model"], model.state_dict())
    return state


def _restore(
    state: dict[str, Any], model: nn.Module, optimizer: _Adam, device: torch.device
) -> tuple[History, _Best]:
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _set_rng_state(state["rng"], device)
    return History(**state["history"]), _Best(**state["best"])


def _check_same_run(path: Path, saved: dict[str, Any], config: TrainConfig) -> None:
    # More epochs may be added, unless the learning rate was planned for the old number of them.
    free = {"device", "epochs"} if config.lr_schedule == "constant" else {"device"}
    now = asdict(config)
    changed = [k for k in now if k not in free and now[k] != saved.get(k)]
    if changed:
        differences = ", ".join(f"{k} was {saved.get(k)!r} and is {now[k]!r}" for k in changed)
        raise CheckpointError(
            f"{path} belongs to a run with other settings: {differences}. Use the old settings to "
            "resume, or another checkpoint file to start anew."
        )


def _check_same_model(path: Path, saved: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    problems = [f"{name} is missing" for name in ours.keys() - saved.keys()]
    problems += [f"{name} is unknown to this model" for name in saved.keys() - ours.keys()]
    problems += [
        f"{name} has shape {tuple(saved[name].shape)}, the model {tuple(ours[name].shape)}"
        for name in ours.keys() & saved.keys()
        if saved[name].shape != ours[name].shape
    ]
    if problems:
        raise CheckpointError(
            f"{path} is of another model, nothing was loaded: {sorted(problems)[0]}"
            + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
        )
