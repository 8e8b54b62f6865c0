"""Equations of the chapter on likelihoods, each against an independent truth."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy import integrate, optimize, special, stats

LOGITS = (-6.0, -0.7, 0.4, 1.3, 9.0)
LEVELS = 256


def assert_close(left: object, right: object, tol: float = 1e-9) -> None:
    np.testing.assert_allclose(left, right, rtol=tol, atol=tol)


def slope(function: Callable[[float], float], at: float, h: float = 1e-3) -> float:
    """Derivative by a five-point difference quotient, error of order h^4."""
    return (function(at - 2 * h) - 8 * function(at - h) + 8 * function(at + h) - function(at + 2 * h)) / (
        12 * h
    )


def integral(function: Callable[[float], float], low: float, high: float) -> float:
    value, _ = integrate.quad(function, low, high, epsabs=1e-13, epsrel=1e-12, limit=200)
    return float(value)


def pictures(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, mu): n made-up pictures of d pixels and the means a decoder might give them."""
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(n, d)), rng.uniform(size=(n, d))


# Bernoulli ----------------------------------------------------------------------------------------


def test_eq_likelihoods_bernoulli() -> None:
    for ell, x in product(LOGITS, (0, 1)):
        lam = special.expit(ell)
        truth = stats.bernoulli.logpmf(x, lam)
        assert_close(x * math.log(lam) + (1 - x) * math.log(1 - lam), truth)
        assert_close(x * math.log(lam / (1 - lam)) + math.log(1 - lam), truth)
        assert_close(x * ell + math.log(1 - lam), truth)
        assert_close(x * ell - math.log(1 + math.exp(ell)), truth)


def test_eq_likelihoods_grey() -> None:
    x, ell = np.array([0.1, 0.5, 0.8, 0.3]), np.array([-2.0, 0.3, 1.5, -0.4])
    truth = middle = 0.0
    for b in product((0, 1), repeat=4):  # every binary picture, with its probability
        weight = np.prod(stats.bernoulli.pmf(b, x))
        truth += weight * np.sum(stats.bernoulli.logpmf(b, special.expit(ell)))
        middle += weight * np.sum(b * ell - np.log(1 + np.exp(ell)))
    assert_close(middle, truth)
    assert_close(np.sum(x * ell - np.log(1 + np.exp(ell))), truth)


def test_eq_likelihoods_bce_floor() -> None:
    for x, lam in product((0.05, 0.3, 0.5, 0.9), (0.02, 0.3, 0.6, 0.97)):
        loss = F.binary_cross_entropy(
            torch.tensor(lam, dtype=torch.float64), torch.tensor(x, dtype=torch.float64)
        ).item()
        entropy = float(stats.bernoulli(x).entropy())
        kl = torch.distributions.kl_divergence(
            torch.distributions.Bernoulli(torch.tensor(x, dtype=torch.float64)),
            torch.distributions.Bernoulli(torch.tensor(lam, dtype=torch.float64)),
        ).item()
        assert_close(-x * math.log(x) - (1 - x) * math.log(1 - x), entropy)
        left = -x * math.log(lam) - (1 - x) * math.log(1 - lam)
        assert_close(left, loss, 1e-7)
        assert_close(entropy + x * math.log(x / lam) + (1 - x) * math.log((1 - x) / (1 - lam)), left)
        assert_close(left, entropy + kl, 1e-7)
        assert left >= entropy - 1e-15
        assert (abs(left - entropy) < 1e-12) == (x == lam)


def test_eq_likelihoods_bernoulli_integral() -> None:
    def formula(x: float, ell: float) -> float:
        """The Bernoulli probability of x, at a grey x."""
        lam = special.expit(ell)
        return float(lam**x * (1 - lam) ** (1 - x))

    for ell in LOGITS:
        truth = integral(lambda x, logit=ell: formula(x, logit), 0, 1)
        e, h = math.exp(ell), math.exp(ell / 2)
        assert_close(integral(lambda x, logit=ell: math.exp(x * logit) / (1 + math.exp(logit)), 0, 1), truth)
        assert_close((math.exp(ell) / ell - 1 / ell) / (1 + e), truth)
        assert_close((e - 1) / (e + 1) / ell, truth)
        assert_close((h - 1 / h) / (h + 1 / h) / ell, truth)
        assert_close(math.tanh(ell / 2) / ell, truth)
        assert 0 < truth < 0.5


