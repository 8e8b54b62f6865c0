"""Densities and divergences against torch.distributions, quadrature and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import distributions as D

from vae_lib import distributions as vd

F64 = torch.float64


@pytest.fixture
def gaussians() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    x, mu, logvar = (torch.randn(3, 5, 4, generator=g, dtype=F64) for _ in range(3))
    return x, mu, logvar


def test_gaussian_log_prob_is_torchs(gaussians):
    x, mu, logvar = gaussians
    truth = D.Normal(mu, torch.exp(logvar / 2)).log_prob(x).sum(-1)
    torch.testing.assert_close(vd.gaussian_log_prob(x, mu, logvar), truth)


def test_gaussian_density_integrates_to_one():
    mu, logvar = torch.tensor([0.7], dtype=F64), torch.tensor([math.log(0.3)], dtype=F64)

    def density(x: float) -> float:
        return math.exp(vd.gaussian_log_prob(torch.tensor([x], dtype=F64), mu, logvar))

    total, _ = integrate.quad(density, -10, 10)
    mean, _ = integrate.quad(lambda x: x * density(x), -10, 10)
    second, _ = integrate.quad(lambda x: x * x * density(x), -10, 10)
    assert total == pytest.approx(1, abs=1e-9)
    assert mean == pytest.approx(0.7, abs=1e-9)
    assert second - mean**2 == pytest.approx(0.3, abs=1e-9)


def test_gaussian_log_prob_of_a_narrow_density_is_positive():
    zero = torch.zeros(1)
    assert vd.gaussian_log_prob(zero, zero, torch.tensor([-10.0])) == pytest.approx(4.0811, abs=1e-4)


def test_standard_normal_is_the_gaussian_with_zero_mean_and_logvar(gaussians):
    z, _, _ = gaussians
    truth = vd.gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))
    torch.testing.assert_close(vd.standard_normal_log_prob(z), truth)


def test_bernoulli_log_prob_is_torchs(gaussians):
    _, logits, _ = gaussians
    x = (logits > 0.3).to(F64)
    truth = D.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(vd.bernoulli_log_prob(x, logits), truth)


def test_bernoulli_log_prob_is_its_formula_for_every_kind_of_x(gaussians):
    logits = torch.linspace(-5, 5, 12, dtype=torch.float64).view(3, 4)
    bits = torch.tensor([True, False, True, True])
    for x in (torch.rand(4), torch.tensor([0, 1, 1, 0]), bits, bits.expand(3, 4), bits.long().expand(3, 4)):
        formula = (x * logits - torch.log(1 + torch.exp(logits))).sum(-1)
        torch.testing.assert_close(vd.bernoulli_log_prob(x, logits), formula)
    assert vd.bernoulli_log_prob(torch.rand(3, 4).double(), logits.float()).dtype == torch.float64
    x = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(vd.bernoulli_log_prob(x, logits).sum(), x)
    torch.testing.assert_close(slope, logits.expand(2, 3, 4))


def test_bernoulli_probabilities_of_all_images_add_up_to_one():
    logits = torch.tensor([0.3, -1.2, 2.0], dtype=F64)
    images = torch.tensor(np.stack(np.meshgrid(*[[0.0, 1.0]] * 3), -1).reshape(-1, 3))
    assert vd.bernoulli_log_prob(images, logits).exp().sum() == pytest.approx(1, abs=1e-12)


def test_bernoulli_log_prob_survives_extreme_logits():
    logits = torch.tensor([200.0, -200.0])
    assert vd.bernoulli_log_prob(torch.tensor([1.0, 0.0]), logits) == 0
    assert vd.bernoulli_log_prob(torch.tensor([0.0, 1.0]), logits) == -400


def test_gaussian_kl_is_torchs(gaussians):
    _, mu, logvar = gaussians
    q, p = D.Normal(mu, torch.exp(logvar / 2)), D.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    torch.testing.assert_close(vd.gaussian_kl(mu, logvar), D.kl_divergence(q, p).sum(-1))


def test_gaussian_kl_by_quadrature():
    mu, var, zero = 0.8, 0.25, torch.zeros((), dtype=F64)
    q, p = D.Normal(zero + mu, math.sqrt(var)), D.Normal(zero, 1.0)

    def integrand(z: float) -> float:
        at = torch.tensor(z, dtype=F64)
        return float(q.log_prob(at).exp() * (q.log_prob(at) - p.log_prob(at)))

    truth, _ = integrate.quad(integrand, -8, 8)
    value = vd.gaussian_kl(torch.tensor([mu], dtype=F64), torch.tensor([math.log(var)], dtype=F64))
    assert float(value) == pytest.approx(truth, abs=1e-9)


def test_gaussian_kl_is_zero_at_the_prior_and_only_there(gaussians):
    _, mu, logvar = gaussians
    zero = torch.zeros(4)
    assert vd.gaussian_kl(zero, zero) == 0
    assert (vd.gaussian_kl(mu, logvar) > 0).all()


def test_gaussian_kl_sums_over_latents_and_keeps_the_batch(gaussians):
    _, mu, logvar = gaussians
    per_coordinate = vd.gaussian_kl_per_coordinate(mu, logvar)
    assert per_coordinate.shape == mu.shape
    torch.testing.assert_close(vd.gaussian_kl(mu, logvar), per_coordinate.sum(-1))
    assert vd.gaussian_kl(mu, logvar).shape == mu.shape[:-1]


def test_reparameterize_has_the_mean_and_the_variance_it_was_told():
    torch.manual_seed(0)
    mu, logvar = torch.tensor([1.0, -2.0]), torch.tensor([0.0, math.log(0.25)])
    z = vd.reparameterize(mu.expand(200_000, 2), logvar.expand(200_000, 2))
    # Six standard errors of a mean and of a variance over 200,000 draws.
    torch.testing.assert_close(z.mean(0), mu, atol=6 / math.sqrt(2e5), rtol=0)
    torch.testing.assert_close(z.var(0), logvar.exp(), atol=6 * math.sqrt(2 / 2e5), rtol=0)
    assert abs(float(torch.corrcoef(z.T)[0, 1])) < 6 / math.sqrt(2e5)


def test_reparameterize_draws_other_noise_for_every_example():
    z = vd.reparameterize(torch.zeros(100, 3), torch.zeros(100, 3))
    assert len(torch.unique(z[:, 0])) == 100
    assert len(torch.unique(z[0])) == 3


def test_reparameterize_lets_gradients_through():
    mu = torch.tensor([0.3], dtype=F64, requires_grad=True)
    logvar = torch.tensor([-0.4], dtype=F64, requires_grad=True)
    eps = torch.tensor([1.7], dtype=F64)
    vd.reparameterize(mu, logvar, eps).sum().backward()
    assert float(mu.grad) == 1.0
    # dz/dlogvar = sigma eps / 2.
    assert float(logvar.grad) == pytest.approx(0.5 * math.exp(-0.2) * 1.7)


def test_samples_lead():
    z = vd.reparameterize(torch.zeros(5, 2), torch.zeros(5, 2), eps=torch.randn(7, 5, 2))
    assert z.shape == (7, 5, 2)
    assert vd.gaussian_log_prob(z, torch.zeros(5, 2), torch.zeros(5, 2)).shape == (7, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: vd.gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 4)),
        lambda: vd.gaussian_log_prob(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 3)),
        lambda: vd.bernoulli_log_prob(torch.zeros(2, 3), torch.zeros(2, 4)),
        lambda: vd.reparameterize(torch.zeros(2, 3), torch.zeros(2, 4)),
        lambda: vd.reparameterize(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(7, 2, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_named(call):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)|\(7, 2, 4\)"):
        call()
