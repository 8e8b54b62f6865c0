"""Equations of the chapter on the reparameterization trick, each against an independent truth."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from scipy import integrate, special, stats

Function = Callable[[np.ndarray], np.ndarray]

# (mu, sigma), chosen so that no two terms of a formula are equal by accident.
POINTS = ((1.0, 0.5), (-0.7, 1.3), (0.4, 0.8))

# Gauss-Hermite for the weight exp(-e^2 / 2): exact for polynomials of degree up to 119.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def standard_mean(g: Function) -> float:
    """E[g(eps)] for eps ~ N(0, 1)."""
    return float(WEIGHTS @ g(NODES))


def gaussian_mean(f: Function, mu: float, sigma: float) -> float:
    """E[f(z)] for z ~ N(mu, sigma^2): the trapezoid rule, which is exact to rounding for smooth f."""
    z = np.linspace(mu - 14 * sigma, mu + 14 * sigma, 4001)
    return float(integrate.trapezoid(f(z) * stats.norm.pdf(z, mu, sigma), z))


def slope(function: Callable[[float], float], at: float, h: float = 1e-3) -> float:
    """Derivative by a five-point difference quotient, error of order h^4."""
    return (function(at - 2 * h) - 8 * function(at - h) + 8 * function(at + h) - function(at + 2 * h)) / (
        12 * h
    )


def product_mean(g: Callable[[np.ndarray], float], dims: int, n: int = 6) -> float:
    """E[g(eps)] for eps ~ N(0, I): exact for polynomials of degree up to 2 n - 1 in each coordinate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    weights = weights / weights.sum()
    total = 0.0
    for index in product(range(n), repeat=dims):
        total += float(np.prod(weights[list(index)])) * g(nodes[list(index)])
    return total


def assert_close(left: float | Sequence[float] | np.ndarray, right: object, tol: float = 1e-8) -> None:
    np.testing.assert_allclose(left, right, rtol=tol, atol=tol)


def test_eq_reparam_square() -> None:
    for mu, sigma in POINTS:
        assert_close(mu**2 + sigma**2, gaussian_mean(np.square, mu, sigma))
        assert_close(2 * mu, slope(lambda m, s=sigma: gaussian_mean(np.square, m, s), mu))
        assert_close(2 * sigma, slope(lambda s, m=mu: gaussian_mean(np.square, m, s), sigma))


def test_eq_reparam_licence() -> None:
    # g(t, u) = sin(t u) e^-u on u > 0: dominated by u e^-u; its integral is t / (1 + t^2).
    t = 0.7
    under, _ = integrate.quad(lambda u: u * np.cos(t * u) * np.exp(-u), 0, 60, epsabs=1e-12)
    assert_close(under, slope(lambda s: s / (1 + s**2), t))


def test_eq_reparam_theta() -> None:
    # log p(x|z) = log N(x; theta z, 1): the derivative by theta is (x - theta z) z.
    mu, sigma, x, theta = 0.7, 0.9, 1.1, 0.9
    inside = standard_mean(lambda e: (x - theta * (mu + sigma * e)) * (mu + sigma * e))
    outside = slope(lambda t: gaussian_mean(lambda z: stats.norm.logpdf(x, t * z, 1.0), mu, sigma), theta)
    assert_close(inside, outside)


def test_eq_reparam_substitution() -> None:
    for mu, sigma in POINTS:
        for f in (np.sin, lambda z: z**3 + z, lambda z: np.exp(0.5 * z)):
            assert_close(
                standard_mean(lambda e, f=f, m=mu, s=sigma: f(m + s * e)), gaussian_mean(f, mu, sigma)
            )


def test_eq_reparam_stein() -> None:
    for g, derivative in ((np.sin, np.cos), (lambda e: e**5, lambda e: 5 * e**4), (np.exp, np.exp)):
        left = gaussian_mean(lambda e, g=g: e * g(e), 0.0, 1.0)
        assert_close(left, gaussian_mean(derivative, 0.0, 1.0))