def test_eq_likelihoods_continuous_bernoulli() -> None:
    def log_p(x: float, ell: float) -> float:
        return x * ell - math.log(1 + math.exp(ell)) + math.log(ell / math.tanh(ell / 2))

    for ell in LOGITS:
        theirs = torch.distributions.ContinuousBernoulli(logits=torch.tensor(ell, dtype=torch.float64))
        for x in (0.0, 0.2, 0.7, 1.0):
            assert_close(log_p(x, ell), theirs.log_prob(torch.tensor(x, dtype=torch.float64)).item(), 1e-7)
        assert_close(integral(lambda x, logit=ell: math.exp(log_p(x, logit)), 0, 1), 1.0)


def assert_remainder(exact: Callable[[float], float], series: Callable[[float], float], at: float) -> None:
    """What the series leaves out shrinks by 2^6 when its argument is halved."""
    ratio = (exact(at) - series(at)) / (exact(at / 2) - series(at / 2))
    assert abs(ratio / 64 - 1) < 0.05


def test_eq_likelihoods_series() -> None:
    def minus_log(a: float) -> float:
        return -math.log(math.tanh(a) / a)

    def log_c(ell: float) -> float:  # minus the logarithm of the integral
        return -math.log(integral(lambda x: math.exp(x * ell) / (1 + math.exp(ell)), 0, 1))

    assert_remainder(lambda a: math.tanh(a) / a, lambda a: 1 - a**2 / 3 + 2 / 15 * a**4, 0.2)
    assert_remainder(minus_log, lambda a: a**2 / 3 - 2 / 15 * a**4 + 1 / 2 * 1 / 9 * a**4, 0.2)
    assert_remainder(minus_log, lambda a: a**2 / 3 - 7 / 90 * a**4, 0.2)
    assert_remainder(log_c, lambda ell: math.log(2) + ell**2 / 12 - 7 / 1440 * ell**4, 0.5)


def test_eq_likelihoods_series__slope() -> None:
    for ell in LOGITS:
        numerical = slope(lambda at: math.log(at / math.tanh(at / 2)), ell)
        assert_close(1 / ell - 1 / math.sinh(ell), numerical)


# Gaussian -----------------------------------------------------------------------------------------


def test_eq_likelihoods_gaussian() -> None:
    (x,), (mu,) = pictures(0, 1, 7)
    for sigma in (0.05, 0.4, 1.7):
        sse = np.sum((x - mu) ** 2)
        truth = -np.sum(stats.norm.logpdf(x, mu, sigma))
        assert_close(sse / (2 * sigma**2) + 7 / 2 * math.log(2 * math.pi * sigma**2), truth)


def test_eq_likelihoods_sse() -> None:
    (x,), (mu,) = pictures(1, 1, 7)
    for sigma in (0.3, math.sqrt(0.5), 1.7):
        nll = -np.sum(stats.norm.logpdf(x, mu, sigma))
        right = 2 * sigma**2 * nll - 7 * sigma**2 * math.log(2 * math.pi * sigma**2)
        assert_close(right, np.sum((x - mu) ** 2))


def gaussian_nll(x: np.ndarray, mu: np.ndarray, variance: float) -> float:
    return float(-np.sum(stats.norm.logpdf(x, mu, math.sqrt(variance))))


def test_eq_likelihoods_optimal_sigma() -> None:
    n, d = 5, 7
    x, mu = pictures(2, n, d)
    total = np.sum((x - mu) ** 2)
    for variance in (0.08, 0.2, 0.9):
        numerical = slope(lambda v: gaussian_nll(x, mu, v), variance, 1e-4)
        assert_close(-total / (2 * variance**2) + n * d / (2 * variance), numerical, 1e-6)
        assert_close(n * d / (2 * variance**2) * (variance - total / (n * d)), numerical, 1e-6)
    assert_close(total / (n * d), np.mean((x - mu) ** 2))
    best = np.mean((x - mu) ** 2)
    assert all(gaussian_nll(x, mu, best) < gaussian_nll(x, mu, best * t) for t in (0.99, 1.01))


