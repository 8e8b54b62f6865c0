"""`python -m vae_lib`: train, evaluate and sample without writing a program.

    python -m vae_lib train runs/first --data digits --hidden 64 --z-dim 2 --epochs 20
    python -m vae_lib train runs/second --config run.toml --lr 0.002
    python -m vae_lib train runs/first --resume --epochs 40
    python -m vae_lib evaluate runs/first --iwae-samples 100
    python -m vae_lib sample runs/first more.png --n 100 --seed 1
    torchrun --nproc-per-node=2 -m vae_lib train runs/third --data mnist

A run folder holds `config.toml`, `checkpoint.pt`, `history.csv` and `samples.png`. What goes wrong is said on
stderr, with exit status 2; a run that Ctrl-C stopped ends with status 130 and can be resumed.
"""

import argparse
import difflib
import io
import os
import re
import sys
import tempfile
import tomllib
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import matplotlib
import matplotlib.pyplot as plt
from torch import Tensor

from vae_lib import data, plotting
from vae_lib.data import DataError, Dataset
from vae_lib.evaluation import evaluate, isolated_rng, log_marginal
from vae_lib.models import VAE, BernoulliDecoder, GaussianDecoder, GaussianEncoder
from vae_lib.networks import ConvDecoderBody, ConvEncoderBody
from vae_lib.processes import join_processes, pick_device
from vae_lib.training import (
    CheckpointError,
    TrainConfig,
    read_checkpoint,
    seed_everything,
    train,
    write_atomically,
)


@dataclass(frozen=True)
class RunConfig(TrainConfig):
    """What `train` needs, and the data and the model to train. A key of a TOML file each, and an option.

    Args:
        data: name of the dataset.
        binarize: draw every pixel as 0 or 1 with its grey value as probability: anew in every training step,
            once for validation and evaluation.
        likelihood: p(x|z), "bernoulli" or "gaussian".
        std: standard deviation of the Gaussian, 1 when not given.
        learn_std: train the standard deviation of the Gaussian, too.
        z_dim: number of latent coordinates.
        hidden: widths of the dense layers of the encoder, mirrored in the decoder; 400 when not given.
        seed: of the initial weights, shuffling and noise.
        channels: output channels of the encoder's convolutions, mirrored in the decoder, instead of `hidden`.
    Raises:
        ValueError: a value out of range, or two that exclude each other.

    >>> RunConfig(data="digits", hidden=(64,)).epochs
    10
    """

    data: Literal["mnist", "digits", "fashion-mnist", "sprites"] = "mnist"
    binarize: bool = False
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    std: float | None = None
    learn_std: bool = False
    z_dim: int = 20
    hidden: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in typing.get_type_hints(RunConfig).items():
            value = getattr(self, name)
            if typing.get_origin(kind) is Literal and value not in typing.get_args(kind):
                choices = ", ".join(map(repr, typing.get_args(kind)))
                raise ValueError(f"{name} must be one of {choices}, got {value!r}")
        if self.z_dim < 1:
            raise ValueError(f"z_dim must be at least 1, got {self.z_dim}")
        if self.hidden is not None and self.channels is not None:
            raise ValueError("give hidden, for dense layers, or channels, for convolutions, not both")
        if self.channels == () or min(self.hidden or self.channels or (1,)) < 1:
            raise ValueError("widths in hidden and channels must be positive; channels needs at least one")
        if self.likelihood == "bernoulli" and (self.std is not None or self.learn_std):
            raise ValueError(
                "a Bernoulli has no std: take likelihood 'gaussian', or leave std and learn_std out"
            )


