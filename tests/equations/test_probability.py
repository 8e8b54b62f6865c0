"""Chapter "The probability you need": each displayed claim against a truth found another way."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import integrate, optimize, stats
from torch import distributions as D

Array = NDArray[np.float64]

# Joint masses of x (rows) and z (columns), as exact fractions.
JOINT = [[Fraction(count, 20) for count in row] for row in ([3, 1, 2], [4, 9, 1])]
# A skewed mass function: values and probabilities.
VALUES = np.array([-1.5, 0.2, 1.0, 4.0])
MASSES = np.array([0.3, 0.4, 0.2, 0.1])
A2 = np.array([[2.0, 0.6], [0.5, 1.65]])
B2 = np.array([0.3, -0.5])


def expect(values: Array, masses: Array = MASSES) -> float:
    return float((values * masses).sum())


def area(density: Callable[[float], float], low: float = -math.inf, high: float = math.inf) -> float:
    return float(integrate.quad(density, low, high, epsabs=1e-12, epsrel=1e-12, limit=400)[0])


def variance(values: Array, masses: Array = MASSES) -> float:
    """Half the mean squared difference of two independent copies: never uses a mean."""
    differences = (values[:, None] - values[None, :]) ** 2
    return float(0.5 * (masses[:, None] * masses[None, :] * differences).sum())


def gaussian_log(x: Array, mu: Array, Sigma: Array) -> Array:
    return np.asarray(stats.multivariate_normal(mu, Sigma).logpdf(x))


# A table, Bayes ------------------------------------------------------------------------------------

# Every outcome of the table as often as it occurs in 20 trials.
TRIALS = [(x, z) for x, row in enumerate(JOINT) for z, p in enumerate(row) for _ in range(int(20 * p))]


def frequency(x: int | None = None, z: int | None = None, trials: list[tuple[int, int]] = TRIALS) -> Fraction:
    hits = [t for t in trials if x in (None, t[0]) and z in (None, t[1])]
    return Fraction(len(hits), len(trials))


def given(x: int | None = None, z: int | None = None) -> list[tuple[int, int]]:
    return [t for t in TRIALS if x in (None, t[0]) and z in (None, t[1])]


def test_eq_probability_product_rule() -> None:
    for x in range(2):
        for z in range(3):
            assert frequency(x=x, trials=given(z=z)) * frequency(z=z) == JOINT[x][z]
            assert frequency(z=z, trials=given(x=x)) * frequency(x=x) == JOINT[x][z]


def test_eq_probability_bayes() -> None:
    for x in range(2):
        likelihood = [frequency(x=x, trials=given(z=z)) for z in range(3)]
        prior = [frequency(z=z) for z in range(3)]
        evidence = sum(a * b for a, b in zip(likelihood, prior, strict=True))
        assert evidence == frequency(x=x)
        for z in range(3):
            assert likelihood[z] * prior[z] / evidence == frequency(z=z, trials=given(x=x))


def test_eq_probability_log_product() -> None:
    factors = np.random.default_rng(0).uniform(0.001, 1.0, 784)
    product = math.prod(Decimal(f) for f in factors)
    np.testing.assert_allclose(np.log(factors).sum(), float(product.ln()), rtol=1e-13)


def test_eq_probability_pixel_log() -> None:
    rng = np.random.default_rng(0)
    x, p = rng.integers(0, 2, 40), rng.uniform(0.01, 0.99, 40)
    ours = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
    drawn = math.prod(Decimal(p[d]) if x[d] else 1 - Decimal(p[d]) for d in range(40))
    np.testing.assert_allclose(ours, float(drawn.ln()), rtol=1e-13)


# Expectation ---------------------------------------------------------------------------------------


def test_eq_probability_linearity() -> None:
    a, b = 1.7, -0.6
    joint = np.array([[float(p) for p in row] for row in JOINT])
    x, z = np.array([2.0, -1.0])[:, None], np.array([0.5, 3.0, 7.0])[None, :]
    together = sum(p * float((a * x**2 + b * z)[i, j]) for (i, j), p in np.ndenumerate(joint))
    apart = a * float((joint.sum(1) * x[:, 0] ** 2).sum()) + b * float((joint.sum(0) * z[0]).sum())
    np.testing.assert_allclose(apart, together, rtol=1e-13)


def test_eq_probability_shifted_square() -> None:
    mu, var = expect(VALUES), variance(VALUES)
    for c in (-2.0, 0.0, 0.7, 5.0):
        direct = expect((VALUES - c) ** 2)
        expanded = var + 2 * (mu - c) * expect(VALUES - mu) + (mu - c) ** 2
        np.testing.assert_allclose(expanded, direct, rtol=1e-13)
        np.testing.assert_allclose(var + (mu - c) ** 2, direct, rtol=1e-13)


def test_eq_probability_variance_affine() -> None:
    a, b = -2.5, 3.0
    np.testing.assert_allclose(a * expect(VALUES) + b, expect(a * VALUES + b), rtol=1e-13)
    np.testing.assert_allclose(a**2 * variance(VALUES), variance(a * VALUES + b), rtol=1e-13)


def test_eq_probability_product_expectation() -> None:
    other, masses = np.array([1.0, 6.0, -2.0]), np.array([0.5, 0.25, 0.25])
    f, g = np.exp(VALUES), other**3
    joint = MASSES[:, None] * masses[None, :]
    np.testing.assert_allclose(expect(f) * expect(g, masses), (joint * np.outer(f, g)).sum(), rtol=1e-13)


def test_eq_probability_variance_sum() -> None:
    other, masses = np.array([1.0, 6.0, -2.0]), np.array([0.5, 0.25, 0.25])
    sums = (VALUES[:, None] + other[None, :]).ravel()
    joint = (MASSES[:, None] * masses[None, :]).ravel()
    np.testing.assert_allclose(variance(VALUES) + variance(other, masses), variance(sums, joint), rtol=1e-12)


def test_eq_probability_variance_sum__the_middle_line_holds_for_dependent_things() -> None:
    joint = np.array([[float(p) for p in row] for row in JOINT])
    x, z = np.array([2.0, -1.0]), np.array([0.5, 3.0, 7.0])
    p_x, p_z = joint.sum(1), joint.sum(0)
    centred = np.outer(x - expect(x, p_x), z - expect(z, p_z))
    ours = variance(x, p_x) + variance(z, p_z) + 2 * (joint * centred).sum()
    truth = variance((x[:, None] + z[None, :]).ravel(), joint.ravel())
    np.testing.assert_allclose(ours, truth, rtol=1e-12)
    assert abs((joint * centred).sum()) > 0.1


# Monte Carlo ---------------------------------------------------------------------------------------


def every_sample(n_draws: int) -> tuple[Array, Array]:
    """All outcomes of n independent draws, averaged, and their probabilities."""
    outcomes = np.stack(np.meshgrid(*[VALUES] * n_draws, indexing="ij"), axis=-1).reshape(-1, n_draws)
    masses = np.stack(np.meshgrid(*[MASSES] * n_draws, indexing="ij"), axis=-1).reshape(-1, n_draws)
    return (outcomes**2).mean(axis=1), masses.prod(axis=1)


def test_eq_probability_monte_carlo_mean() -> None:
    for n_draws in (1, 3, 6):
        averages, masses = every_sample(n_draws)
        np.testing.assert_allclose(expect(VALUES**2), expect(averages, masses), rtol=1e-12)


def test_eq_probability_monte_carlo_variance() -> None:
    for n_draws in (1, 3, 5):
        averages, masses = every_sample(n_draws)
        truth = variance(averages, masses)
        np.testing.assert_allclose(variance(VALUES**2) / n_draws, truth, rtol=1e-12)


def test_eq_probability_reweighting() -> None:
    p, q = stats.norm(0.0, 1.0), stats.norm(1.0, 1.5)
    reweighted = area(lambda z: math.cos(z) * p.pdf(z) / q.pdf(z) * q.pdf(z), -12, 12)
    np.testing.assert_allclose(reweighted, math.exp(-0.5), rtol=1e-10)  # E[cos z] = Re E[e^{iz}]
    masses = np.array([0.1, 0.2, 0.3, 0.4])
    weighted = expect(VALUES**2 * MASSES / masses, masses)
    np.testing.assert_allclose(weighted, expect(VALUES**2, MASSES), rtol=1e-13)


# Gaussians in one dimension ------------------------------------------------------------------------


def test_eq_probability_gaussian_integral() -> None:
    I = area(lambda z: math.exp(-(z**2) / 2))  # noqa: E741
    rings = 2 * math.pi * area(lambda r: math.exp(-(r**2) / 2) * r, 0.0)
    np.testing.assert_allclose((I**2, rings), 2 * math.pi, rtol=1e-11)


def test_eq_probability_gaussian_moments() -> None:
    scale = 1 / math.sqrt(2 * math.pi)
    direct = area(lambda z: scale * z**2 * math.exp(-(z**2) / 2))
    by_parts = scale * area(lambda z: math.exp(-(z**2) / 2))
    np.testing.assert_allclose((direct, by_parts), 1.0, rtol=1e-11)
    np.testing.assert_allclose(stats.norm.expect(lambda z: z), 0.0, atol=1e-12)


def test_eq_probability_lognormal_mean() -> None:
    for a in (-1.2, 0.5, 3.0):
        truth = area(lambda z, a=a: math.exp(-(z**2) / 2 + a * z), -15.0, 20.0) / math.sqrt(2 * math.pi)  # type: ignore[misc]
        np.testing.assert_allclose(math.exp(a**2 / 2), truth, rtol=1e-10)


def test_eq_probability_change_of_variables() -> None:
    """A rising and a falling map, against the slope of the distribution function of y."""
    gamma = stats.gamma(2.3)
    for g, inverse, slope in (
        (lambda x: x**2, math.sqrt, lambda x: 2 * x),
        (lambda x: 1 / x, lambda t: 1 / t, lambda x: -1 / x**2),
    ):
        for t in (0.3, 0.9, 2.5):
            x = inverse(t)
            assert math.isclose(g(x), t)
            falls = slope(x) < 0
            cdf = (lambda s, i=inverse: gamma.sf(i(s))) if falls else (lambda s, i=inverse: gamma.cdf(i(s)))
            numeric = (cdf(t + 1e-5) - cdf(t - 1e-5)) / 2e-5
            np.testing.assert_allclose(gamma.pdf(x) / abs(slope(x)), numeric, rtol=1e-7)


def test_eq_probability_affine_density() -> None:
    gamma = stats.gamma(2.3)
    for a, b in ((2.5, 1.0), (-0.4, 3.0)):
        density = lambda y, a=a, b=b: gamma.pdf((y - b) / a) / abs(a)  # noqa: E731
        ends = sorted((b, a * 60 + b))
        np.testing.assert_allclose(area(density, *ends), 1.0, rtol=1e-8)
        mean = area(lambda y, f=density: y * f(y), *ends)  # type: ignore[misc]
        np.testing.assert_allclose(mean, a * 2.3 + b, rtol=1e-8)


def test_eq_probability_lognormal() -> None:
    for y in (0.1, 0.8, 3.0):
        np.testing.assert_allclose(stats.norm.pdf(math.log(y)) / y, stats.lognorm(1.0).pdf(y), rtol=1e-12)


def test_eq_probability_gaussian_density() -> None:
    mu, sigma = -0.7, 0.3

    def ours(x: float) -> float:
        return math.exp(-((x - mu) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))

    for x in (-1.5, -0.7, 0.1):
        np.testing.assert_allclose(ours(x), stats.norm(mu, sigma).pdf(x), rtol=1e-12)
    np.testing.assert_allclose(area(ours, mu - 4, mu + 4), 1.0, rtol=1e-10)


def test_eq_probability_gaussian_log_density() -> None:
    x = torch.linspace(-2, 3, 11, dtype=torch.float64)
    mu, sigma = torch.tensor(0.4, dtype=torch.float64), torch.tensor(1.7, dtype=torch.float64)
    ours = -0.5 * (math.log(2 * math.pi) + torch.log(sigma**2) + (x - mu) ** 2 / sigma**2)
    torch.testing.assert_close(ours, D.Normal(mu, sigma).log_prob(x))


# Many dimensions -----------------------------------------------------------------------------------


def test_eq_probability_jacobian() -> None:
    """Area, mean and mixed moment of the new density on a grid, against those of A x + b."""
    centres, weights = np.array([[-1.0, 0.5], [2.0, 1.5]]), np.array([0.3, 0.7])

    def p_x(x: Array) -> Array:
        bumps = [stats.norm.pdf(x - c).prod(axis=-1) for c in centres]
        return np.asarray(weights[0] * bumps[0] + weights[1] * bumps[1])

    axis = np.linspace(-22, 26, 481)
    y = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = p_x((y - B2) @ np.linalg.inv(A2).T) / abs(np.linalg.det(A2))
    images = centres @ A2.T + B2
    mixed = weights @ (images[:, 0] * images[:, 1]) + A2[0] @ A2[1]
    measured = [(density * f).sum() * 0.01 for f in (1.0, y[..., 0], y[..., 1], y[..., 0] * y[..., 1])]
    np.testing.assert_allclose(measured, [1.0, *(weights @ images), mixed], rtol=1e-9)


def test_eq_probability_affine_moments() -> None:
    rng = np.random.default_rng(0)
    points, masses = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(6))
    A, b = rng.normal(size=(2, 3)), rng.normal(size=2)
    mu, Sigma = masses @ points, np.cov(points.T, aweights=masses, bias=True)
    images = points @ A.T + b
    np.testing.assert_allclose(A @ mu + b, masses @ images, rtol=1e-12)
    truth = np.cov(images.T, aweights=masses, bias=True)
    np.testing.assert_allclose(A @ Sigma @ A.T, truth, rtol=1e-11)


def test_eq_probability_whitening() -> None:
    eps = np.random.default_rng(0).normal(size=(5, 2))
    difference, Sigma = eps @ A2.T, A2 @ A2.T
    squares = np.einsum("ni,ij,nj->n", difference, np.linalg.inv(Sigma), difference)
    np.testing.assert_allclose(squares, (eps**2).sum(axis=1), rtol=1e-12)
    inverse = np.linalg.inv(A2)
    np.testing.assert_allclose(np.linalg.inv(Sigma), inverse.T @ inverse, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.det(Sigma), (2.0 * 1.65 - 0.6 * 0.5) ** 2, rtol=1e-12)


def test_eq_probability_multivariate_gaussian() -> None:
    x, Sigma = np.random.default_rng(0).normal(size=(5, 2)), A2 @ A2.T
    squares = np.einsum("ni,ij,nj->n", x - B2, np.linalg.inv(Sigma), x - B2)
    ours = -0.5 * (2 * math.log(2 * math.pi) + math.log(np.linalg.det(Sigma)) + squares)
    np.testing.assert_allclose(ours, gaussian_log(x, B2, Sigma), rtol=1e-12)
    axis = np.linspace(-16, 16, 321)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    np.testing.assert_allclose(np.exp(gaussian_log(grid, B2, Sigma)).sum() * 0.01, 1.0, rtol=1e-9)


def test_eq_probability_diagonal_gaussian() -> None:
    x = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    mu = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    sigma = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    ours = -0.5 * (math.log(2 * math.pi) + torch.log(sigma**2) + (x - mu) ** 2 / sigma**2).sum()
    torch.testing.assert_close(ours, D.MultivariateNormal(mu, torch.diag(sigma**2)).log_prob(x))


def test_eq_probability_affine_gaussian() -> None:
    """Two numbers mapped to one: its distribution function by quadrature over half-planes."""
    mu, Sigma = np.array([0.5, -1.0]), A2 @ A2.T
    row, b = np.array([[1.5, -0.7]]), 0.25
    mean, var = (row @ mu + b).item(), (row @ Sigma @ row.T).item()
    density = stats.multivariate_normal(mu, Sigma).pdf
    for t in (-2.0, 0.0, 3.0):
        # p(y <= t): integrate over the half-plane row @ x + b <= t, one line at a time.
        axis = np.linspace(-14, 14, 2801)
        line = stats.norm(mu[0], math.sqrt(Sigma[0, 0])).pdf(axis)
        conditional_mean = mu[1] + Sigma[1, 0] / Sigma[0, 0] * (axis - mu[0])
        conditional_std = math.sqrt(Sigma[1, 1] - Sigma[1, 0] ** 2 / Sigma[0, 0])
        np.testing.assert_allclose(
            line * stats.norm(conditional_mean, conditional_std).pdf(0.3),
            density(np.stack([axis, np.full_like(axis, 0.3)], axis=-1)),
            rtol=1e-9,
        )
        at_least = (1.5 * axis + b - t) / 0.7
        below = integrate.trapezoid(line * stats.norm(conditional_mean, conditional_std).sf(at_least), axis)
        np.testing.assert_allclose(stats.norm(mean, math.sqrt(var)).cdf(t), below, atol=1e-7)


def test_eq_probability_gaussian_sum() -> None:
    first, second = stats.norm(1.0, 0.5), stats.norm(-0.4, 1.2)
    for x in (-2.0, 0.6, 1.5):
        convolved = area(lambda u, x=x: first.pdf(u) * second.pdf(x - u), -4.0, 6.0)  # type: ignore[misc]
        ours = stats.norm(1.0 + -0.4, math.sqrt(0.5**2 + 1.2**2)).pdf(x)
        np.testing.assert_allclose(ours, convolved, rtol=1e-9)


# Products of densities -----------------------------------------------------------------------------

MU1, SIGMA1, MU2, SIGMA2 = -0.5, 0.8, 1.5, 0.4


def test_eq_probability_product_square() -> None:
    """Every line differs from the first by a constant."""
    z = np.linspace(-3, 3, 61)
    lam1, lam2 = 1 / SIGMA1**2, 1 / SIGMA2**2
    lam, mu = lam1 + lam2, (lam1 * MU1 + lam2 * MU2) / (lam1 + lam2)
    first = stats.norm(MU1, SIGMA1).logpdf(z) + stats.norm(MU2, SIGMA2).logpdf(z)
    for line in (
        -0.5 * (lam1 * (z - MU1) ** 2 + lam2 * (z - MU2) ** 2),
        -0.5 * ((lam1 + lam2) * z**2 - 2 * (lam1 * MU1 + lam2 * MU2) * z),
        -0.5 * lam * (z**2 - 2 * mu * z),
        -0.5 * lam * (z - mu) ** 2,
    ):
        np.testing.assert_allclose(np.diff(first - line), 0.0, atol=1e-12)


def test_eq_probability_precision_weighted() -> None:
    lam1, lam2 = 1 / SIGMA1**2, 1 / SIGMA2**2
    lam, mu = lam1 + lam2, (lam1 * MU1 + lam2 * MU2) / (lam1 + lam2)

    def product(z: float) -> float:
        return float(stats.norm(MU1, SIGMA1).pdf(z) * stats.norm(MU2, SIGMA2).pdf(z))

    total = area(product, -6, 6)
    mean = area(lambda z: z * product(z), -6, 6) / total
    spread = area(lambda z: (z - mean) ** 2 * product(z), -6, 6) / total
    np.testing.assert_allclose((mu, 1 / lam), (mean, spread), rtol=1e-8)


# Jensen, log-sum-exp -------------------------------------------------------------------------------


def test_eq_probability_tangent() -> None:
    u = np.concatenate([np.geomspace(1e-6, 0.999, 200), np.geomspace(1.001, 1e6, 200)])
    assert (np.log(u) < u - 1).all()
    touch = optimize.minimize_scalar(lambda t: (t - 1) - math.log(t), bounds=(0.1, 5.0), method="bounded")
    np.testing.assert_allclose((touch.x, touch.fun), (1.0, 0.0), atol=1e-5)


def test_eq_probability_jensen() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, masses = rng.gamma(0.5, size=5) + 1e-3, rng.dirichlet(np.ones(5))
        m = expect(x, masses)
        tangent = np.log(m) + (x - m) / m
        assert (np.log(x) <= tangent + 1e-12).all()
        np.testing.assert_allclose(expect(tangent, masses), math.log(m), atol=1e-12)
        assert math.log(stats.gmean(x, weights=masses)) < math.log(m)
    # For x = e^z with z standard normal the gap is one half.
    mean = area(lambda z: math.exp(z) * stats.norm.pdf(z), -12, 14)
    np.testing.assert_allclose(math.log(mean) - stats.norm.expect(lambda z: z), 0.5, rtol=1e-9)


def test_eq_probability_jensen_estimate() -> None:
    """All outcomes of S draws, enumerated: below log m, and rising with S."""
    bounds = []
    log_m = math.log(expect(VALUES**2))
    for n_draws in (1, 2, 4, 6):
        averages, masses = every_sample(n_draws)
        bounds.append(expect(np.log(averages), masses))
    assert bounds == sorted(bounds)
    assert bounds[-1] < log_m
    np.testing.assert_allclose(bounds[0], expect(np.log(VALUES**2)), rtol=1e-12)


def exact_log_sum(a: Array) -> float:
    return float(sum(Decimal(float(v)).exp() for v in a).ln())


def test_eq_probability_logsumexp() -> None:
    for a in (np.array([-1000.0, -1001.5, -990.0]), np.array([900.0, 905.0]), np.array([0.3, -2.0, 1.1])):
        m = a.max()
        np.testing.assert_allclose(m + np.log(np.exp(a - m).sum()), exact_log_sum(a), rtol=1e-14)


def test_eq_probability_logsumexp_bounds() -> None:
    rng = np.random.default_rng(0)
    for K in (1, 2, 10):
        for scale in (0.0, 1.0, 100.0):
            a = scale * rng.normal(size=K) - 500
            assert a.max() - 1e-9 <= exact_log_sum(a) <= a.max() + math.log(K) + 1e-9
    # Both ends are reached: one dominant term, and K equal terms.
    np.testing.assert_allclose(exact_log_sum(np.array([0.0, -90.0])), 0.0, atol=1e-25)
    np.testing.assert_allclose(exact_log_sum(np.full(10, -500.0)), -500 + math.log(10), rtol=1e-14)


def test_eq_probability_log_mean_exp() -> None:
    log_w = np.random.default_rng(0).normal(size=7) - 800
    average = sum(Decimal(float(v)).exp() for v in log_w) / 7
    ours = torch.logsumexp(torch.tensor(log_w), dim=0).item() - math.log(7)
    np.testing.assert_allclose(ours, float(average.ln()), rtol=1e-14)


def test_eq_probability_log_posterior() -> None:
    rng = np.random.default_rng(0)
    prior, likelihood = rng.dirichlet(np.ones(4)), rng.uniform(size=(4, 3))
    log_joint = np.log(prior)[:, None] + np.log(likelihood)
    ours = log_joint - np.log(np.exp(log_joint).sum(axis=0))
    for x in range(3):
        joint = [Fraction(prior[y]) * Fraction(likelihood[y, x]) for y in range(4)]
        truth = [float(p / sum(joint)) for p in joint]
        np.testing.assert_allclose(np.exp(ours[:, x]), truth, rtol=1e-12)
