"""Likelihood, rate, active units and Frechet distance, against exact Gaussians and closed forms."""

import json
import math

import expected_results
import pytest
import torch
from scipy import linalg
from torch import distributions as D

import vae_lib as vl

F64 = torch.float64
STD = 0.6


def linear_vae(width: float = 1.0) -> tuple[vl.VAE, torch.Tensor, D.MultivariateNormal]:
    """A linear VAE with correlated posterior, its W, and p(x); q has the best diagonal, stretched."""
    generator = torch.Generator().manual_seed(0)
    W = 0.6 * torch.randn(8, 3, generator=generator, dtype=F64)
    precision = torch.eye(3, dtype=F64) + W.T @ W / STD**2
    model = vl.VAE(vl.GaussianEncoder(8, 3, hidden=()), vl.GaussianDecoder(3, 8, hidden=(), std=STD)).double()
    with torch.no_grad():
        for layer in (model.encoder.fc_mu, model.encoder.fc_logvar, model.decoder.net[0]):
            layer.bias.zero_()
        model.decoder.logvar.fill_(2 * math.log(STD))
        model.decoder.net[0].weight.copy_(W)
        model.encoder.fc_mu.weight.copy_(torch.linalg.solve(precision, W.T) / STD**2)
        model.encoder.fc_logvar.weight.zero_()
        model.encoder.fc_logvar.bias.copy_(2 * math.log(width) - precision.diag().log())
    covariance = W @ W.T + STD**2 * torch.eye(8, dtype=F64)
    return model, W, D.MultivariateNormal(torch.zeros(8, dtype=F64), covariance)


@pytest.fixture
def data() -> torch.Tensor:
    torch.manual_seed(1)
    return linear_vae()[2].sample((60,))


def test_log_marginal_agrees_with_the_exact_value(data):
    model, _, marginal = linear_vae(width=1.5)
    error = vl.log_marginal(model, data, n_samples=4000).log_p_x - marginal.log_prob(data)
    assert abs(error.mean()) < 4 * error.std() / math.sqrt(len(data))
    assert error.std() < 0.05


def test_claimed_error_bar_covers_the_truth(data):
    model, _, marginal = linear_vae(width=1.5)
    estimate = vl.log_marginal(model, data, n_samples=2000)
    bar = (1 / estimate.effective_samples - 1 / 2000).sqrt()
    inside = ((estimate.log_p_x - marginal.log_prob(data)).abs() < 2 * bar).double().mean()
    assert 0.85 < inside <= 1


def test_log_weights_have_the_elbo_as_mean_and_the_log_mean_is_log_marginal(data):
    model, _, marginal = linear_vae()
    log_w = vl.log_importance_weights(model, data, n_samples=3000)
    assert log_w.shape == (3000, 60)
    assert log_w.dtype == F64
    mu, logvar = model.encoder(data)
    assert not log_w.requires_grad
    # The gap is the KL to the posterior, in closed form.
    precision = torch.eye(3, dtype=F64) + linear_vae()[1].T @ linear_vae()[1] / STD**2
    gap = 0.5 * (precision.diag().log().sum() - torch.logdet(precision))
    expected = marginal.log_prob(data) - gap
    torch.testing.assert_close(log_w.mean(0), expected, atol=0.12, rtol=0)
    estimate = vl.log_marginal(model, data, n_samples=3000)
    torch.testing.assert_close(estimate.log_p_x, torch.logsumexp(log_w, 0) - math.log(3000))
    w = torch.exp(log_w - log_w.max(0).values)
    torch.testing.assert_close(estimate.effective_samples, w.sum(0) ** 2 / w.square().sum(0))
    assert mu.shape == logvar.shape