def build_model(config: RunConfig, dataset: Dataset) -> VAE:
    """The model that a configuration describes, with new weights.

    >>> config = RunConfig(data="digits", channels=(8, 16), z_dim=2)
    >>> build_model(config, data.load("digits")).sample(3).shape
    torch.Size([3, 64])
    """
    shape, x_dim, z_dim = dataset.image_shape, dataset.x_dim, config.z_dim
    down: Any
    up: Any
    if config.channels is not None:
        down, up = (
            ConvEncoderBody(shape, config.channels),
            ConvDecoderBody(z_dim, shape, config.channels),
        )
    else:
        down = (400,) if config.hidden is None else config.hidden
        up = tuple(reversed(down))
    encoder = GaussianEncoder(x_dim, z_dim, down)
    if config.likelihood == "bernoulli":
        return VAE(encoder, BernoulliDecoder(z_dim, x_dim, up))
    std = 1.0 if config.std is None else config.std
    return VAE(encoder, GaussianDecoder(z_dim, x_dim, up, std=std, learn_std=config.learn_std))


# --- the three commands ----------------------------------------------------------------------------


def train_command(run: Path, config_file: Path | None, resume: bool, **options: Any) -> int:
    """Train a model and write its run folder; 130 if Ctrl-C stopped it, else 0."""
    first = int(os.environ.get("RANK", "0")) == 0  # torchrun's number of this process
    given = _read_toml(config_file) | options if config_file else options
    if resume:
        config = _resumed_config(run, given)
    elif first and run.exists():
        raise FileExistsError(
            f"{run} is there already and is not overwritten. Add --resume to go on with it, or name "
            "another folder."
        )
    else:
        config = RunConfig(**given)
    join_processes(config.device)  # a device that is not there is an error before the folder is made
    dataset = data.load(config.data)
    seed_everything(config.seed)
    model = build_model(config, dataset)
    if first and not resume:
        _make_folder(run, config)
    history = train(
        model,
        dataset.train,
        valid=dataset.valid,
        config=config,
        batch_transform=data.bernoulli_sample if config.binarize else None,
        checkpoint=run / "checkpoint.pt",
        resume=resume,
    )
    if first:
        write_atomically(run / "config.toml", _to_toml(config).encode())  # a resumed run may have more epochs
        if len(history):
            history.to_csv(run / "history.csv")
        write_atomically(run / "samples.png", _picture(model, dataset, 64, config.seed))
        row = history.rows[-1] if len(history) else {}
        valid = [f"{k.removeprefix('valid_')} {v:.2f}" for k, v in row.items() if k.startswith("valid_")]
        stopped = ", stopped by hand (--resume goes on)" if history.interrupted else ""
        print(f"{run}: {len(history)} epochs{stopped}{'; valid: ' if valid else ''}{', '.join(valid)}")
    return 130 if history.interrupted else 0


def evaluate_command(run: Path, split: str, iwae_samples: int | None, device: str) -> int:
    """Print the terms of the bound on a split, in nats per example; one `name value` a line."""
    config, dataset, model = _read_run(run, device)
    x: Tensor = getattr(dataset, split)
    x = data.binarize(x) if config.binarize else x
    numbers = evaluate(model, x)._asdict()
    if iwae_samples is not None:
        log_p_x = log_marginal(model, x, n_samples=iwae_samples).log_p_x
        numbers[f"iwae_bound_{iwae_samples}"] = log_p_x.double().mean().item()
    print(f"# {config.data}, {split}, {len(x)} examples, nats per example")
    for name, value in numbers.items():
        print(f"{name} {value:.4f}")
    return 0


def sample_command(run: Path, picture: Path, n: int, seed: int, observation_noise: bool, device: str) -> int:
    """Write a grid of samples of the model as a PNG file that is not there yet."""
    if picture.exists():
        raise FileExistsError(f"{picture} is there already and is not overwritten; name another file")
    if n < 1:
        raise ValueError(f"--n must be at least 1, got {n}")
    _, dataset, model = _read_run(run, device)
    write_atomically(picture, _picture(model, dataset, n, seed, observation_noise))
    print(picture)
    return 0


# --- run folders -----------------------------------------------------------------------------------


def _make_folder(run: Path, config: RunConfig) -> None:
    """Make a run folder with its config.toml in one step: it is never there without."""
    run.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.parent, prefix=f".{run.name}.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        write_atomically(new / "config.toml", _to_toml(config).encode())
        new.rename(run)


