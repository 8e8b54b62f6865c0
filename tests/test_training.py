"""The loop: what it minimises, that a stop loses nothing, and that a wrong input is named."""

import csv
import dataclasses
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import vae_lib as vl
from vae_lib import processes
from vae_lib.training import _Adam, write_atomically


@pytest.fixture
def x() -> Tensor:
    """300 images of 16 pixels with three modes, so that there is something to learn."""
    g = torch.Generator().manual_seed(0)
    modes = torch.rand(3, 16, generator=g).round()
    picked = modes[torch.randint(3, (300,), generator=g)]
    return (picked - 0.1 * torch.rand(300, 16, generator=g)).abs()


def make_model() -> vl.VAE:
    vl.seed_everything(1)
    return vl.dense_vae(16, (12,), 2)


def run(x: Tensor, **options) -> tuple[vl.VAE, vl.History]:
    model = make_model()
    settings = {k: options.pop(k) for k in list(options) if k in vl.TrainConfig.__dataclass_fields__}
    config = vl.TrainConfig(**({"epochs": 4, "batch_size": 64, "device": "cpu"} | settings))
    return model, vl.train(model, x, config=config, progress=False, **options)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_training_improves_the_bound(x):
    _, history = run(x, valid=x[:50], epochs=40, lr=1e-2)
    assert history["valid_elbo"][-1] > history["valid_elbo"][0] + 3


def test_one_step_is_adam_on_minus_the_beta_weighted_bound(x):
    """The first step written out by hand, autograd on the formula, against the loop."""
    beta, lr = 0.3, 0.01
    trained, _ = run(x, epochs=1, batch_size=300, beta=beta, lr=lr)

    model = make_model()
    torch.manual_seed(0)  # TrainConfig.seed
    batch = x[torch.randperm(300)]
    mu, logvar = model.encoder(batch)
    logits = model.decoder(mu + torch.exp(logvar / 2) * torch.randn_like(mu))
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()
    loss = (bce + beta * kl) / 300
    loss.backward()
    with torch.no_grad():
        # Adam's first step is lr * g / (|g| + eps), whatever its two decay rates are.
        for p in model.parameters():
            p -= lr * p.grad / (p.grad.abs() + 1e-8)
    for ours, by_hand in zip(trained.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, by_hand.grad)  # Adam alone would not notice a factor
        torch.testing.assert_close(ours, by_hand, atol=2e-5, rtol=0)


def test_history_is_the_true_bound_per_example_whatever_beta_and_batch_size(x):
    for batch_size in (7, 64, 1000):
        _, history = run(x, valid=x, epochs=1, batch_size=batch_size, beta=5.0, lr=1e-12)
        row = history.rows[0]
        for split in ("train", "valid"):
            difference = row[f"{split}_log_p_x_given_z"] - row[f"{split}_kl"]
            assert row[f"{split}_elbo"] == pytest.approx(difference, abs=1e-4)
        # Weights hardly moved, so train and valid are two noisy estimates of one number.
        assert row["train_elbo"] == pytest.approx(row["valid_elbo"], abs=0.1)


class Pixels(NamedTuple):
    sum_of_pixels: Tensor


def sum_of_pixels(model: torch.nn.Module, batch: Tensor) -> Pixels:
    """An objective that no weight can change, so that its history is known."""
    return Pixels(batch.sum(-1) + 0 * model(batch).sum(-1))


def run_known(x: Tensor, model: torch.nn.Module | None = None, **options) -> vl.History:
    config = vl.TrainConfig(epochs=2, batch_size=64, device="cpu")
    model = model or torch.nn.Linear(16, 16)
    return vl.train(model, x, objective=sum_of_pixels, config=config, progress=False, **options)


def test_history_holds_means_over_all_examples(x):
    history = run_known(x, valid=x[:50])  # 300 examples, the last batch has 44
    assert history["train_sum_of_pixels"] == pytest.approx([x.double().sum(-1).mean().item()] * 2, rel=1e-6)
    assert history["valid_sum_of_pixels"] == pytest.approx(
        [x[:50].double().sum(-1).mean().item()] * 2, rel=1e-6
    )


def test_layers_are_told_when_they_train(x):
    class Told(torch.nn.Linear):
        def forward(self, batch: Tensor) -> Tensor:
            told.append(self.training)
            return super().forward(batch)

    told: list[bool] = []
    run_known(x, Told(16, 16).eval(), valid=x[:50])
    assert told == ([True] * 5 + [False]) * 2