def test_eq_likelihoods_optimal_nll() -> None:
    n, d = 5, 7
    x, mu = pictures(3, n, d)
    found = optimize.minimize_scalar(
        lambda v: gaussian_nll(x, mu, v) / n, bounds=(0.01, 2), method="bounded", options={"xatol": 1e-9}
    )
    mse = np.mean((x - mu) ** 2)
    assert_close(d / 2 * (1 + math.log(2 * math.pi * mse)), found.fun)


# Laplace ------------------------------------------------------------------------------------------


def test_eq_likelihoods_laplace() -> None:
    (x,), (mu,) = pictures(4, 1, 7)
    for b in (0.05, 0.4, 1.7):
        truth = -np.sum(stats.laplace.logpdf(x, mu, b))
        assert_close(np.sum(np.abs(x - mu)) / b + 7 * math.log(2 * b), truth)


def test_eq_likelihoods_laplace_scale() -> None:
    n, d = 5, 7
    x, mu = pictures(5, n, d)
    total = np.sum(np.abs(x - mu))

    def nll(b: float) -> float:
        return float(-np.sum(stats.laplace.logpdf(x, mu, b)))

    for b in (0.1, 0.3, 0.9):
        numerical = slope(nll, b, 1e-4)
        assert_close(-total / b**2 + n * d / b, numerical, 1e-6)
        assert_close(n * d / b**2 * (b - total / (n * d)), numerical, 1e-6)
    best = total / (n * d)
    assert_close(best, np.mean(np.abs(x - mu)))
    assert all(nll(best) < nll(best * t) for t in (0.99, 1.01))


# Discretised logistic -----------------------------------------------------------------------------

BELLS = ((0.3, 0.8), (2.0, 5.0), (100.0, 30.0), (254.2, 3.0))


def bin_probability(k: int, mu: float, s: float) -> float:
    if k == 0:
        return float(special.expit((1 / 2 - mu) / s))
    if k == 255:
        return float(1 - special.expit((255 - 1 / 2 - mu) / s))
    return float(special.expit((k + 1 / 2 - mu) / s) - special.expit((k - 1 / 2 - mu) / s))


def test_eq_likelihoods_logistic_bins() -> None:
    def density(t: float, mu: float, s: float) -> float:
        return float(stats.logistic.pdf(t, mu, s))

    for mu, s in BELLS:
        for k in (0, 1, 2, 99, 100, 253, 254, 255):
            low = -np.inf if k == 0 else k - 0.5
            high = np.inf if k == 255 else k + 0.5
            truth = integral(lambda t, m=mu, scale=s: density(t, m, scale), low, high)
            assert_close(bin_probability(k, mu, s), truth, 1e-8)


def test_eq_likelihoods_logistic_sum() -> None:
    for mu, s in BELLS:
        upper = stats.logistic.cdf(np.arange(LEVELS) + 0.5, mu, s)  # F_k
        total = sum(bin_probability(k, mu, s) for k in range(LEVELS))
        steps = sum(upper[k] - upper[k - 1] for k in range(1, 255))
        assert_close(total, upper[0] + steps + (1 - upper[254]), 1e-12)
        assert_close(steps, upper[254] - upper[0], 1e-12)
        assert_close(total, 1.0, 1e-12)


def test_eq_likelihoods_logistic_difference() -> None:
    for a, b in ((0.7, -1.1), (3.0, 2.8), (-2.0, -5.0), (4.0, -4.0)):
        truth = integral(lambda t: float(stats.logistic.pdf(t)), b, a)
        ea, eb = math.exp(-a), math.exp(-b)
        assert_close(1 / (1 + ea) - 1 / (1 + eb), truth)
        assert_close((eb - ea) / ((1 + ea) * (1 + eb)), truth)
        assert_close(1 / (1 + ea) * eb / (1 + eb) * (1 - math.exp(b - a)), truth)
        assert_close(special.expit(a) * special.expit(-b) * (1 - math.exp(-(a - b))), truth)