def _resumed_config(run: Path, given: dict[str, Any]) -> RunConfig:
    """The configuration of a run, with the options given now: `train` refuses those that it cannot change."""
    if not (run / "config.toml").exists():
        raise FileNotFoundError(f"no run to resume at {run}; leave --resume out to start one")
    has_checkpoint = (run / "checkpoint.pt").exists()
    saved = _read_checkpoint(run)["config"] if has_checkpoint else _read_toml(run / "config.toml")
    return RunConfig(**saved | given)


def _read_checkpoint(run: Path) -> dict[str, Any]:
    state = read_checkpoint(run / "checkpoint.pt")
    if state["config"].keys() != {field.name for field in fields(RunConfig)}:
        raise CheckpointError(f"{run / 'checkpoint.pt'} was not written by `python -m vae_lib train`")
    return state


def _read_run(run: Path, device: str) -> tuple[RunConfig, Dataset, VAE]:
    """Configuration, data and trained model of a run folder: the best weights, where patience kept them."""
    if not (run / "checkpoint.pt").exists():
        raise FileNotFoundError(f"no trained model in {run}: `python -m vae_lib train {run}` writes one")
    state = _read_checkpoint(run)
    config = RunConfig(**state["config"])
    dataset = data.load(config.data)
    model = build_model(config, dataset)
    model.load_state_dict(state["best"]["weights"] or state["model"])
    return config, dataset, model.to(pick_device(device)).eval()


def _picture(model: VAE, dataset: Dataset, n: int, seed: int, observation_noise: bool = False) -> bytes:
    """A PNG file of n samples, always the same for a seed."""
    with isolated_rng(next(model.parameters()).device, seed):
        images = model.sample(n, observation_noise)
    matplotlib.use("Agg")  # no window, so no screen is needed
    plotting.use_style()
    ax = plotting.image_grid(images, image_shape=dataset.image_shape)
    png = io.BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(png, format="png", dpi=200)
    plt.close(figure)
    return png.getvalue()


# --- options and TOML ------------------------------------------------------------------------------