@pytest.mark.parametrize("chunk", [1, 7, 60, 100, 10_000])
def test_every_chunk_gives_all_weights_of_all_examples(data, chunk):
    # With the exact posterior as q every weight is p(x), so a lost or misplaced one would show.
    model, W, _ = linear_vae()
    with torch.no_grad():
        orthogonal, _ = torch.linalg.qr(W)
        model.decoder.net[0].weight.copy_(orthogonal)
        var = 1 / (1 + 1 / STD**2)
        model.encoder.fc_mu.weight.copy_(var * orthogonal.T / STD**2)
        model.encoder.fc_logvar.bias.fill_(math.log(var))
    covariance = orthogonal @ orthogonal.T + STD**2 * torch.eye(8, dtype=F64)
    exact = D.MultivariateNormal(torch.zeros(8, dtype=F64), covariance).log_prob(data)
    log_w = vl.log_importance_weights(model, data, n_samples=23, chunk=chunk)
    torch.testing.assert_close(log_w, exact.expand(23, 60))
    estimate = vl.log_marginal(model, data, n_samples=23, chunk=chunk)
    torch.testing.assert_close(estimate.effective_samples, torch.full((60,), 23.0, dtype=F64))


def test_samples_differ_between_examples_and_chunks_and_follow_the_seed(data):
    model, _, _ = linear_vae(width=1.5)
    log_w = vl.log_importance_weights(model, data[:1].expand(4, 8), n_samples=6, chunk=3)
    assert len(log_w.flatten().unique()) == 24
    state = torch.get_rng_state()
    first = vl.log_marginal(model, data, 10)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.log_p_x, vl.log_marginal(model, data, 10).log_p_x)
    assert not torch.equal(first.log_p_x, vl.log_marginal(model, data, 10, seed=1).log_p_x)


@pytest.mark.parametrize("arguments", [{"n_samples": 0}, {"chunk": 0}])
def test_log_marginal_refuses_nonsense(data, arguments):
    with pytest.raises(ValueError, match="at least 1"):
        vl.log_marginal(linear_vae()[0], data, **arguments)


def test_log_marginal_refuses_no_data(data):
    with pytest.raises(ValueError, match="no example"):
        vl.log_marginal(linear_vae()[0], data[:0])


def test_rate_decomposition_of_a_gaussian_population():
    # x -> N(A x, v) with Gaussian x: the aggregate is a Gaussian, both parts have a closed form.
    torch.manual_seed(0)
    mu, v = 0.8 * torch.randn(20_000, 2, dtype=F64), torch.tensor([0.3, 0.7], dtype=F64)
    terms = vl.rate_decomposition(mu, v.log().expand_as(mu), n_draws=2000)
    q, aggregate = D.Normal(mu, v.sqrt()), D.Normal(torch.zeros(2, dtype=F64), (0.64 + v).sqrt())
    rate = D.kl_divergence(q, D.Normal(0.0, 1.0)).sum(-1).mean().item()
    information = 0.5 * ((0.64 + v) / v).log().sum().item()
    mismatch = D.kl_divergence(aggregate, D.Normal(0.0, 1.0)).sum().item()
    assert terms.rate == pytest.approx(rate, abs=1e-9)
    assert terms.mutual_information == pytest.approx(information, abs=0.06)
    assert terms.kl_to_prior == pytest.approx(mismatch, abs=0.06)
    assert terms.rate == pytest.approx(terms.mutual_information + terms.kl_to_prior)


def test_information_is_zero_for_equal_clouds_and_log_n_for_clouds_that_never_meet():
    same = vl.rate_decomposition(torch.ones(50, 3), torch.zeros(50, 3))
    assert same.mutual_information == pytest.approx(0, abs=1e-9)
    assert same.kl_to_prior == pytest.approx(1.5, abs=1e-6)
    apart = vl.rate_decomposition(100.0 * torch.arange(50.0)[:, None], torch.zeros(50, 1))
    assert apart.mutual_information == pytest.approx(math.log(50), abs=1e-6)


def test_rate_decomposition_agrees_with_a_loop_over_the_clouds():
    torch.manual_seed(0)
    mu, logvar = torch.randn(40, 2), 0.3 * torch.randn(40, 2)
    terms = vl.rate_decomposition(mu, logvar, n_draws=60_000)
    mixture = D.MixtureSameFamily(
        D.Categorical(torch.ones(40)), D.Independent(D.Normal(mu, torch.exp(logvar / 2)), 1)
    )
    z = mixture.sample((60_000,))
    mismatch = (mixture.log_prob(z) - D.Normal(0.0, 1.0).log_prob(z).sum(-1)).mean().item()
    assert terms.kl_to_prior == pytest.approx(mismatch, abs=0.04)


