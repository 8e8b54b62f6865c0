"""diagnose: every bug that can be seen from outside is named, no healthy model is.

Not seen from outside, and so without a test here: importance weights with the wrong sign, a mixture prior
summed in the wrong order, a log-determinant counted too often, test images in the training set, and an
evaluation on another scale than the training. The museum of bugs has a test of its own for each of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vae_lib as vl

D, L = 36, 4


class Goal(NamedTuple):
    goal: Tensor


class GoalAndKl(NamedTuple):
    goal: Tensor
    kl: Tensor


def bernoulli_vae(kind: type[vl.VAE] = vl.VAE, decoder: type[vl.BernoulliDecoder] = vl.BernoulliDecoder):
    return kind(vl.GaussianEncoder(D, L, (16,)), decoder(L, D, (16,)))


def gaussian_vae(decoder: type[vl.GaussianDecoder] = vl.GaussianDecoder) -> vl.VAE:
    return vl.VAE(vl.GaussianEncoder(D, L, (16,)), decoder(L, D, (16,), std=0.3))


@pytest.fixture
def x() -> Tensor:
    """Images with three modes, so that a short training has something to learn."""
    g = torch.Generator().manual_seed(0)
    modes = torch.rand(3, D, generator=g).round()
    return (modes[torch.randint(3, (300,), generator=g)] - 0.1 * torch.rand(300, D, generator=g)).abs()


def briefly_trained(model: vl.VAE, x: Tensor, **settings: Any) -> vl.VAE:
    config = vl.TrainConfig(**({"epochs": 8, "batch_size": 50, "lr": 5e-3, "device": "cpu"} | settings))
    vl.train(model, x, config=config, progress=False)
    return model


# Healthy models are left alone. -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("make", [bernoulli_vae, gaussian_vae])
@pytest.mark.parametrize("trained", [False, True])
def test_a_healthy_model_is_not_flagged(make: Callable[[], vl.VAE], seed: int, trained: bool, x: Tensor):
    vl.seed_everything(seed)
    model = make()
    if trained:
        briefly_trained(model, x)
    report = vl.diagnose(model, x, seed=seed)
    assert report.wrong == (), str(report)
    assert report.beta == pytest.approx(1)
    assert report.likelihood_weight == pytest.approx(1)
    assert report.noise_width == pytest.approx(1, abs=0.2)
    assert report.data_range == (x.min().item(), x.max().item())
    assert report.gradient_of_log_p > 0 < report.gradient_of_kl
    assert report.z_dim == L
    if trained:
        assert report.active_units > 0


def test_convolutions_one_latent_and_the_importance_weighted_bound_are_not_flagged():
    x = torch.rand(40, 64)
    assert vl.diagnose(vl.conv_vae((1, 8, 8), (4, 8), 1), x).wrong == ()
    report = vl.diagnose(vl.dense_vae(64, (8,), 3), x, objective=vl.iwae_bound)
    assert report.wrong == ()
    assert report.beta is None


def test_the_numbers_are_those_of_independent_code(x: Tensor):
    vl.seed_everything(0)
    model = briefly_trained(bernoulli_vae(), x)
    report = vl.diagnose(model, x, max_examples=300)
    with torch.no_grad():
        mu, logvar = model.encoder(x)
        q = torch.distributions.Normal(mu, (logvar / 2).exp())
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        many = torch.stack([model.decoder.log_prob(x, q.sample()) for _ in range(50)])
    assert report.kl == pytest.approx(kl.mean().item(), rel=1e-5)
    assert report.kl_sampled == pytest.approx(report.kl, rel=0.05)
    assert report.log_p_x_given_z == pytest.approx(many.mean().item(), abs=5 * many.mean(1).std().item())
    assert report.active_units == int((mu.var(0) > 0.01).sum())

    gradient = torch.autograd.grad(vl.gaussian_kl(*model.encoder(x)).mean(), list(model.encoder.parameters()))
    norm = torch.cat([g.flatten() for g in gradient]).norm().item()
    assert report.gradient_of_kl == pytest.approx(norm, rel=1e-4)


def test_nothing_of_the_caller_is_changed(x: Tensor):
    model = bernoulli_vae().train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    first = vl.diagnose(model, x)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())
    assert str(vl.diagnose(model, x)) == str(first)


def test_the_report_is_one_line_for_each_finding(x: Tensor):
    report = vl.diagnose(bernoulli_vae(), x)
    lines = str(report).splitlines()
    assert len(lines) == len(report.findings) == 9
    assert all(
        line.startswith(f.status) and f.text in line for line, f in zip(lines, report.findings, strict=True)
    )


# Broken models are named. -----------------------------------------------------------------------------


class WithNoise(vl.VAE):
    """forward with a sampling step of its own."""

    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encoder(x)
        return self.decoder(self.code(mu, logvar)), mu, logvar


class LogvarAsStd(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + torch.exp(logvar) * torch.randn_like(mu)


class LogvarItself(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + logvar * torch.randn_like(mu)


class SharedNoise(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + torch.exp(logvar / 2) * torch.randn(mu.shape[1]).to(mu)


class OneNumber(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + torch.exp(logvar / 2) * torch.randn(len(mu), 1).to(mu)


class FrozenNoise(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))
        return mu + torch.exp(logvar / 2) * eps.to(mu)


class NarrowNoise(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + 0.01 * torch.exp(logvar / 2) * torch.randn_like(mu)


class MeanDecoded(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu


class NoGradient(WithNoise):
    def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return torch.distributions.Normal(mu, torch.exp(logvar / 2)).sample()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("kind", "line", "says"),
    [
        (LogvarAsStd, "noise", "logvar used as sigma"),
        (LogvarItself, "noise", "the mean is decoded"),  # at logvar = 0 the two are the same
        (SharedNoise, "noise", "one noise vector for the whole batch"),
        (OneNumber, "noise", "one number for all coordinates"),
        (FrozenNoise, "noise", "the same noise at every call"),
        (NarrowNoise, "noise", "not 1"),
        (MeanDecoded, "noise", "the mean is decoded"),
        (MeanDecoded, "KL", "not from q"),
        (NoGradient, "gradient", "does not reach the encoder"),
    ],
)
def test_a_broken_sampling_step_is_named(kind: type[vl.VAE], line: str, says: str, trained: bool, x: Tensor):
    vl.seed_everything(0)
    model = bernoulli_vae(kind)
    if trained:
        briefly_trained(model, x)
    report = vl.diagnose(model, x)
    assert line in report.wrong, str(report)
    assert says in next(f.text for f in report.findings if f.name == line)


def test_decoding_the_mean_in_evaluation_mode_only_is_worth_a_look(x: Tensor):
    class MeanInEval(WithNoise):
        def code(self, mu: Tensor, logvar: Tensor) -> Tensor:
            return vl.reparameterize(mu, logvar) if self.training else mu

    report = vl.diagnose(bernoulli_vae(MeanInEval), x)
    noise = next(f for f in report.findings if f.name == "noise")
    assert noise.status == "look"
    assert "no bound" in noise.text


def terms_of(model: vl.VAE, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    mu, logvar = model.encoder(x)
    log_p = model.decoder.log_prob(x, vl.reparameterize(mu, logvar))
    return log_p, vl.gaussian_kl(mu, logvar), mu, logvar


OBJECTIVES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float, str]] = {
    "no KL": (lambda log_p, kl: log_p, 0.0, "no KL"),
    "mean over pixels": (lambda log_p, kl: log_p / D - kl, D, "a mean over pixels, a sum over latents"),
    "both means": (lambda log_p, kl: log_p / D - kl / L, D / L, "means over pixels and latents"),
    "mean over latents": (lambda log_p, kl: log_p - kl / L, 1 / L, "averaged over latents"),
    "0.00025": (lambda log_p, kl: log_p / D - 0.00025 * kl, 0.00025 * D, "meant is 1"),
    "sign of the KL": (lambda log_p, kl: log_p + kl, -1.0, "the KL's sign"),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("make", [bernoulli_vae, gaussian_vae])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_weight_of_the_kl_is_measured(name: str, make: Callable[[], vl.VAE], trained: bool, x: Tensor):
    combine, beta, says = OBJECTIVES[name]

    def objective(model: vl.VAE, x: Tensor) -> Goal:
        log_p, kl, _, _ = terms_of(model, x)
        return Goal(combine(log_p, kl))

    vl.seed_everything(0)
    model = briefly_trained(make(), x) if trained else make()
    report = vl.diagnose(model, x, objective)
    assert "weights" in report.wrong
    assert report.beta == pytest.approx(beta, rel=1e-4, abs=1e-6)
    assert says in next(f.text for f in report.findings if f.name == "weights")
    if beta > 0:
        assert vl.diagnose(model, x, objective, beta=beta).wrong == ()


def test_a_loss_written_for_a_batch_is_measured_example_by_example(x: Tensor):
    def loss(model: vl.VAE, x: Tensor) -> Tensor:
        logits, mu, logvar = model(x)
        kl = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp()) / len(x)
        return F.binary_cross_entropy_with_logits(logits, x) + kl

    def objective(model: vl.VAE, x: Tensor) -> Goal:
        return Goal(torch.stack([-loss(model, row[None]) for row in x]))

    report = vl.diagnose(bernoulli_vae(), x, objective)
    assert report.beta == pytest.approx(D)
    assert report.wrong == ("weights",)


def test_an_objective_that_makes_the_likelihood_small_is_named(x: Tensor):
    def objective(model: vl.VAE, x: Tensor) -> Goal:
        log_p, kl, _, _ = terms_of(model, x)
        return Goal(-log_p - kl)

    report = vl.diagnose(bernoulli_vae(), x, objective)
    assert "weights" in report.wrong
    assert report.likelihood_weight == pytest.approx(-1)


@pytest.mark.parametrize("broken", ["abs", "without the half", "sigma for its square"])
def test_a_kl_that_is_none_is_named(broken: str, x: Tensor):
    def objective(model: vl.VAE, x: Tensor) -> GoalAndKl:
        log_p, _, mu, logvar = terms_of(model, x)
        z = vl.reparameterize(mu, logvar)
        kl = {
            "abs": (vl.gaussian_log_prob(z, mu, logvar) - vl.standard_normal_log_prob(z)).abs(),
            "without the half": 2 * vl.gaussian_kl(mu, logvar),
            "sigma for its square": 0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).sum(1) + 0.5,
        }[broken]
        return GoalAndKl(log_p - kl, kl)

    vl.seed_everything(0)
    report = vl.diagnose(bernoulli_vae(), x, objective)
    assert "KL" in report.wrong, str(report)


class NegativeLogProb(vl.BernoulliDecoder):
    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return -super().log_prob(x, z)


class SigmoidTwice(vl.BernoulliDecoder):
    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return vl.bernoulli_log_prob(x, torch.sigmoid(self(z)))


class MeanOverPixels(vl.BernoulliDecoder):
    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return super().log_prob(x, z) / D


class NotSummed(vl.BernoulliDecoder):
    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self(z), x, reduction="none")


@pytest.mark.parametrize(
    ("decoder", "says"),
    [
        (NegativeLogProb, "its sign is wrong"),
        (SigmoidTwice, "computed again"),
        (MeanOverPixels, "a mean over pixels"),
    ],
)
def test_a_wrong_log_prob_is_named(decoder: type[vl.BernoulliDecoder], says: str, x: Tensor):
    report = vl.diagnose(bernoulli_vae(decoder=decoder), x)
    assert "likelihood" in report.wrong
    assert says in next(f.text for f in report.findings if f.name == "likelihood")


def test_a_log_prob_that_is_not_summed_is_named(x: Tensor):
    def objective(model: vl.VAE, x: Tensor) -> Goal:
        mu, logvar = model.encoder(x)
        log_p = vl.bernoulli_log_prob(x, model.decoder(vl.reparameterize(mu, logvar)))
        return Goal(log_p - vl.gaussian_kl(mu, logvar))

    report = vl.diagnose(bernoulli_vae(decoder=NotSummed), x, objective)
    assert report.wrong == ("likelihood",)


def test_the_sign_of_log_sigma_is_seen(x: Tensor):
    class Runaway(vl.GaussianDecoder):
        def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
            return -0.5 * ((x - self(z)) ** 2 * torch.exp(-self.logvar) - self.logvar).sum(-1)

    assert "likelihood" in vl.diagnose(gaussian_vae(Runaway), x).wrong


@pytest.mark.parametrize("change", [lambda x: 255 * x, lambda x: 2 * x - 1])
def test_data_outside_of_the_likelihood_are_named(change: Callable[[Tensor], Tensor], x: Tensor):
    assert "data" in vl.diagnose(bernoulli_vae(), change(x)).wrong
    assert "data" not in vl.diagnose(gaussian_vae(), change(x)).wrong


def test_missing_values_are_named(x: Tensor):
    x[200, 3] = float("nan")
    assert "data" in vl.diagnose(gaussian_vae(), x).wrong


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(16)])
def test_training_mode_at_evaluation_is_named(layer: nn.Module, x: Tensor):
    vl.seed_everything(0)
    model = bernoulli_vae()
    body = nn.Sequential(nn.Linear(D, 16), layer, nn.ReLU())
    body.out_dim = 16
    model.encoder.body = body
    briefly_trained(model, x)
    report = vl.diagnose(model.train(), x)
    assert report.wrong == ("mode",), str(report)
    assert vl.diagnose(model.eval(), x).wrong == ()


def test_a_collapsed_model_is_worth_a_look(x: Tensor):
    vl.seed_everything(0)
    model = briefly_trained(bernoulli_vae(), x, beta=float(D), epochs=15)
    report = vl.diagnose(model, x)
    units = next(f for f in report.findings if f.name == "units")
    assert report.active_units == 0
    assert units.status == "look"
    assert "collapsed" in units.text


# Whatever does not fit is an error that says why. -----------------------------------------------------


def test_wrong_input_is_an_error_that_says_why(x: Tensor):
    model = bernoulli_vae()
    with pytest.raises(TypeError, match=r"model\.encoder"):
        vl.diagnose(nn.Linear(2, 2), x)
    bare = bernoulli_vae()
    bare.decoder = nn.Linear(L, D)
    with pytest.raises(TypeError, match="log_prob"):
        vl.diagnose(bare, x)
    autoencoder = vl.Autoencoder(vl.DeterministicEncoder(D, L), vl.BernoulliDecoder(L, D))
    with pytest.raises(TypeError, match="pair"):
        vl.diagnose(autoencoder, x)
    with pytest.raises(TypeError, match="255"):
        vl.diagnose(model, (255 * x).byte())
    with pytest.raises(ValueError, match="two examples"):
        vl.diagnose(model, x[:1])
    with pytest.raises(ValueError, match="two examples"):
        vl.diagnose(model, x[0])
    with pytest.raises(ValueError, match="shape"):
        vl.diagnose(model, x, lambda model, x: Goal(vl.elbo(model, x).elbo.mean()))


def test_a_forward_that_does_not_decode_is_an_error(x: Tensor):
    class Silent(vl.VAE):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.encoder(x)

    with pytest.raises(ValueError, match="one code"):
        vl.diagnose(bernoulli_vae(Silent), x)