def test_eq_reparam_cosine_split() -> None:
    for mu, sigma in POINTS:
        h = standard_mean(lambda e, s=sigma: np.cos(s * e))
        odd = standard_mean(lambda e, s=sigma: np.sin(s * e))
        for e in (-1.3, 0.4):  # under the expectation the odd part vanishes, so look at single values
            split = np.cos(mu) * np.cos(sigma * e) - np.sin(mu) * np.sin(sigma * e)
            assert_close(split, np.cos(mu + sigma * e))
        truth = gaussian_mean(np.cos, mu, sigma)
        assert_close(np.cos(mu) * h - np.sin(mu) * odd, truth)
        assert_close(np.cos(mu) * h, truth)


def test_eq_reparam_cosine_slope() -> None:
    for sigma in (0.5, 1.3):
        truth = slope(lambda s: gaussian_mean(lambda e: np.cos(s * e), 0.0, 1.0), sigma)
        assert_close(-standard_mean(lambda e, s=sigma: e * np.sin(s * e)), truth)
        assert_close(-standard_mean(lambda e, s=sigma: s * np.cos(s * e)), truth)


def test_eq_reparam_cosine() -> None:
    for mu, sigma in POINTS:
        shrink = np.exp(-(sigma**2) / 2)
        assert_close(shrink * np.cos(mu), gaussian_mean(np.cos, mu, sigma))
        assert_close(-shrink * np.sin(mu), slope(lambda m, s=sigma: gaussian_mean(np.cos, m, s), mu))
        assert_close(-sigma * shrink * np.cos(mu), slope(lambda s, m=mu: gaussian_mean(np.cos, m, s), sigma))


def test_eq_reparam_score() -> None:
    # For a distribution that is not Gaussian: exponential with rate r, score 1 / r - z.
    rate = 1.4
    for f, mean in ((np.square, lambda r: 2 / r**2), (np.cos, lambda r: r**2 / (1 + r**2))):
        estimate, _ = integrate.quad(
            lambda z, f=f: f(z) * (1 / rate - z) * rate * np.exp(-rate * z), 0, 40, epsabs=1e-12
        )
        assert_close(estimate, slope(mean, rate))


def test_eq_reparam_gaussian_score() -> None:
    for mu, sigma in POINTS:
        for eps in (-1.2, 0.3, 2.0):
            z = mu + sigma * eps
            by_mu = slope(lambda m, z=z, s=sigma: stats.norm.logpdf(z, m, s), mu)
            by_sigma = slope(lambda s, z=z, m=mu: stats.norm.logpdf(z, m, s), sigma)
            assert_close([(z - mu) / sigma**2, eps / sigma], by_mu)
            assert_close([-1 / sigma + (z - mu) ** 2 / sigma**3, (eps**2 - 1) / sigma], by_sigma, 1e-7)


def test_eq_reparam_domination() -> None:
    z = np.linspace(-9, 9, 1801)
    for m, sigma in POINTS:
        d = np.maximum(np.abs(z - m) - 1, 0)
        bound = (np.abs(z - m) + 1) / (sigma**3 * np.sqrt(2 * np.pi)) * np.exp(-(d**2) / (2 * sigma**2))
        for mu in np.linspace(m - 1, m + 1, 41):
            h = 1e-5
            by_mu = (stats.norm.pdf(z, mu + h, sigma) - stats.norm.pdf(z, mu - h, sigma)) / (2 * h)
            # The middle of the display, then the inequality.
            middle = np.abs(z - mu) / sigma**2 * stats.norm.pdf(z, mu, sigma)
            np.testing.assert_allclose(np.abs(by_mu), middle, atol=1e-8)
            assert (middle <= bound + 1e-15).all()
        # Finite, and no larger than a crude bound needs: the value of the integral in closed form.
        value = integrate.trapezoid(bound, z)
        root = np.sqrt(2 * np.pi) * sigma
        inside = 2 * (1 + 0.5)
        outside = 2 * (2 * root / 2 + sigma**2)
        assert_close(value, (inside + outside) / (sigma**3 * np.sqrt(2 * np.pi)), 1e-4)