def test_same_seed_same_bits_other_seed_other_bits(x):
    first, h1 = run(x, valid=x[:50])
    torch.rand(17)  # the caller's random state does not matter
    second, h2 = run(x, valid=x[:50])
    other, h3 = run(x, valid=x[:50], seed=1)
    assert h1 == h2
    assert same_weights(first, second)
    assert h1 != h3
    assert not same_weights(first, other)


def test_validation_and_the_callers_random_state_do_not_touch_each_other(x):
    with_valid, _ = run(x, valid=x[:50])
    without, _ = run(x)
    assert same_weights(with_valid, without)
    model = make_model()
    torch.manual_seed(5)
    vl.train(model, x, valid=x[:50], config=vl.TrainConfig(epochs=1), progress=False)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_every_example_is_seen_once_an_epoch(x):
    seen: list[Tensor] = []

    def spy(batch: Tensor) -> Tensor:
        seen.append(batch)
        return batch

    run(x, epochs=2, batch_size=64, batch_transform=spy)
    assert [len(b) for b in seen] == [64, 64, 64, 64, 44] * 2
    for epoch in (torch.cat(seen[:5]), torch.cat(seen[5:])):
        assert torch.equal(epoch.unique(dim=0), x.unique(dim=0))
        assert len(epoch) == 300
    assert not torch.equal(torch.cat(seen[:5]), torch.cat(seen[5:]))


def test_batch_transform_reaches_training_and_validation(x):
    history = run_known(x, valid=x, batch_transform=torch.zeros_like)
    assert history["train_sum_of_pixels"] == history["valid_sum_of_pixels"] == [0.0, 0.0]


def test_kl_warmup_rises_linearly_to_beta():
    config = vl.TrainConfig(beta=2.0, kl_warmup_epochs=2)
    assert [config.beta_at(step, 10) for step in (0, 5, 10, 20, 99)] == [0.0, 0.5, 1.0, 2.0, 2.0]
    assert vl.TrainConfig(beta=2.0).beta_at(0, 10) == 2.0


def test_cosine_schedule_falls_from_lr_to_zero():
    config = vl.TrainConfig(epochs=2, lr=0.1, lr_schedule="cosine")
    rates = [config.lr_at(step, 10) for step in range(21)]
    assert rates[0] == 0.1
    assert rates[10] == pytest.approx(0.05)
    assert rates[20] == pytest.approx(0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)