@pytest.mark.parametrize("shape", [(0, 2), (3,)])
def test_rate_decomposition_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\(N, L\)"):
        vl.rate_decomposition(torch.zeros(shape), torch.zeros(shape))


def test_active_units_by_the_variance_of_the_means():
    torch.manual_seed(0)
    scales = torch.tensor([1.0, 0.2, 0.05, 0.0])
    mu = 3.0 + scales * torch.randn(20_000, 4)
    assert vl.active_units(mu).tolist() == [True, True, False, False]
    assert vl.active_units(mu, threshold=0.5).tolist() == [True, False, False, False]
    assert vl.active_units(mu, threshold=0.001).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="two examples"):
        vl.active_units(mu[:1])


def with_moments(n: int, mean: torch.Tensor, covariance: torch.Tensor, seed: int) -> torch.Tensor:
    """n points whose sample mean and covariance are exactly these."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, len(mean), generator=generator, dtype=F64)
    z = z - z.mean(0)
    z = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.atleast_2d(torch.cov(z.T))), z.T, upper=False
    ).T
    return mean + z @ torch.linalg.cholesky(covariance).T


def test_frechet_distance_against_scipys_matrix_root():
    torch.manual_seed(0)
    roots = torch.randn(2, 5, 5, dtype=F64)
    (a, b), (m, n) = roots @ roots.mT + 0.1 * torch.eye(5, dtype=F64), torch.randn(2, 5, dtype=F64)
    root = linalg.sqrtm(a.numpy() @ b.numpy()).real
    expected = ((m - n) ** 2).sum() + a.trace() + b.trace() - 2 * root.trace()
    ours = vl.frechet_distance(with_moments(50, m, a, 1), with_moments(80, n, b, 2))
    assert ours == pytest.approx(expected.item(), abs=1e-9)


def test_frechet_distance_in_one_dimension_and_of_a_set_to_itself():
    one = torch.ones(1, dtype=F64)
    a, b = with_moments(9, 2 * one, 4 * torch.eye(1, dtype=F64), 0), with_moments(9, -one, one[None], 1)
    assert vl.frechet_distance(a, b) == pytest.approx(9 + 1)
    assert vl.frechet_distance(b, a) == pytest.approx(9 + 1)
    features = torch.rand(100, 7)
    assert 0 <= vl.frechet_distance(features, features) < 1e-9


def test_frechet_distance_survives_dead_features():
    # A ReLU feature that is always 0 makes the covariances singular.
    a = torch.cat([torch.randn(60, 2, dtype=F64), torch.zeros(60, 1, dtype=F64)], dim=1)
    b = a + torch.tensor([0.0, 3.0, 1.0], dtype=F64)
    assert vl.frechet_distance(a, b) == pytest.approx(10, abs=1e-6)


@pytest.mark.parametrize("shapes", [((5, 3), (5, 2)), ((1, 3), (5, 3)), ((5,), (5,))])
def test_frechet_distance_refuses_other_shapes(shapes):
    with pytest.raises(ValueError, match="same features"):
        vl.frechet_distance(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.slow
def test_the_table_of_expected_results_is_complete_and_its_short_row_is_reproduced():
    rows = json.loads(expected_results.RESULTS.read_text())
    there = [(row["model"], row["seed"]) for row in rows]
    assert there == [(name, seed) for name in expected_results.RECIPES for seed in expected_results.SEEDS]
    short = torch.tensor([row["nll_200"] for row in rows if row["model"] == "short"])
    tolerance = max(1.5, 4 * short.std().item())
    assert expected_results.run("short", seed=0)["nll_200"] == pytest.approx(
        short.mean().item(), abs=tolerance
    )