def test_eq_reparam_pathwise() -> None:
    for f, derivative in ((np.sin, np.cos), (lambda z: z**4, lambda z: 4 * z**3)):
        for mu, sigma in POINTS:
            by_mu = standard_mean(lambda e, d=derivative, m=mu, s=sigma: d(m + s * e))
            by_sigma = standard_mean(lambda e, d=derivative, m=mu, s=sigma: d(m + s * e) * e)
            assert_close(by_mu, slope(lambda m, f=f, s=sigma: gaussian_mean(f, m, s), mu), 1e-7)
            assert_close(by_sigma, slope(lambda s, f=f, m=mu: gaussian_mean(f, m, s), sigma), 1e-7)


def test_eq_reparam_same_mean() -> None:
    for mu, sigma in POINTS:
        left = gaussian_mean(lambda z, m=mu, s=sigma: np.sin(z) * (z - m) / s / s, mu, sigma)
        assert_close(left, gaussian_mean(np.cos, mu, sigma))


def test_eq_reparam_averaging() -> None:
    # Enumerate all outcomes of S = 3 independent draws from a distribution on three values.
    values, p, S = np.array([-1.0, 0.5, 4.0]), np.array([0.2, 0.5, 0.3]), 3
    variance = p @ values**2 - (p @ values) ** 2
    mean = square = 0.0
    for index in product(range(3), repeat=S):
        chance, average = np.prod(p[list(index)]), values[list(index)].mean()
        mean, square = mean + chance * average, square + chance * average**2
    assert_close([S * variance / S**2, variance / S], square - mean**2)


def test_eq_reparam_moments() -> None:
    for k in range(9):
        left = gaussian_mean(lambda e, k=k: e ** (k + 2), 0.0, 1.0)
        assert_close(left, (k + 1) * gaussian_mean(lambda e, k=k: e**k, 0.0, 1.0))
    assert_close([gaussian_mean(lambda e, k=k: e**k, 0.0, 1.0) for k in (2, 4, 6)], [1, 3, 15])


def score_variance(mu: float, sigma: float, dims: int, baseline: float = 0.0) -> float:
    """Variance of one score-function estimate for mu_1 and f = sum z_j^2, by exact cubature."""

    def g(eps: np.ndarray) -> float:
        return float((((mu + sigma * eps) ** 2).sum() - baseline) * eps[0] / sigma)

    return product_mean(lambda e: g(e) ** 2, dims) - product_mean(g, dims) ** 2


def test_eq_reparam_variance_path() -> None:
    for mu, sigma in POINTS:
        mean = gaussian_mean(lambda z: 2 * z, mu, sigma)
        assert_close(4 * sigma**2, gaussian_mean(lambda z: 4 * z**2, mu, sigma) - mean**2)


def test_eq_reparam_variance_score() -> None:
    for mu, sigma in POINTS:
        second = gaussian_mean(lambda z, m=mu, s=sigma: (z**2 * (z - m) / s**2) ** 2, mu, sigma)
        parts = standard_mean(lambda e, m=mu, s=sigma: m**4 * e**2 + 6 * m**2 * s**2 * e**4 + s**4 * e**6)
        assert_close(parts / sigma**2, second)
        assert_close(mu**4 / sigma**2 + 18 * mu**2 + 15 * sigma**2, second)
        assert_close(mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2, score_variance(mu, sigma, 1))


def test_eq_reparam_rest() -> None:
    for mu, sigma in POINTS:
        second, fourth = (gaussian_mean(lambda z, k=k: z**k, mu, sigma) for k in (2, 4))
        variance = fourth - second**2
        of_eps_squared = 3 - 1
        assert_close(4 * mu**2 * sigma**2 + sigma**4 * of_eps_squared, variance)
        assert_close(4 * mu**2 * sigma**2 + 2 * sigma**4, variance)
        for L in (2, 3, 4):
            truth = product_mean(lambda e, m=mu, s=sigma: float((((m + s * e) ** 2).sum()) ** 2), L - 1)
            formula = (L - 1) ** 2 * (mu**2 + sigma**2) ** 2
            formula += (L - 1) * (4 * mu**2 * sigma**2 + 2 * sigma**4)
            assert_close(formula, truth)


