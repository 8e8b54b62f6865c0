"""`python -m vae_lib`: a run folder that says what it is, and no option that is ignored or guessed."""

import csv
import dataclasses
import io
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib.image
import pytest
import torch

import vae_lib as vl
from vae_lib import __main__ as cli
from vae_lib.__main__ import RunConfig, main

SMALL = ["--data", "digits", "--hidden", "16,8", "--z-dim", "2", "--device", "cpu"]
FILES = ["checkpoint.pt", "config.toml", "history.csv", "samples.png"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")


def refused(capsys, *argv: str) -> str:
    """What a refused command says; it must say it on stderr, with status 2, and change no file."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}

    capsys.readouterr()
    before, folders = files(), set(Path().rglob("*"))
    try:
        status = main([*argv])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert files() == before
    assert set(Path().rglob("*")) == folders
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err


def rows(run: str) -> list[dict[str, float]]:
    with open(Path(run) / "history.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


# --- train -----------------------------------------------------------------------------------------


def test_a_run_is_what_the_library_does(capsys):
    assert main(["train", "runs/a", *SMALL, "--epochs", "2", "--lr", "0.01", "--seed", "3"]) == 0
    assert sorted(p.name for p in Path("runs/a").iterdir()) == FILES
    assert [p.name for p in Path("runs").iterdir()] == ["a"]

    digits = vl.load("digits")
    vl.seed_everything(3)
    model = vl.dense_vae(64, (16, 8), 2)
    config = vl.TrainConfig(epochs=2, lr=0.01, seed=3, device="cpu")
    history = vl.train(model, digits.train, valid=digits.valid, config=config)
    assert rows("runs/a") == history.rows
    saved = vl.read_checkpoint("runs/a/checkpoint.pt")["model"]
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    assert capsys.readouterr().out == (
        f"runs/a: 2 epochs; valid: elbo {history['valid_elbo'][-1]:.2f}, log_p_x_given_z "
        f"{history['valid_log_p_x_given_z'][-1]:.2f}, kl {history['valid_kl'][-1]:.2f}\n"
    )


def test_the_written_configuration_repeats_the_run():
    assert (
        main(["train", "a", *SMALL, "--epochs", "2", "--lr", "3e-05", "--binarize", "--grad-clip", "9"]) == 0
    )
    assert tomllib.loads(Path("a/config.toml").read_text())["lr"] == 3e-05
    assert main(["train", "b", "--config", "a/config.toml"]) == 0
    for name in ("config.toml", "history.csv", "samples.png"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


def test_every_setting_survives_the_file():
    """Each field with a value that is not its default: options -> config.toml -> configuration."""
    other = {
        "epochs": 3, "batch_size": 7, "lr": 1e-05, "lr_schedule": "cosine", "beta": 0.5,
        "kl_warmup_epochs": 1.5, "grad_clip": 3.0, "patience": 4, "seed": 5, "device": "cpu",
        "data": "digits", "binarize": True, "likelihood": "gaussian", "std": 0.25, "learn_std": True,
        "z_dim": 3, "hidden": (7, 5), "channels": (3,),
    }  # fmt: skip
    assert other.keys() == {field.name for field in dataclasses.fields(RunConfig)}
    for left_out in ("hidden", "channels"):  # they exclude each other
        settings = {k: v for k, v in other.items() if k != left_out}
        argv = []
        for name, value in settings.items():
            flag = "--" + name.replace("_", "-")
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            argv += [flag] if value is True else [flag, shown]
        parsed = vars(cli._parser()[0].parse_args(["train", "run", *argv]))
        assert {k: parsed[k] for k in settings} == settings
        Path("run.toml").write_text(cli._to_toml(RunConfig(**settings)))
        assert cli._read_toml(Path("run.toml")) == settings
    Path("run.toml").write_text(cli._to_toml(RunConfig(grad_clip=float("inf"), hidden=())))
    assert RunConfig(**cli._read_toml(Path("run.toml"))) == RunConfig(grad_clip=float("inf"), hidden=())


def test_options_overrule_the_file():
    Path("run.toml").write_text(
        'data = "digits"\nhidden = [8]\nz_dim = 2\nepochs = 5\nlr = 1\ndevice = "cpu"\n'
    )
    assert main(["train", "a", "--config", "run.toml", "--epochs", "1", "--lr", "0.01"]) == 0
    written = tomllib.loads(Path("a/config.toml").read_text())
    assert (written["epochs"], written["lr"], written["hidden"]) == (1, 0.01, [8])


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(RunConfig):
        assert f"--{field.name.replace('_', '-')}" in shown
    assert "learning rate of Adam. [0.001]" in shown
    assert "of the initial weights, shuffling and noise. [0]" in shown
    described = re.findall(
        r"--([a-z-]+) (?:X|\{[^}]*\}|N,N,\.\.\.|FILE)? ?[a-zA-Z\"]", shown.split("options:")[1]
    )
    assert len(described) >= len(dataclasses.fields(RunConfig))


@pytest.mark.parametrize(
    ("settings", "decoder"),
    [
        ({"channels": (4,)}, "BernoulliDecoder"),
        ({"hidden": ()}, "BernoulliDecoder"),
        ({"likelihood": "gaussian", "std": 0.3}, "GaussianDecoder"),
        ({"likelihood": "gaussian", "learn_std": True, "channels": (4, 8)}, "GaussianDecoder"),
    ],
)
def test_the_model_is_the_one_that_was_asked_for(settings, decoder):
    config = RunConfig(data="digits", z_dim=3, **settings)
    model = cli.build_model(config, vl.load("digits"))
    assert type(model.decoder).__name__ == decoder
    assert model.sample(2).shape == (2, 64)
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == list(settings.get("channels", ()))
    if decoder == "GaussianDecoder":
        assert model.decoder.std == pytest.approx(settings.get("std", 1.0))
        assert model.decoder.logvar.requires_grad == settings.get("learn_std", False)


# --- resume ----------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_longer_run():
    main(["train", "a", *SMALL, "--epochs", "2"])
    assert main(["train", "a", "--resume", "--epochs", "4"]) == 0
    main(["train", "b", *SMALL, "--epochs", "4"])
    for name in ("config.toml", "history.csv", "samples.png"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


@pytest.mark.filterwarnings("default")
def test_a_run_that_ctrl_c_stopped_can_be_resumed(capsys, monkeypatch):
    real, calls = vl.training.evaluate, iter(range(100))

    def pressed(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(vl.training, "evaluate", pressed)
        assert main(["train", "a", *SMALL, "--epochs", "4"]) == 130
    said = capsys.readouterr()
    assert "vae_lib: stopped by hand after 2 complete epochs" in said.err
    assert said.out.startswith("a: 2 epochs, stopped by hand (--resume goes on); valid: elbo -")
    assert len(rows("a")) == 2
    assert main(["train", "a", "--resume"]) == 0
    main(["train", "b", *SMALL, "--epochs", "4"])
    assert rows("a") == rows("b")


def test_a_run_that_died_before_its_first_checkpoint_can_be_resumed():
    main(["train", "a", *SMALL, "--epochs", "1"])
    for name in FILES:
        if name != "config.toml":
            Path("a", name).unlink()
    assert main(["train", "a", "--resume"]) == 0
    assert len(rows("a")) == 1


def test_only_epochs_and_device_may_change(capsys):
    main(["train", "a", *SMALL, "--epochs", "1"])
    assert "lr was 0.001 and is 0.1" in refused(capsys, "train", "a", "--resume", "--lr", "0.1")
    assert "hidden was (16, 8) and is (16,)" in refused(capsys, "train", "a", "--resume", "--hidden", "16")
    assert main(["train", "a", "--resume", "--lr", "0.001", "--epochs", "2"]) == 0


# --- evaluate and sample ---------------------------------------------------------------------------


def test_evaluate_prints_the_numbers_of_the_library(capsys):
    main(["train", "a", *SMALL, "--epochs", "2"])
    model = vl.dense_vae(64, (16, 8), 2)
    model.load_state_dict(vl.read_checkpoint("a/checkpoint.pt")["model"])
    capsys.readouterr()
    for split in ("test", "train"):
        assert main(["evaluate", "a", "--split", split, "--iwae-samples", "30"]) == 0
        head, *lines = capsys.readouterr().out.splitlines()
        x = getattr(vl.load("digits"), split)
        assert head == f"# digits, {split}, {len(x)} examples, nats per example"
        printed = {name: float(value) for name, value in (line.split() for line in lines)}
        expected = vl.evaluate(model, x)._asdict()
        bound = printed.pop("iwae_bound_30")
        assert printed == pytest.approx(expected, abs=1e-4)
        assert expected["elbo"] < bound < expected["elbo"] + 5
    main(["evaluate", "a"])
    assert "iwae" not in capsys.readouterr().out


def test_patience_is_evaluated_at_the_best_weights(capsys):
    main(["train", "a", *SMALL, "--epochs", "40", "--lr", "0.3", "--patience", "2"])
    best = max(row["valid_elbo"] for row in rows("a"))
    assert rows("a")[-1]["valid_elbo"] < best
    capsys.readouterr()
    main(["evaluate", "a", "--split", "valid"])
    assert f"elbo {best:.4f}\n" in capsys.readouterr().out


def test_a_binarised_run_is_evaluated_on_binary_images(capsys):
    main(["train", "a", *SMALL, "--epochs", "1", "--binarize"])
    model = vl.dense_vae(64, (16, 8), 2)
    model.load_state_dict(vl.read_checkpoint("a/checkpoint.pt")["model"])
    capsys.readouterr()
    vl.seed_everything(0)
    config, digits = vl.TrainConfig(epochs=1, device="cpu"), vl.load("digits")
    history = vl.train(
        vl.dense_vae(64, (16, 8), 2), digits.train, valid=digits.valid, config=config,
        batch_transform=vl.bernoulli_sample,
    )  # fmt: skip
    assert rows("a") == history.rows
    main(["evaluate", "a"])
    expected = vl.evaluate(model, vl.binarize(vl.load("digits").test)).elbo
    assert f"elbo {expected:.4f}\n" in capsys.readouterr().out


def test_sample_draws_the_grid(capsys):
    main(["train", "a", *SMALL, "--epochs", "1"])
    assert main(["sample", "a", "pictures/x.png", "--n", "9"]) == 0
    picture = matplotlib.image.imread("pictures/x.png")
    assert abs(picture.shape[0] / picture.shape[1] - 1) < 0.1  # three by three
    assert picture[..., :3].max() > 0.95
    assert picture[..., :3].min() < 0.9
    main(["sample", "a", "same.png", "--n", "9"])
    main(["sample", "a", "other.png", "--n", "9", "--seed", "1"])
    main(["sample", "a", "noisy.png", "--n", "9", "--observation-noise"])
    files = [Path(p).read_bytes() for p in ("pictures/x.png", "same.png", "other.png", "noisy.png")]
    assert files[0] == files[1]
    assert len(set(files)) == 3
    main(["sample", "a", "all.png"])
    assert Path("all.png").read_bytes() == Path("a/samples.png").read_bytes()


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("train a --epocs 3", "Did you mean --epochs?"),
        ("train a --epoch 3", "Did you mean --epochs?"),  # no abbreviations
        ("train a b", "unknown: b"),
        ("train", "required: run"),
        ("", "required: command"),
        ("evaluate a --epochs 3", "unknown: --epochs 3"),
        ("train a --epochs three", "invalid int value"),
        ("train a --epochs 0", "epochs must be at least 1"),
        ("train a --lr nan", "lr must be positive"),
        ("train a --data mnits", "invalid choice"),
        ("train a --hidden 4x", "integers with commas between"),
        ("train a --hidden 0", "must be positive"),
        ("train a --hidden 4 --channels 4", "not both"),
        ("train a --channels ,", "at least one"),
        ("train a --z-dim 0", "z_dim must be at least 1"),
        ("train a --std 0.1", "likelihood 'gaussian'"),
        ("train a --learn-std", "likelihood 'gaussian'"),
        ("train a --data digits --likelihood gaussian --std 0", "std must be positive"),
        ("train a --data digits --device tpu", "no device 'tpu'"),
        ("train a --config nothing.toml", "no configuration file nothing.toml"),
        ("train a --resume", "no run to resume at a"),
        ("evaluate a", "`python -m vae_lib train a` writes one"),
        ("sample a x.png", "`python -m vae_lib train a` writes one"),
        ("sample a x.png --n 0", "--n must be at least 1"),
    ],
)
def test_a_wrong_command_says_what_to_do_and_leaves_no_trace(capsys, argv, words):
    assert words in " ".join(refused(capsys, *argv.split()).split())


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("epocs = 3", "no setting 'epocs'. Did you mean epochs?"),
        ("[train]\nepochs = 3", "no setting 'train'."),
        ("epochs = '3'", "epochs = '3' should be an integer"),
        ("epochs = 3.0", "epochs = 3.0 should be an integer"),
        ("epochs = true", "should be an integer"),
        ("lr = true", "should be a number"),
        ("binarize = 1", "should be true or false"),
        ("hidden = 400", "should be a list of integers"),
        ("hidden = [4.0]", "should be a list of integers"),
        ("data = 3", "should be one of 'mnist', 'digits'"),
        ("data = 'mnits'", "data must be one of 'mnist', 'digits'"),
        ("epochs 3", "run.toml is not TOML"),
    ],
)
def test_a_wrong_file_says_what_to_do(capsys, toml, words):
    Path("run.toml").write_text(toml)
    assert words in refused(capsys, "train", "a", "--config", "run.toml")


def test_nothing_is_ever_overwritten(capsys):
    main(["train", "a", *SMALL, "--epochs", "1"])
    assert "Add --resume" in refused(capsys, "train", "a", *SMALL)
    assert "name another file" in refused(capsys, "sample", "a", "a/samples.png")
    Path("empty").mkdir()
    assert "Add --resume" in refused(capsys, "train", "empty", *SMALL)
    Path("file").write_text("mine")
    assert "is there already" in refused(capsys, "train", "file", *SMALL)
    assert "file" in refused(capsys, "train", "file/run", *SMALL)


def test_a_damaged_or_foreign_checkpoint_is_named(capsys):
    main(["train", "a", *SMALL, "--epochs", "1"])
    path = Path("a/checkpoint.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[:-500])
    for command in (["train", "a", "--resume"], ["evaluate", "a"], ["sample", "a", "x.png"]):
        assert "damaged" in refused(capsys, *command)
    state = torch.load(io.BytesIO(whole), weights_only=True)
    torch.save(state | {"config": dataclasses.asdict(vl.TrainConfig())}, path)
    assert "not written by `python -m vae_lib train`" in refused(capsys, "evaluate", "a")


@pytest.mark.slow
def test_as_a_program_it_writes_errors_to_stderr_and_no_traceback():
    program = [sys.executable, "-m", "vae_lib", "train", "a", *SMALL]
    done = subprocess.run([*program, "--lr", "1e30"], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vae_lib train: the loss is not finite in epoch 1")
    assert "Traceback" not in done.stderr


def test_torchrun_is_for_training_only(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "start it without torchrun" in refused(capsys, "evaluate", "a")
