"""The bounds, on a linear-Gaussian model whose log p(x) and posterior are known in closed form."""

import math

import pytest
import torch
from torch import distributions as D

import vae_lib as vl
from vae_lib.objectives import elbo, iwae_bound, reconstruction

F64 = torch.float64
NOISE_STD = 0.6


@pytest.fixture
def linear() -> tuple[vl.VAE, torch.Tensor, torch.Tensor]:
    """A VAE x = W z + b + noise whose encoder is set to the exact posterior, data, and log p(x).

    The columns of W are orthogonal, so the exact posterior has independent coordinates:
    its variance is 1 / (1 + |w_j|^2 / s^2) and its mean var_j * w_j . (x - b) / s^2.
    """
    torch.manual_seed(0)
    directions, _ = torch.linalg.qr(torch.randn(5, 2, dtype=F64))
    W = directions * torch.tensor([1.5, 0.7], dtype=F64)
    b = torch.randn(5, dtype=F64)
    var = 1 / (1 + W.square().sum(0) / NOISE_STD**2)

    encoder = vl.GaussianEncoder(5, 2, hidden=())
    decoder = vl.GaussianDecoder(2, 5, hidden=(), std=NOISE_STD)
    model = vl.VAE(encoder, decoder).double()
    with torch.no_grad():
        decoder.logvar.fill_(2 * math.log(NOISE_STD))
        decoder.net[0].weight.copy_(W)
        decoder.net[0].bias.copy_(b)
        projection = var[:, None] * W.T / NOISE_STD**2
        encoder.fc_mu.weight.copy_(projection)
        encoder.fc_mu.bias.copy_(-projection @ b)
        encoder.fc_logvar.weight.zero_()
        encoder.fc_logvar.bias.copy_(var.log())

    x = torch.randn(6, 5, dtype=F64)
    marginal = D.MultivariateNormal(b, W @ W.T + NOISE_STD**2 * torch.eye(5, dtype=F64))
    return model, x, marginal.log_prob(x)


def mean_elbo(model: vl.VAE, x: torch.Tensor, n: int = 20_000) -> torch.Tensor:
    """The ELBO of each example, its noise averaged away."""
    with torch.no_grad():
        return elbo(model, x.repeat(n, 1)).elbo.reshape(n, len(x)).mean(0)


def test_importance_weights_are_constant_when_q_is_the_posterior(linear):
    model, x, log_p_x = linear
    for n_samples in (1, 7):
        torch.testing.assert_close(iwae_bound(model, x, n_samples).iwae_bound, log_p_x)


def test_elbo_is_tight_when_q_is_the_posterior(linear):
    model, x, log_p_x = linear
    torch.testing.assert_close(mean_elbo(model, x), log_p_x, atol=0.06, rtol=0)


def test_gap_is_the_kl_to_the_posterior(linear):
    model, x, log_p_x = linear
    mu, logvar = (t.detach() for t in model.encoder(x))
    posterior = D.Normal(mu, torch.exp(logvar / 2))
    with torch.no_grad():
        model.encoder.fc_mu.bias += 0.4
        model.encoder.fc_logvar.bias -= 0.5
    mu, logvar = model.encoder(x)
    gap = D.kl_divergence(D.Normal(mu, torch.exp(logvar / 2)), posterior).sum(-1)
    assert (gap > 0.1).all()
    torch.testing.assert_close(mean_elbo(model, x), log_p_x - gap, atol=0.06, rtol=0)


def test_iwae_lies_between_the_elbo_and_log_p_x_and_grows(linear):
    model, x, log_p_x = linear
    with torch.no_grad():
        model.encoder.fc_mu.bias += 0.6
        bounds = [
            iwae_bound(model, x.repeat(4000, 1), k).iwae_bound.reshape(4000, -1).mean(0) for k in (1, 5, 50)
        ]
    torch.testing.assert_close(bounds[0], mean_elbo(model, x), atol=0.15, rtol=0)
    assert (bounds[0] < bounds[1]).all()
    assert (bounds[1] < bounds[2]).all()
    assert (bounds[2] < log_p_x + 0.02).all()


def test_elbo_terms_add_up_and_are_per_example():
    model, x = vl.dense_vae(12, (8,), 3), torch.rand(7, 12)
    terms = elbo(model, x)
    assert all(term.shape == (7,) for term in terms)
    torch.testing.assert_close(terms.elbo, terms.log_p_x_given_z - terms.kl)
    mu, logvar = model.encoder(x)
    q, p = D.Normal(mu, torch.exp(logvar / 2)), D.Normal(0.0, 1.0)
    torch.testing.assert_close(terms.kl, D.kl_divergence(q, p).sum(-1))


def test_reconstruction_is_the_likelihood_at_the_code():
    model = vl.Autoencoder(vl.DeterministicEncoder(12, 3), vl.BernoulliDecoder(3, 12))
    x = (torch.rand(7, 12) > 0.5).float()
    truth = D.Bernoulli(logits=model(x)).log_prob(x).sum(-1)
    torch.testing.assert_close(reconstruction(model, x).log_p_x_given_z, truth)


def test_gradients_of_the_elbo_reach_every_weight():
    model = vl.dense_vae(12, (8,), 3)
    (-elbo(model, torch.rand(7, 12)).elbo.mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_iwae_needs_a_sample():
    with pytest.raises(ValueError, match="at least 1"):
        iwae_bound(vl.dense_vae(12, (8,), 3), torch.rand(7, 12), 0)


def test_evaluate_averages_over_examples_not_batches(linear):
    model, x, log_p_x = linear
    terms = vl.evaluate(model, x, objective=iwae_bound, batch_size=4)
    assert terms.iwae_bound == pytest.approx(float(log_p_x.mean()), abs=1e-9)


def test_evaluate_leaves_the_random_state_the_mode_and_the_weights_alone():
    model = vl.dense_vae(12, (8,), 3).train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    state = torch.get_rng_state()
    first = vl.evaluate(model, torch.full((9, 12), 0.5))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert vl.evaluate(model, torch.full((9, 12), 0.5)) == first
    assert vl.evaluate(model, torch.full((9, 12), 0.5), seed=1) != first


def test_evaluate_refuses_no_data():
    with pytest.raises(ValueError, match="no example"):
        vl.evaluate(vl.dense_vae(12, (8,), 3), torch.zeros(0, 12))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.full((3, 12), float("nan")), "NaN"),
        (torch.zeros(3, 11), "12"),
        (torch.full((3, 12), 255.0), r"\[0, 1\]"),
    ],
)
def test_evaluate_refuses_data_that_do_not_fit_the_model(x, message):
    with pytest.raises(ValueError, match=message):
        vl.evaluate(vl.dense_vae(12, (8,), 3), x)