def test_eq_reparam_dimension_parts() -> None:
    for mu, sigma in POINTS:
        z1_squared = gaussian_mean(lambda z, m=mu, s=sigma: z**2 * ((z - m) / s) ** 2, mu, sigma)
        assert_close(mu**2 + 3 * sigma**2, z1_squared)
        for L in (1, 2, 3):

            def rest(e: np.ndarray, m: float = mu, s: float = sigma) -> float:
                return float(((m + s * e[1:]) ** 2).sum())

            mean_rest = (L - 1) * (mu**2 + sigma**2)
            assert_close(mean_rest, product_mean(rest, L))
            fourth = gaussian_mean(lambda z, m=mu, s=sigma: z**4 * ((z - m) / s) ** 2, mu, sigma)
            rest_squared = product_mean(lambda e, r=rest: r(e) ** 2, L)
            mean_square = score_variance(mu, sigma, L) + (2 * mu) ** 2
            assert_close(fourth + 2 * z1_squared * mean_rest + rest_squared, sigma**2 * mean_square)


def test_eq_reparam_variance_dimension() -> None:
    for mu, sigma in POINTS:
        for L in (1, 2, 3, 4):
            formula = mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2
            formula += (L - 1) * (2 * mu**4 / sigma**2 + 12 * mu**2 + 8 * sigma**2)
            formula += (L - 1) ** 2 * (mu**2 + sigma**2) ** 2 / sigma**2
            assert_close(formula, score_variance(mu, sigma, L))


def test_eq_reparam_score_mean() -> None:
    for mu, sigma in POINTS:
        assert_close(gaussian_mean(lambda z, m=mu, s=sigma: (z - m) / s**2, mu, sigma), 0)
        assert_close(gaussian_mean(lambda z, m=mu, s=sigma: ((z - m) ** 2 / s**2 - 1) / s, mu, sigma), 0)
    # And where it is no Gaussian: gamma with shape 2.3.
    score, _ = integrate.quad(lambda z: (np.log(z) - special.digamma(2.3)) * stats.gamma.pdf(z, 2.3), 0, 60)
    assert_close(score, 0)


def test_eq_reparam_baseline() -> None:
    for mu, sigma in POINTS:
        truth = slope(lambda m, s=sigma: gaussian_mean(np.exp, m, s), mu)
        for b in (-2.0, 0.0, 5.0):
            estimate = gaussian_mean(
                lambda z, m=mu, s=sigma, b=b: (np.exp(z) - b) * (z - m) / s**2, mu, sigma
            )
            score_mean = gaussian_mean(lambda z, m=mu, s=sigma: (z - m) / s**2, mu, sigma)
            assert_close([estimate, truth - b * score_mean], truth, 1e-6)


def baseline_parts(mu: float, sigma: float) -> tuple[Callable[[float], float], float, float]:
    """Variance V(b), E[f h^2] and E[h^2] for f = exp and the score of mu, by quadrature."""

    def variance(b: float) -> float:
        mean, second = (
            gaussian_mean(lambda z, k=k: ((np.exp(z) - b) * (z - mu) / sigma**2) ** k, mu, sigma)
            for k in (1, 2)
        )
        return second - mean**2

    f_h2 = gaussian_mean(lambda z: np.exp(z) * (z - mu) ** 2 / sigma**4, mu, sigma)
    return variance, f_h2, gaussian_mean(lambda z: (z - mu) ** 2 / sigma**4, mu, sigma)


def test_eq_reparam_baseline_variance() -> None:
    for mu, sigma in POINTS:
        variance, f_h2, h2 = baseline_parts(mu, sigma)
        for b in (-1.0, 0.5, 3.0):
            assert_close(variance(0) - 2 * b * f_h2 + b**2 * h2, variance(b), 1e-6)
            assert_close(-2 * f_h2 + 2 * b * h2, (variance(b + 0.01) - variance(b - 0.01)) / 0.02, 1e-5)
            gradient = slope(lambda m, s=sigma: gaussian_mean(np.exp, m, s), mu)
            square = gaussian_mean(
                lambda z, m=mu, s=sigma, b=b: (np.exp(z) - b) ** 2 * (z - m) ** 2 / s**4, mu, sigma
            )
            assert_close(square - gradient**2, variance(b), 1e-6)