# Units and dequantisation -------------------------------------------------------------------------


def test_eq_likelihoods_scale() -> None:
    x = np.array([30.0, 80.0, 120.0])
    for c in (0.5, 3.0, 256.0):
        small = np.sum(stats.gamma.logpdf(x / c, 2.5, scale=0.3))  # three pixels of Y
        truth = np.sum(stats.gamma.logpdf(x, 2.5, scale=0.3 * c))  # SciPy stretches them itself
        assert_close(small - 3 * math.log(c), truth)


def test_eq_likelihoods_bits() -> None:
    # Levels whose probabilities are powers of two: an ideal code spends a known number of bits on each.
    lengths = np.array([1, 2, 3, 3, 8])
    log_p = float(np.sum(np.log(0.5**lengths)))
    assert_close(-log_p / (len(lengths) * math.log(2)), np.mean(lengths))
    uniform = torch.distributions.Categorical(logits=torch.zeros(196, LEVELS).double())
    log_p = uniform.log_prob(torch.zeros(196)).sum().item()
    assert_close(-log_p / (196 * math.log(2)), 8.0)


# Two pixels that depend on each other: a mixture of two products, so that the mass of a cube is exact.
MIXTURE = ((0.35, ((2.0, 5.0), (6.0, 3.0))), (0.65, ((4.0, 2.5), (2.0, 9.0))))


def mixture(kind: str, y: np.ndarray) -> np.ndarray:
    """The sum over components of the products over pixels of "pdf" or "cdf"."""
    return sum(
        w * getattr(stats.beta, kind)(y[..., 0], *first) * getattr(stats.beta, kind)(y[..., 1], *second)
        for w, (first, second) in MIXTURE
    )


def cube_mass(k: tuple[int, int]) -> float:
    """By the distribution function at the four corners."""
    corner = [mixture("cdf", (np.array(k) + np.array(e)) / LEVELS) for e in product((0, 1), repeat=2)]
    return float(corner[3] - corner[2] - corner[1] + corner[0])


def noise_mean(function: Callable[[np.ndarray], np.ndarray], d: int = 2) -> float:
    """E[function(u)] for u uniform on the unit cube, by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    nodes, weights = (nodes + 1) / 2, weights / 2
    u = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1)
    w = np.prod(np.stack(np.meshgrid(*[weights] * d, indexing="ij"), axis=-1), axis=-1)
    return float(np.sum(w * function(u)))


CUBES = ((3, 200), (40, 60), (128, 30), (250, 5))


def in_cube(k: tuple[int, int], u: np.ndarray) -> np.ndarray:
    """Density at the picture k with noise u."""
    return mixture("pdf", (np.array(k) + u) / LEVELS)


def test_eq_likelihoods_cube() -> None:
    for k in CUBES:
        right = LEVELS ** (-2) * noise_mean(lambda u, k=k: in_cube(k, u))
        assert_close(right / cube_mass(k), 1.0)


def test_eq_likelihoods_dequantisation() -> None:
    for k in CUBES:
        exact = math.log(cube_mass(k))
        middle = -2 * math.log(LEVELS) + math.log(noise_mean(lambda u, k=k: in_cube(k, u)))
        assert_close(middle, exact)
        mean = noise_mean(lambda u, k=k: np.log(in_cube(k, u)))
        bound = -2 * math.log(LEVELS) + mean
        # Jensen's gap is not negative, and close to half the variance of log p within the cube.
        variance = noise_mean(lambda u, k=k, m=mean: (np.log(in_cube(k, u)) - m) ** 2)
        assert exact >= bound
        assert abs((exact - bound) / (variance / 2) - 1) < 0.3


def test_eq_likelihoods_ceiling() -> None:
    ceiling = 2 * math.log(LEVELS)
    # Spikes of every width, somewhere in the cube of level (3, 7).
    for width, centre in product((0.05, 0.3, 1.0, 20.0), (0.1, 0.5, 0.8)):
        low, mid = np.array([3, 7]) / LEVELS, (np.array([3, 7]) + centre) / LEVELS
        sigma = width / LEVELS
        mean_log_p = noise_mean(
            lambda u, lo=low, m=mid, s=sigma: np.sum(stats.norm.logpdf(lo + u / LEVELS, m, s), axis=-1)
        )
        log_mass = float(
            np.sum(np.log(stats.norm.cdf(low + 1 / LEVELS, mid, sigma) - stats.norm.cdf(low, mid, sigma)))
        )
        assert mean_log_p <= log_mass + ceiling <= ceiling
    # The one density that reaches the ceiling: uniform on the cube.
    flat = stats.uniform(3 / LEVELS, 1 / LEVELS)
    assert_close(noise_mean(lambda u: np.sum(flat.logpdf((3 + u) / LEVELS), axis=-1)), ceiling)
    assert_close(2 * math.log(flat.cdf(4 / LEVELS) - flat.cdf(3 / LEVELS)), 0.0)


# Sums and means -----------------------------------------------------------------------------------


def batch(n: int, d: int, latents: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(x, out, kl): pictures, what a decoder returns for them, and the KL of each latent coordinate."""
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(n, d, generator=generator, dtype=torch.float64)
    out = torch.randn(n, d, generator=generator, dtype=torch.float64)
    q = torch.distributions.Normal(
        torch.randn(n, latents, generator=generator, dtype=torch.float64),
        0.2 + torch.rand(n, latents, generator=generator, dtype=torch.float64),
    )
    return x, out, torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).double()


