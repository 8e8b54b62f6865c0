"""Equations of "A VAE in PyTorch"."""

import itertools
import math

import numpy as np
import torch
from scipy import integrate, stats
from torch import distributions as D

import vae_lib as vl

F64 = torch.float64


def test_eq_pytorch_reparameterize() -> None:
    """The density of mu + sigma * eps by quadrature over eps: every moment as it should be."""
    mu, logvar = 0.8, math.log(0.3)
    sigma = math.exp(0.5 * logvar)

    def moment(k: int) -> float:
        return integrate.quad(lambda e: (mu + sigma * e) ** k * stats.norm.pdf(e), -12, 12)[0]

    for k in range(1, 7):
        np.testing.assert_allclose(moment(k), stats.norm(mu, math.sqrt(0.3)).moment(k), rtol=1e-9)


def test_eq_pytorch_bce() -> None:
    """Probability of each of the 2^3 pictures: the product over pixels, enumerated."""
    p = np.array([0.9, 0.2, 0.6])
    total = 0.0
    for x in map(np.array, itertools.product([0, 1], repeat=3)):
        log_p = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p))
        by_hand = math.prod(q if bit else 1 - q for bit, q in zip(x, p, strict=True))
        np.testing.assert_allclose(np.exp(log_p), by_hand)
        np.testing.assert_allclose(log_p, stats.bernoulli.logpmf(x, p).sum())
        total += by_hand
    np.testing.assert_allclose(total, 1)


def test_eq_pytorch_bce__grey_is_the_mean_over_binary_pictures() -> None:
    p, grey = np.array([0.9, 0.2, 0.6]), np.array([0.3, 0.5, 1.0])
    formula = np.sum(grey * np.log(p) + (1 - grey) * np.log(1 - p))
    mean = 0.0
    for x in map(np.array, itertools.product([0, 1], repeat=3)):
        weight = math.prod(g if bit else 1 - g for bit, g in zip(x, grey, strict=True))
        mean += weight * stats.bernoulli.logpmf(x, p).sum()
    np.testing.assert_allclose(formula, mean)


def test_eq_pytorch_logits() -> None:
    for logit, x in itertools.product([-3.0, 0.0, 0.4, 5.0], [0.0, 0.3, 1.0]):
        p = 1 / (1 + math.exp(-logit))
        first = x * math.log(p) + (1 - x) * math.log(1 - p)
        middle = x * logit + math.log(1 - p)
        last = x * logit - math.log(1 + math.exp(logit))
        np.testing.assert_allclose([middle, last], first, rtol=1e-10)


def test_eq_pytorch_kl() -> None:
    """Against quadrature, one coordinate at a time; the coordinates add up."""
    mu, logvar = np.array([0.8, -1.5]), np.log(np.array([0.25, 1.7]))
    formula = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))
    by_quadrature = 0.0
    for m, lv in zip(mu, logvar, strict=True):
        q, p = stats.norm(m, math.exp(lv / 2)), stats.norm(0, 1)
        by_quadrature += integrate.quad(
            lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), m - 12, m + 12, points=[m]
        )[0]
    np.testing.assert_allclose(formula, by_quadrature, rtol=1e-8)


def test_eq_pytorch_loss() -> None:
    """BCE summed plus KL summed, against minus the ELBO put together by torch.distributions."""
    torch.manual_seed(0)
    model = vl.dense_vae(6, (5,), 3).double()
    x = torch.bernoulli(torch.full((4, 6), 0.5, dtype=F64))
    mu, logvar = model.encoder(x)
    eps = torch.randn(4, 3, dtype=F64)
    logits = model.decoder(mu + torch.exp(0.5 * logvar) * eps)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)

    q, prior = D.Normal(mu, (logvar / 2).exp()), D.Normal(torch.zeros_like(mu), 1.0)
    z = q.loc + q.scale * eps
    log_p_x_given_z = D.Bernoulli(logits=model.decoder(z)).log_prob(x).sum(1)
    elbo = log_p_x_given_z - D.kl_divergence(q, prior).sum(1)
    torch.testing.assert_close(bce + kl, -elbo)