def test_eq_reparam_optimal_baseline() -> None:
    for mu, sigma in POINTS:
        variance, f_h2, h2 = baseline_parts(mu, sigma)
        best = f_h2 / h2
        assert_close(variance(0) - f_h2**2 / h2, variance(best), 1e-6)
        assert variance(best) < min(variance(best - 0.05), variance(best + 0.05))


def test_eq_reparam_baseline_square() -> None:
    for mu, sigma in POINTS:
        for L in (1, 2, 3):
            low = L * (mu**2 + sigma**2) + 2 * sigma**2
            grid = np.array([score_variance(mu, sigma, L, baseline=low + d) for d in (-1.0, 0.0, 1.0)])
            # A parabola has its lowest point where values at equal distance are equal.
            assert_close(grid[0], grid[2])
            assert grid[1] < grid[0]
            mean = product_mean(lambda e, m=mu, s=sigma: float(((m + s * e) ** 2).sum()), L)
            assert_close(mean + 2 * sigma**2, low)


def test_eq_reparam_step() -> None:
    for mu, sigma in POINTS:
        chance, _ = integrate.quad(lambda e: np.exp(-(e**2) / 2) / np.sqrt(2 * np.pi), -mu / sigma, 12)
        assert_close(chance, stats.norm.sf(0, mu, sigma))
        truth = slope(lambda m, s=sigma: stats.norm.sf(0, m, s), mu)
        assert_close(stats.norm.pdf(-mu / sigma) / sigma, truth)
        assert_close(stats.norm.pdf(0, mu, sigma), truth)


def test_eq_reparam_family() -> None:
    m, c = 0.4, 1.7
    grid = np.linspace(-300, 300, 60_001)
    student = stats.t(df=5)
    for base in (stats.laplace, stats.logistic, stats.gumbel_r, student):
        member = stats.t(df=5, loc=m, scale=c) if base is student else base(loc=m, scale=c)
        for f in (np.cos, lambda z: 1 / (1 + (z - 1) ** 2)):
            truth = integrate.trapezoid(f(grid) * member.pdf(grid), grid)
            middle = integrate.trapezoid(f(grid) / c * base.pdf((grid - m) / c), grid)
            ours = integrate.trapezoid(f(m + c * grid) * base.pdf(grid), grid)
            assert_close([ours, middle], truth, 3e-5)


def test_eq_reparam_inverse_cdf() -> None:
    # P(F^-1(U) <= t) by counting a fine, even grid of U; SciPy's quantile function is F^-1.
    u = (np.arange(200_000) + 0.5) / 200_000
    for family in (stats.gamma(2.3), stats.laplace(0.4, 1.7), stats.beta(2, 3)):
        z = family.ppf(u)
        for t in family.ppf([0.1, 0.45, 0.8]):
            assert_close((z <= t).mean(), family.cdf(t), 1e-5)
            assert_close((u <= family.cdf(t)).mean(), family.cdf(t), 1e-5)


def test_eq_reparam_exponential() -> None:
    rate = 1.5
    for u in (0.05, 0.4, 0.9):
        z = -math.log(1 - u) / rate
        assert_close(z, stats.expon.ppf(u, scale=1 / rate))
        truth = slope(lambda r, u=u: stats.expon.ppf(u, scale=1 / r), rate)
        assert_close([math.log(1 - u) / rate**2, -z / rate], truth)


def test_eq_reparam_implicit() -> None:
    for alpha in (0.7, 2.3):
        for u in (0.1, 0.5, 0.95):
            z = stats.gamma.ppf(u, alpha)
            by_alpha = slope(lambda a, z=z: special.gammainc(a, z), alpha)
            truth = slope(lambda a, u=u: special.gammaincinv(a, u), alpha)
            assert_close(-by_alpha / stats.gamma.pdf(z, alpha), truth, 1e-6)


def test_eq_reparam_gumbel() -> None:
    for u in (0.02, 0.5, 0.97):
        g = -math.log(-math.log(u))
        assert_close(g, stats.gumbel_r.ppf(u))
        assert_close(math.exp(-math.exp(-g)), stats.gumbel_r.cdf(g))
        assert_close(math.exp(-math.exp(-g)), u)