def bernoulli_nll(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return -torch.distributions.Bernoulli(logits=out, validate_args=False).log_prob(x).sum(dim=1)


def test_eq_likelihoods_beta() -> None:
    x, out, kl = batch(4, 6, 3)
    bce = F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(dim=1)
    for w, v in ((1.0, 1.0), (0.3, 2.0), (1 / 6, 1 / 3)):
        beta = v / w
        right = w * (bernoulli_nll(x, out) + beta * kl.sum(dim=1))
        assert_close(w * bce + v * kl.sum(dim=1), right)


def test_eq_likelihoods_beta__recipes() -> None:
    n, d, latents = 4, 6, 3
    x, out, kl = batch(n, d, latents)
    nll, per_picture = bernoulli_nll(x, out).mean().item(), kl.sum(dim=1).mean().item()
    mean = F.binary_cross_entropy_with_logits(out, x)
    total = F.binary_cross_entropy_with_logits(out, x, reduction="sum")
    for loss, beta, factor in (
        (total + kl.sum(), 1.0, n),
        (mean + kl.mean(), d / latents, 1 / d),
        (mean + kl.sum(dim=1).mean(), d, 1 / d),
        (mean + kl.sum(), d * n, 1 / d),
        (mean + kl.sum() / x.numel(), 1.0, 1 / d),
    ):
        assert_close(loss.item(), factor * (nll + beta * per_picture))


def test_eq_likelihoods_beta_sigma() -> None:
    x, out, kl = batch(4, 6, 3)
    sse = ((x - out) ** 2).sum(dim=1)
    for w, v in ((1.0, 1.0), (0.3, 2.0), (1 / 6, 1 / 3)):
        for sigma in (0.2, math.sqrt(v / (2 * w)), 1.4):
            nll = -torch.distributions.Normal(out, sigma).log_prob(x).sum(dim=1)
            beta = v / (2 * w) / sigma**2
            left = w * sse + v * kl.sum(dim=1)
            right = 2 * sigma**2 * w * (nll + beta * kl.sum(dim=1))
            assert_close(left - right, (left - right)[0].expand(4))  # the same constant for every picture
        assert_close(beta * sigma**2, v / (2 * w))
        honest = math.sqrt(v / (2 * w))  # the sigma with which beta is one
        assert_close(v / (2 * w) / honest**2, 1.0)