def test_one_cycle_rises_in_the_first_quarter_and_falls_in_the_rest():
    config = vl.TrainConfig(epochs=4, lr=0.1, lr_schedule="one-cycle")
    rates = [config.lr_at(step, 10) for step in range(40)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[10] == pytest.approx(0.1)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert config.lr_at(40, 10) == pytest.approx(0.002)


def test_schedule_reaches_the_optimiser(x):
    _, constant = run(x)
    _, cosine = run(x, lr_schedule="cosine")
    assert set(constant["lr"]) == {1e-3}
    assert cosine["lr"] == sorted(cosine["lr"], reverse=True)
    assert constant["train_elbo"] != cosine["train_elbo"]


@pytest.mark.parametrize("fused", [True, False])
def test_adam_takes_the_steps_of_torchs_class(x, fused):
    """Ten steps with a rate that changes; the decoder has no part in every third one and keeps its count."""
    ours, theirs = make_model(), make_model()
    adam = _Adam(ours, fused)
    reference = torch.optim.Adam(theirs.parameters(), fused=fused, foreach=False)
    for i in range(10):
        for model, optimizer in ((ours, adam), (theirs, reference)):
            optimizer.zero_grad()
            if i % 3 == 1:
                vl.gaussian_kl(*model.encoder(x)).mean().backward()
                assert model.decoder.net[0].weight.grad is None
            else:
                torch.manual_seed(i)
                (-vl.elbo(model, x).elbo.mean()).backward()
        reference.param_groups[0]["lr"] = 0.01 / (i + 1)
        reference.step()
        adam.step(0.01 / (i + 1))
    assert same_weights(ours, theirs)
    for i, state in reference.state_dict()["state"].items():
        assert {k: v.tolist() for k, v in state.items()} == {k: v.tolist() for k, v in adam.state[i].items()}
    assert adam.state[0]["step"] == 10
    assert adam.state[-1]["step"] == 7


def test_training_does_not_wait_for_torchs_compiler():
    """`torch.optim` imports it: two seconds in every new process, for nothing that a run needs."""
    code = (
        "import sys, torch, vae_lib as vl\n"
        "vl.train(vl.dense_vae(4, (3,), 2), torch.rand(8, 4), progress=False)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradient_clipping_bounds_the_gradient(x):
    model, _ = run(x, epochs=1, grad_clip=0.01)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert norm <= 0.01 * 1.001


def test_early_stopping_keeps_the_best_weights(x):
    # A step so large that the bound gets worse after a while.
    model, history = run(x, valid=x[:60], epochs=60, lr=0.3, patience=3)
    best = max(history["valid_elbo"])
    assert len(history) < 60
    assert len(history) == history["valid_elbo"].index(best) + 1 + 3
    assert vl.evaluate(model, x[:60]).elbo == best


def test_patience_is_for_the_weighted_loss_and_waits_for_the_warmup(x):
    _, history = run(x, valid=x[:60], epochs=12, lr=0.3, patience=1, kl_warmup_epochs=8)
    assert len(history) >= 9

    # Without its price the KL grows: the reconstruction gets better and the bound worse.
    model, history = run(x, valid=x[:60], epochs=12, lr=1e-2, patience=12, beta=0.0)
    bound = torch.tensor(history["valid_elbo"])
    weighted = torch.tensor(history["valid_log_p_x_given_z"])
    assert bound.argmax() != weighted.argmax()
    assert vl.evaluate(model, x[:60]).elbo == history["valid_elbo"][int(weighted.argmax())]


def test_other_objectives_use_the_same_loop(x):
    class Terms(NamedTuple):
        minus_squared_error: Tensor

    def least_squares(model: torch.nn.Module, batch: Tensor) -> Terms:
        return Terms(-(model(batch) - batch).square().sum(-1))

    torch.manual_seed(0)
    linear = torch.nn.Linear(16, 16)
    history = vl.train(
        linear, x, objective=least_squares, config=vl.TrainConfig(epochs=30, lr=0.02), progress=False
    )
    assert history.columns == ["epoch", "lr", "beta", "train_minus_squared_error"]
    assert history["train_minus_squared_error"][-1] > 0.2 * history["train_minus_squared_error"][0]


def test_beta_without_a_kl_is_refused(x):
    model = vl.Autoencoder(vl.DeterministicEncoder(16, 2), vl.BernoulliDecoder(2, 16))
    with pytest.raises(ValueError, match="no `kl` to weigh"):
        vl.train(model, x, objective=vl.reconstruction, config=vl.TrainConfig(beta=2), progress=False)


# --- stopping and going on -------------------------------------------------------------------------


class Stop(Exception):
    pass


def stop_after(n_batches: int):
    """A batch_transform that stops the run in the middle of an epoch."""
    left = iter(range(n_batches))

    def transform(batch: Tensor) -> Tensor:
        if next(left, None) is None:
            raise Stop
        return batch

    return transform


@pytest.mark.parametrize("settings", [{}, {"lr_schedule": "cosine", "kl_warmup_epochs": 3}, {"patience": 2}])
def test_a_resumed_run_ends_in_the_same_bits(x, tmp_path, settings):
    whole, h_whole = run(x, valid=x[:50], epochs=6, **settings)
    path = tmp_path / "run.pt"
    for n_batches in (3, 12, 7):
        with pytest.raises(Stop):
            run(x, valid=x[:50], epochs=6, checkpoint=path, resume=True,
                batch_transform=stop_after(n_batches), **settings)  # fmt: skip
    resumed, h_resumed = run(x, valid=x[:50], epochs=6, checkpoint=path, resume=True, **settings)
    assert h_resumed == h_whole
    assert same_weights(resumed, whole)


def test_resuming_a_finished_run_changes_nothing(x, tmp_path):
    path = tmp_path / "run.pt"
    model, history = run(x, checkpoint=path)
    stamp = path.stat().st_mtime_ns
    again, h_again = run(x, checkpoint=path, resume=True)
    assert history == h_again
    assert same_weights(model, again)
    assert path.stat().st_mtime_ns == stamp


def test_epochs_can_be_added(x, tmp_path):
    whole, h_whole = run(x, epochs=5)
    run(x, epochs=2, checkpoint=tmp_path / "run.pt")
    longer, h_longer = run(x, epochs=5, checkpoint=tmp_path / "run.pt", resume=True)
    assert h_longer == h_whole
    assert same_weights(longer, whole)


def test_a_checkpoint_goes_on_from_the_state_of_torchs_class(x, tmp_path):
    """The layout of the first checkpoints, whose optimiser was torch.optim.Adam."""
    whole, h_whole = run(x, epochs=5)
    path = tmp_path / "run.pt"
    model, _ = run(x, epochs=2, checkpoint=path)
    state = vl.read_checkpoint(path)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": groups})
    torch.save(state | {"optimizer": optimizer.state_dict()}, path)
    longer, h_longer = run(x, epochs=5, checkpoint=path, resume=True)
    assert h_longer == h_whole
    assert same_weights(longer, whole)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_epochs_cannot_be_added_to_a_schedule_that_was_planned(x, tmp_path, schedule):
    path = tmp_path / "run.pt"
    run(x, epochs=2, lr_schedule=schedule, checkpoint=path)
    with pytest.raises(vl.CheckpointError, match="epochs was 2 and is 3"):
        run(x, epochs=3, lr_schedule=schedule, checkpoint=path, resume=True)


def test_a_batch_that_is_not_full_counts_its_own_examples(x):
    model, _ = run(x[:3], epochs=1, batch_size=8, seed=4)
    twin = make_model()
    torch.manual_seed(4)
    order = torch.randperm(3)
    (-vl.elbo(twin, x[order]).elbo.mean()).backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_an_existing_checkpoint_is_not_overwritten(x, tmp_path):
    path = tmp_path / "run.pt"
    run(x, epochs=1, checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        run(x, epochs=1, checkpoint=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("keep", [0, 1, 500, -1])
def test_a_damaged_checkpoint_is_refused_and_left_alone(x, tmp_path, keep):
    path = tmp_path / "run.pt"
    run(x, epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:keep])
    content = path.read_bytes()
    with pytest.raises(vl.CheckpointError, match="damaged"):
        run(x, epochs=2, checkpoint=path, resume=True)
    assert path.read_bytes() == content


def test_a_pickle_with_code_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    plain, saved = tmp_path / "plain.pt", tmp_path / "saved.pt"
    plain.write_bytes(pickle.dumps(Bomb()))
    torch.save({"model": Bomb()}, saved)
    for path in (plain, saved):
        with pytest.raises(vl.CheckpointError):
            vl.read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_of_another_model_or_run_is_refused(x, tmp_path):
    path = tmp_path / "run.pt"
    run(x, epochs=1, checkpoint=path)
    other = vl.dense_vae(16, (13,), 2)
    before = [p.clone() for p in other.parameters()]
    config = vl.TrainConfig(epochs=1, batch_size=64, device="cpu")
    with pytest.raises(vl.CheckpointError, match="another model"):
        vl.train(other, x, config=config, checkpoint=path, resume=True, progress=False)
    assert all(torch.equal(p, q) for p, q in zip(before, other.parameters(), strict=True))
    with pytest.raises(vl.CheckpointError, match=r"lr was 0\.001 and is 0\.002"):
        run(x, epochs=1, lr=2e-3, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    ("saved", "there", "words"), [(True, False, "is unknown"), (False, True, "is missing")]
)
def test_a_weight_too_many_or_too_few_is_named(x, tmp_path, saved, there, words):
    path = tmp_path / "run.pt"
    run_known(x, torch.nn.Linear(16, 16, bias=saved), checkpoint=path)
    with pytest.raises(vl.CheckpointError, match=f"bias {words}"):
        run_known(x, torch.nn.Linear(16, 16, bias=there), checkpoint=path, resume=True)


def test_a_state_dict_is_not_mistaken_for_a_checkpoint(tmp_path):
    torch.save(make_model().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(vl.CheckpointError, match="load_state_dict"):
        vl.read_checkpoint(tmp_path / "weights.pt")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nothing\.pt"):
        vl.read_checkpoint(tmp_path / "nothing.pt")


def test_a_checkpoint_loads_into_a_model(x, tmp_path):
    model, history = run(x, checkpoint=tmp_path / "run.pt")
    state = vl.read_checkpoint(tmp_path / "run.pt")
    fresh = vl.dense_vae(16, (12,), 2)
    fresh.load_state_dict(state["model"])
    assert same_weights(fresh, model)
    assert state["history"]["rows"] == history.rows


def test_a_full_disk_keeps_the_last_checkpoint(x, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    run(x, epochs=2, checkpoint=path)
    content = path.read_bytes()

    def no_space(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        run(x, epochs=3, checkpoint=path, resume=True)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]


def test_write_atomically_makes_the_folder(tmp_path):
    write_atomically(tmp_path / "a" / "b.txt", b"content")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"content"


def test_ctrl_c_returns_the_epochs_so_far_and_the_run_can_go_on(x, tmp_path):
    whole, h_whole = run(x, epochs=6)
    path = tmp_path / "run.pt"
    left = iter(range(13))

    def press(batch: Tensor) -> Tensor:
        if next(left, None) is None:
            signal.raise_signal(signal.SIGINT)
        return batch

    assert threading.current_thread() is threading.main_thread()
    with pytest.warns(UserWarning, match="stopped by hand after 2 complete epochs"):
        _, history = run(x, epochs=6, checkpoint=path, batch_transform=press)
    assert history.interrupted
    assert history.rows == h_whole.rows[:2]
    resumed, h_resumed = run(x, epochs=6, checkpoint=path, resume=True)
    assert h_resumed == h_whole
    assert same_weights(resumed, whole)


# --- wrong inputs ----------------------------------------------------------------------------------


def test_nan_stops_at_once_names_the_cause_and_keeps_the_weights(x, tmp_path):
    batches = iter(range(100))

    def poisoned(model: vl.VAE, batch: Tensor):
        terms = vl.elbo(model, batch)
        if next(batches) == 7:
            return terms._replace(elbo=terms.elbo * math.nan, kl=terms.kl * math.nan)
        return terms

    model, path = make_model(), tmp_path / "run.pt"
    config = vl.TrainConfig(epochs=4, batch_size=64, device="cpu")
    with pytest.raises(FloatingPointError, match=r"epoch 2, step 7.*kl in 64 of 64.*weights are finite"):
        vl.train(model, x, objective=poisoned, config=config, checkpoint=path, progress=False)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert len(vl.read_checkpoint(path)["history"]["rows"]) == 1


def test_a_learning_rate_that_explodes_is_named(x):
    with pytest.raises(FloatingPointError, match="learning rate too large"):
        run(x, lr=1e6, epochs=30)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (lambda x: x * 2, ValueError, r"\[0, 1\]"),
        (lambda x: x[:, :10], ValueError, r"\(N, 16\), got \(300, 10\)"),
        (lambda x: x[:0], ValueError, "no example"),
        (lambda x: x / 0, ValueError, "NaN or infinite"),
        (lambda x: x.long(), TypeError, "floating-point"),
    ],
)
def test_bad_data_is_refused_before_anything_changes(x, tmp_path, bad, error, words):
    model = make_model()
    path = tmp_path / "run.pt"
    for data in ({"x": bad(x)}, {"x": x, "valid": bad(x)}):
        with pytest.raises(error, match=words):
            vl.train(model, **data, checkpoint=path, progress=False)
    assert same_weights(model, make_model())
    assert not path.exists()


def test_one_example_is_enough(x):
    _, history = run(x[:1])
    assert len(history) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": -1.0}, {"lr": math.nan}, {"beta": -1.0},
        {"kl_warmup_epochs": -1}, {"grad_clip": 0.0}, {"patience": 0}, {"lr_schedule": "cosin"},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        vl.TrainConfig(**wrong)


def test_a_misspelt_setting_is_an_error():
    with pytest.raises(TypeError, match="learning_rate"):
        vl.TrainConfig(learning_rate=1e-3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        vl.TrainConfig().lr = 1.0


@pytest.mark.parametrize("device", ["cudda", "tpu", "cuda:0" if not torch.cuda.is_available() else "xpu"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ValueError, match="device='auto'"):
        processes.pick_device(device)


def test_combinations_without_sense_are_refused(x):
    with pytest.raises(ValueError, match="pass valid"):
        run(x, patience=2)
    with pytest.raises(ValueError, match="pass checkpoint"):
        run(x, resume=True)


# --- what the reader sees --------------------------------------------------------------------------


def test_the_bar_shows_the_terms_and_the_time_left(x, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    vl.train(make_model(), x, config=vl.TrainConfig(epochs=2))
    shown = capsys.readouterr().err
    assert "ELBO -" in shown
    assert "reconstruction -" in shown
    assert "KL " in shown
    assert "6/6" in shown


def test_the_bar_can_be_turned_off(x, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    vl.train(make_model(), x, config=vl.TrainConfig(epochs=1), progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_environment_turns_the_bar_off_everywhere():
    program = "import torch, vae_lib as vl; vl.train(vl.dense_vae(4, (3,), 2), torch.rand(9, 4))"
    env = os.environ | {"TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_history_is_a_table(x, tmp_path):
    _, history = run(x, valid=x[:50], epochs=3)
    assert history["epoch"] == [1, 2, 3]
    with pytest.raises(KeyError, match="no column 'loss'; there are epoch, lr"):
        history["loss"]
    lines = str(history).splitlines()
    assert lines[0].split() == history.columns
    assert len(lines) == 4
    assert history._repr_html_().count("<tr>") == 4
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert rows == history.rows
    assert "no epoch" in str(vl.History())


def test_seed_everything_seeds_all_three():
    import random

    import numpy as np

    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002

    vl.seed_everything(3)
    first = draw()
    vl.seed_everything(3)
    assert draw() == first
    vl.seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))