def test_eq_reparam_gumbel_max() -> None:
    logits = np.array([1.0, 0.0, -0.5, 0.3])
    weights = np.exp(logits)
    Z = weights.sum()
    for k in range(4):
        others = [i for i in range(4) if i != k]
        wins, _ = integrate.quad(
            lambda y, k=k, o=others: (
                stats.gumbel_r.pdf(y, logits[k]) * np.prod([stats.gumbel_r.cdf(y, logits[i]) for i in o])
            ),
            -8,
            45,
            limit=300,
        )
        # Each line of the derivation.
        first, _ = integrate.quad(
            lambda y, k=k, o=others: (
                math.exp(logits[k] - y)
                * math.exp(-math.exp(logits[k] - y))
                * math.prod(math.exp(-math.exp(logits[i] - y)) for i in o)
            ),
            -6,
            45,
            limit=300,
        )
        second, _ = integrate.quad(
            lambda y, k=k: math.exp(logits[k] - y) * math.exp(-Z * math.exp(-y)), -6, 45, limit=300
        )
        third = weights[k] * integrate.quad(lambda t: math.exp(-Z * t), 0, np.inf)[0]
        assert_close([first, second, third, weights[k] / Z], wins, 1e-7)


def test_eq_reparam_categorical() -> None:
    logits = torch.tensor([1.0, 0.0, -0.5, 0.3], dtype=torch.float64, requires_grad=True)
    f = torch.tensor([1.4, -0.3, 0.6, 3.2], dtype=torch.float64)
    (truth,) = torch.autograd.grad((logits.softmax(0) * f).sum(), logits)
    p = logits.softmax(0).detach()
    first = torch.stack([(f * p * (torch.eye(4, dtype=torch.float64)[i] - p[i])).sum() for i in range(4)])
    torch.testing.assert_close(first, truth)
    torch.testing.assert_close(p * (f - (p * f).sum()), truth)


def test_eq_reparam_logvar() -> None:
    for mu, sigma in POINTS:
        logvar = math.log(sigma**2)
        for eps in (-0.8, 1.7):
            assert_close(sigma * eps / 2, slope(lambda v, e=eps, m=mu: m + math.exp(v) ** 0.5 * e, logvar))
        by_logvar = standard_mean(lambda e, m=mu, s=sigma: np.cos(m + s * e) * s * e / 2)
        assert_close(by_logvar, slope(lambda v, m=mu: gaussian_mean(np.sin, m, math.exp(v / 2)), logvar))


def test_eq_reparam_batch() -> None:
    # Any covariance matrix C: the variance of the mean is 1' C 1 / B^2, here from exact enumeration.
    outcomes = np.array([[1.0, 2.0, -1.0], [0.0, -3.0, 0.5], [2.5, 1.0, 4.0], [-1.0, 0.0, 0.3]])
    p = np.array([0.1, 0.4, 0.3, 0.2])
    mean = p @ outcomes
    C = (outcomes - mean).T @ np.diag(p) @ (outcomes - mean)
    B = 3
    of_mean = p @ (outcomes.mean(axis=1)) ** 2 - (p @ outcomes.mean(axis=1)) ** 2
    own = sum(C[n, n] for n in range(B)) / B**2
    cross = sum(C[n, m] for n in range(B) for m in range(B) if m != n) / B**2
    assert abs(cross) > 0.1
    assert_close(own + cross, of_mean)


def test_eq_reparam_shared() -> None:
    mu, sigma = np.array([0.3, -1.0, 2.0]), np.array([0.5, 1.2, 0.8])
    B = 3
    own = (4 * sigma**2).sum() / B**2
    double_sum = sum(4 * a * b for a in sigma for b in sigma) / B**2
    shared = 4 * sigma.mean() ** 2

    def variance(g: Callable[[np.ndarray], float], dims: int) -> float:
        return product_mean(lambda e: g(e) ** 2, dims, n=4) - product_mean(g, dims, n=4) ** 2

    assert_close(own, variance(lambda e: float((2 * (mu + sigma * e)).mean()), B))
    truth = variance(lambda e: float((2 * (mu + sigma * e[0])).mean()), 1)
    assert_close([shared, double_sum], truth)
