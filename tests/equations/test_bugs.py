"""Equations of "The museum of bugs"."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

INF = np.inf


def test_eq_bugs_beta() -> None:
    """Two written losses against weight * (BCE + beta * KL), from the densities themselves."""
    rng = np.random.default_rng(0)
    n_pixels, n_latents = 12, 5
    x, p = rng.integers(0, 2, n_pixels), rng.uniform(0.1, 0.9, n_pixels)
    mu, sigma = rng.normal(size=n_latents), rng.uniform(0.3, 1.5, n_latents)
    per_pixel = -stats.bernoulli.logpmf(x, p)
    per_latent = np.array(
        [
            integrate.quad(
                lambda z, m=m, s=s: (
                    stats.norm.pdf(z, m, s) * (stats.norm.logpdf(z, m, s) - stats.norm.logpdf(z))
                ),
                m - 12 * s,
                m + 12 * s,
            )[0]
            for m, s in zip(mu, sigma, strict=True)
        ]
    )
    averaged_pixels = per_pixel.mean() + per_latent.sum()
    averaged_latents = per_pixel.sum() + per_latent.mean()
    np.testing.assert_allclose(averaged_pixels, (per_pixel.sum() + n_pixels * per_latent.sum()) / n_pixels)
    np.testing.assert_allclose(averaged_latents, per_pixel.sum() + per_latent.sum() / n_latents)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_eq_bugs_sigma_integral(sigma: float) -> None:
    def found(r: float) -> float:
        return r**2 / (2 * sigma**2) - math.log(sigma) + 0.5 * math.log(2 * math.pi)

    area = integrate.quad(lambda r: math.exp(-found(r)), -12 * sigma, 12 * sigma)[0]
    middle = integrate.quad(
        lambda r: sigma / math.sqrt(2 * math.pi) * math.exp(-(r**2) / (2 * sigma**2)),
        -12 * sigma,
        12 * sigma,
    )[0]
    np.testing.assert_allclose([area, middle], sigma**2, rtol=1e-9)


@pytest.mark.parametrize("mu", [-1.7, -0.1, 0.3, 2.4])
def test_eq_bugs_abs(mu: float) -> None:
    """The mean of the absolute log-ratio by quadrature over z, split where it changes its sign."""

    def ratio(z: float) -> float:
        return stats.norm.logpdf(z, mu) - stats.norm.logpdf(z)

    cut = mu / 2
    truth = sum(
        integrate.quad(lambda z: abs(ratio(z)) * stats.norm.pdf(z, mu), low, high)[0]
        for low, high in [(mu - 14, cut), (cut, mu + 14)]
    )
    m, s = mu**2 / 2, abs(mu)
    second = m - 2 * m * stats.norm.cdf(-m / s) + 2 * s * stats.norm.pdf(m / s)
    first = m - 2 * integrate.quad(lambda e: (m + s * e) * stats.norm.pdf(e), -14, -m / s)[0]
    last = mu**2 / 2 * (1 - 2 * stats.norm.cdf(-abs(mu) / 2)) + 2 * abs(mu) * stats.norm.pdf(mu / 2)
    np.testing.assert_allclose([first, second, last], truth, rtol=1e-9)


def test_eq_bugs_inverse() -> None:
    """Both lines differ from 2 log q - log p by a constant: the same differences between points."""
    m, s, a, b = 0.5, 0.8, 1.2, 0.7
    z = np.linspace(-2, 3, 7)
    truth = 2 * stats.norm.logpdf(z, m, s) - stats.norm.logpdf(z, a, b)
    first = -((z - m) ** 2) / s**2 + (z - a) ** 2 / (2 * b**2)
    second = -0.5 * (2 / s**2 - 1 / b**2) * z**2 + (2 * m / s**2 - a / b**2) * z
    np.testing.assert_allclose(np.diff(first), np.diff(truth), rtol=1e-10)
    np.testing.assert_allclose(np.diff(second), np.diff(truth), rtol=1e-10)


@pytest.mark.parametrize(("m", "s", "a", "b"), [(0.5, 0.8, 1.2, 0.7), (-1.0, 0.6, 0.4, 0.9)])
def test_eq_bugs_inverse_mean(m: float, s: float, a: float, b: float) -> None:
    """Mean and precision of q^2 / p by quadrature."""

    def r(z: float) -> float:
        return math.exp(2 * stats.norm.logpdf(z, m, s) - stats.norm.logpdf(z, a, b))

    area, first, second = (
        integrate.quad(lambda z, k=k: z**k * r(z), -12, 12, limit=200)[0] for k in range(3)
    )
    mean = first / area
    tau = 2 / s**2 - 1 / b**2
    c = (2 * m / s**2 - a / b**2) / tau
    np.testing.assert_allclose(mean, c, rtol=1e-7)
    np.testing.assert_allclose(1 / (second / area - mean**2), tau, rtol=1e-7)


@pytest.mark.parametrize("sigma", [0.2, 0.9, 1.4])
def test_eq_bugs_width(sigma: float) -> None:
    """KL of the noise that is drawn (standard deviation sigma^2) minus the one that is charged."""
    mu = 0.7

    def kl(std: float) -> float:
        return integrate.quad(
            lambda z: stats.norm.pdf(z, mu, std) * (stats.norm.logpdf(z, mu, std) - stats.norm.logpdf(z)),
            mu - 12 * std,
            mu + 12 * std,
        )[0]

    truth = kl(sigma**2) - kl(sigma)
    first = 0.5 * (mu**2 + sigma**4 - math.log(sigma**4) - 1) - 0.5 * (
        mu**2 + sigma**2 - math.log(sigma**2) - 1
    )
    second = 0.5 * (sigma**4 - sigma**2 - math.log(sigma**2))
    np.testing.assert_allclose([first, second], truth, rtol=1e-7)
    assert second > 0


def test_eq_bugs_floor() -> None:
    """The cheapest pixel over all probabilities, by search."""
    p = np.linspace(0, 1, 100_001)
    paper = -stats.bernoulli.logpmf(0, 1 / (1 + np.exp(-p)))
    ink = -stats.bernoulli.logpmf(1, 1 / (1 + np.exp(-p)))
    np.testing.assert_allclose(paper, np.log(1 + np.exp(p)))
    np.testing.assert_allclose(ink, np.log(1 + np.exp(p)) - p)
    np.testing.assert_allclose(ink, np.log(1 + np.exp(-p)))
    np.testing.assert_allclose(paper.min(), math.log(2))
    np.testing.assert_allclose(ink.min(), math.log(1 + math.exp(-1)))


def test_eq_bugs_support() -> None:
    """The slope by finite differences, and its sign inside, on and outside of [0, 1]."""
    logits, h = np.linspace(-8, 8, 41), 1e-5

    def cost(logit: np.ndarray, x: float) -> np.ndarray:
        return np.logaddexp(0, logit) - x * logit

    for x in (-1.0, -0.2, 0.0, 0.4, 1.0, 1.3, 255.0):
        slope = (cost(logits + h, x) - cost(logits - h, x)) / (2 * h)
        np.testing.assert_allclose(np.exp(logits) / (1 + np.exp(logits)) - x, slope, atol=1e-6)
        formula = np.exp(logits) / (1 + np.exp(logits)) - x
        assert (formula < 0).all() == (x >= 1)
        assert (formula > 0).all() == (x <= 0)


def test_eq_bugs_mixture() -> None:
    """Sum of the logs against the mixture of all K^L choices, enumerated."""
    rng = np.random.default_rng(1)
    n_components, n_latents = 3, 4
    weights = rng.dirichlet(np.ones(n_components))
    means, z = rng.normal(size=(n_components, n_latents)), rng.normal(size=n_latents)
    n = stats.norm.pdf(z, means, 0.7)
    left = sum(math.log(sum(weights * n[:, j])) for j in range(n_latents))
    right = sum(
        math.prod(weights[k] * n[k, j] for j, k in enumerate(choice))
        for choice in itertools.product(range(n_components), repeat=n_latents)
    )
    np.testing.assert_allclose(left, math.log(right), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_eq_bugs_logdet(scale: float) -> None:
    """The volume under the found density in two and three dimensions, on a grid of z."""
    axes = {2: np.linspace(-14, 14, 281), 3: np.linspace(-9, 9, 91)}
    for dim, axis in axes.items():
        A = scale * np.eye(dim)
        A[1, 0] = 0.3
        det = abs(np.linalg.det(A))
        z = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        eps = np.linalg.solve(A, z.T).T
        f = stats.norm.pdf(eps).prod(axis=1) / det**dim
        volume = f.sum() * (axis[1] - axis[0]) ** dim
        np.testing.assert_allclose(volume, det ** -(dim - 1), rtol=1e-6)