def _read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, checked by name and type; lists become tuples.

    Raises:
        FileNotFoundError, ValueError: no file, no TOML, an unknown key or a value of another type.
    """
    if not path.exists():
        raise FileNotFoundError(f"no configuration file {path}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    kinds = typing.get_type_hints(RunConfig)
    settings = {}
    for key, value in table.items():
        if key not in kinds:
            raise ValueError(f"{path}: no setting {key!r}.{_did_you_mean(key, kinds)}")
        kind = _kind(kinds[key])
        if isinstance(value, list) and kind is tuple:
            ok, value = all(type(v) is int for v in value), tuple(value)
        elif kind is float and type(value) is int:
            ok, value = True, float(value)
        else:
            ok = type(value) is (kind if isinstance(kind, type) else str)
        if not ok:
            raise ValueError(f"{path}: {key} = {value!r} should be {_describe(kind)}")
        settings[key] = value
    return settings


def _to_toml(config: RunConfig) -> str:
    """A configuration as TOML, to the last digit; what is None is left out, as TOML has no such value."""

    def literal(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return f'"{value}"'  # names only: nothing to escape
        return str(list(value) if isinstance(value, tuple) else value)

    return "".join(
        f"{name} = {literal(value)}\n" for name, value in asdict(config).items() if value is not None
    )


def _kind(hint: Any) -> Any:
    """What a value must be: int for int | None, tuple for tuple[int, ...], a Literal as it is.

    >>> _kind(int | None), _kind(tuple[int, ...] | None), _kind(float)
    (<class 'int'>, <class 'tuple'>, <class 'float'>)
    """
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return tuple if typing.get_origin(hint) is tuple else hint


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    return names.get(kind, "a list of integers")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if width)
    except ValueError:
        message = f"{text!r} should be integers with commas between, as 400,200"
        raise argparse.ArgumentTypeError(message) from None


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _add_options(parser: argparse.ArgumentParser) -> None:
    """One option for each field of RunConfig, with its type, its default and the text of its docstring."""
    helps: dict[str, str] = {}
    for cls in (TrainConfig, RunConfig):
        text = (cls.__doc__ or "").partition("Args:")[2].partition("Raises:")[0]
        for name, words in re.findall(r"^ {8}(\w+): ((?:.|\n(?! {8}\w))*)", text, re.MULTILINE):
            helps[name] = " ".join(words.split())
    hints = typing.get_type_hints(RunConfig)
    for field in fields(RunConfig):
        kind = _kind(hints[field.name])
        text = helps.get(field.name, "").replace("%", "%%")
        shown = "" if field.default is None else f" [{field.default}]"
        how: dict[str, Any] = {"type": kind, "metavar": "X"}
        if kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        elif kind is tuple:
            how = {"type": _widths, "metavar": "N,N,..."}
        elif typing.get_origin(kind) is Literal:
            how = {"choices": typing.get_args(kind)}
        flag = "--" + field.name.replace("_", "-")
        # Suppressed: only what was given stands above the TOML file.
        parser.add_argument(flag, default=argparse.SUPPRESS, help=text + shown, **how)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="python -m vae_lib",
        description="Train, evaluate and sample variational autoencoders.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    by_name: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, help: str, handler: Callable[..., int]) -> argparse.ArgumentParser:
        # No abbreviations: --epoch must not silently mean --epochs.
        by_name[name] = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        by_name[name].set_defaults(handler=handler)
        by_name[name].add_argument("run", type=Path, help="the run folder")
        return by_name[name]

    sub = command("train", "train a model and write a run folder, which must not be there yet", train_command)
    sub.add_argument(
        "--config",
        dest="config_file",
        type=Path,
        metavar="FILE",
        help="TOML file with settings; options overrule it",
    )
    sub.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the folder; only --epochs and --device may change",
    )
    _add_options(sub)

    sub = command("evaluate", "print the terms of the bound, in nats per example", evaluate_command)
    sub.add_argument(
        "--split", choices=("train", "valid", "test"), default="test", help="which examples [test]"
    )
    sub.add_argument(
        "--iwae-samples", type=int, metavar="S", help="also the importance-weighted bound with S samples"
    )
    sub.add_argument("--device", default="auto", metavar="X", help="as for train [auto]")

    sub = command("sample", "write a picture of samples from the prior", sample_command)
    sub.add_argument("picture", type=Path, help="the PNG file to write, which must not be there yet")
    sub.add_argument("--n", type=int, default=64, help="how many [64]")
    sub.add_argument("--seed", type=int, default=0, help="of the noise [0]")
    sub.add_argument(
        "--observation-noise",
        action="store_true",
        help="draw x ~ p(x|z); by default the mean E[x|z] is shown",
    )
    sub.add_argument("--device", default="auto", metavar="X", help="as for train [auto]")
    return parser, by_name


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Raises:
        SystemExit: with status 2, an option that does not exist; with status 0, --help.
    """
    parser, by_name = _parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        sub = by_name[options.command]
        flags = re.findall(r"--[\w-]+", sub.format_usage())
        sub.error(
            f"unknown: {' '.join(unknown)}.{_did_you_mean(unknown[0], flags)} --help lists what there is."
        )
    arguments = vars(options)
    command, handler = arguments.pop("command"), arguments.pop("handler")
    try:
        with warnings.catch_warnings():
            # A program's user wants the sentence, not the line of source that said it.
            warnings.showwarning = lambda message, *_: print(f"vae_lib: {message}", file=sys.stderr)
            if command != "train" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise ValueError("this is work for one process: start it without torchrun")
            return int(handler(**arguments))
    except (CheckpointError, DataError, FloatingPointError, OSError, ValueError) as error:
        print(f"vae_lib {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
