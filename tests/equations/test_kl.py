"""The equations of the chapter on the KL divergence, each against a truth that does not use it."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch import distributions as D

import vae_lib as vl

# Two Gaussians that differ in centre and width, so that no term of a formula can hide.
MU, SIGMA, M, S = 0.7, 0.6, -0.4, 1.5


def quad(function, low, high):
    """Integral of a smooth function: ten Gauss-Legendre nodes in each of a thousand pieces."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = (high - low) / 2000
    centres = low + half * (2 * np.arange(1000) + 1)
    x = centres[:, None] + half * nodes
    return float(half * np.sum(weights * function(x)))


def kl_by_quadrature(q, p, low=-30.0, high=30.0):
    """KL of two scipy distributions, by integration."""
    return quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), low, high)


def expectation(function, mu, sigma):
    """E[function(x)] for x ~ N(mu, sigma^2), by Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    return float(np.sum(weights * function(mu + sigma * nodes)) / math.sqrt(2 * math.pi))


def covariance(rng, size):
    root = rng.normal(size=(size, size))
    return root @ root.T + 0.5 * np.eye(size)


def test_eq_kl_extra_length():
    q, p = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8]), np.array([1 / 8, 1 / 2, 1 / 8, 1 / 4])
    words_q, words_p = ("0", "10", "110", "111"), ("110", "0", "111", "10")
    bits = sum(f * (len(b) - len(a)) for f, a, b in zip(q, words_q, words_p, strict=True))
    lengths = np.sum(q * -np.log(p)) - np.sum(q * -np.log(q))
    ratio = np.sum(q * np.log(q / p))
    assert lengths == pytest.approx(bits * math.log(2), rel=1e-12)
    assert ratio == pytest.approx(lengths, rel=1e-12)
    assert ratio == pytest.approx(stats.entropy(q, p), rel=1e-12)


def test_eq_kl_cross_entropy():
    rng = np.random.default_rng(0)
    q, p = rng.dirichlet(np.ones(6), size=2)
    cross_entropy, entropy = -np.sum(q * np.log(p)), -np.sum(q * np.log(q))
    assert cross_entropy - entropy == pytest.approx(stats.entropy(q, p), rel=1e-12)


def gaussian_cross_entropy(mu, var, m, s):
    return 0.5 * math.log(2 * math.pi * s**2) + (var + (mu - m) ** 2) / (2 * s**2)


@pytest.mark.parametrize(
    "q",
    [stats.norm(MU, SIGMA), stats.uniform(-1, 3), stats.expon(0.3, 0.5)],
    ids=["normal", "uniform", "expon"],
)
def test_eq_kl_gaussian_cross_entropy(q):
    low, high = max(q.support()[0], -20), min(q.support()[1], 40)
    truth = quad(lambda x: -q.pdf(x) * stats.norm(M, S).logpdf(x), low, high)
    assert gaussian_cross_entropy(q.mean(), q.var(), M, S) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 3.0])
def test_eq_kl_gaussian_entropy(sigma):
    truth = stats.norm(MU, sigma).entropy()
    assert 0.5 * math.log(2 * math.pi * sigma**2) + 0.5 == pytest.approx(truth, rel=1e-12)
    assert 0.5 * math.log(2 * math.pi * math.e * sigma**2) == pytest.approx(truth, rel=1e-12)


def test_eq_kl_log_bound():
    def gap(t):
        return t - 1 - np.log(t)

    t = np.concatenate([np.logspace(-12, 6, 2001), 1 + np.linspace(-0.5, 0.5, 1000)])
    assert (gap(t) >= -1e-15).all()
    assert (gap(t)[np.abs(t - 1) > 1e-6] > 0).all()
    assert gap(1.0) == 0
    lowest = optimize.minimize_scalar(gap, bounds=(0.01, 20), method="bounded")
    assert lowest.x == pytest.approx(1, abs=1e-3)
    assert lowest.fun == pytest.approx(0, abs=1e-6)


def pairs_with_zeros():
    """Pairs of distributions; some letters have probability zero under q or under p."""
    rng = np.random.default_rng(0)
    q, p = rng.dirichlet(np.ones(5), size=(2, 2000))
    q[:500, 0] = 0
    p[500:1000, 1] = 0
    return q / q.sum(1, keepdims=True), p / p.sum(1, keepdims=True)


def test_eq_kl_nonnegative():
    q, p = pairs_with_zeros()
    kl = stats.entropy(q, p, axis=1)
    support = q > 0
    ratio = np.divide(p, q, out=np.zeros_like(p), where=support)
    second = (q * (ratio - 1)).sum(1)
    third = np.where(support, p, 0).sum(1) - 1
    assert (-kl <= second + 1e-12).all()
    np.testing.assert_allclose(second, third, atol=1e-12)
    assert (third <= 1e-12).all()
    assert third.min() < -0.01
    assert np.isinf(kl[500:1000]).all()
    same = stats.entropy(q, q, axis=1)
    np.testing.assert_allclose(same, 0, atol=1e-15)


def test_eq_kl_jensen():
    q, p = pairs_with_zeros()
    kl = stats.entropy(q, p, axis=1)
    ratio = np.divide(p, q, out=np.zeros_like(p), where=q > 0)
    log_mean = np.log((q * ratio).sum(1))
    assert (-kl <= log_mean + 1e-12).all()
    np.testing.assert_allclose(log_mean, np.log(np.where(q > 0, p, 0).sum(1)), atol=1e-12)
    assert (log_mean <= 1e-12).all()


def test_eq_kl_moment_matching():
    weights, centres, widths = np.array([0.6, 0.4]), np.array([-2.0, 2.5]), np.array([0.7, 0.9])
    nodes = np.linspace(-14, 14, 20_001)
    p = (weights * stats.norm(centres, widths).pdf(nodes[:, None])).sum(1)

    def cross_entropy(params):
        return np.trapezoid(-p * stats.norm(params[0], math.exp(params[1] / 2)).logpdf(nodes), nodes)

    mean = weights @ centres
    var = weights @ (widths**2 + centres**2) - mean**2
    best = optimize.minimize(
        cross_entropy, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14}
    )
    assert best.x[0] == pytest.approx(mean, abs=1e-5)
    assert math.exp(best.x[1]) == pytest.approx(var, rel=1e-5)

    mu, v, h = 0.3, 2.0, 1e-5
    formula = 0.5 * math.log(2 * math.pi * v) + (var + (mean - mu) ** 2) / (2 * v)
    assert formula == pytest.approx(cross_entropy([mu, math.log(v)]), rel=1e-9)
    by_mu = (cross_entropy([mu + h, math.log(v)]) - cross_entropy([mu - h, math.log(v)])) / (2 * h)
    assert -(mean - mu) / v == pytest.approx(by_mu, rel=1e-6)
    by_v = (cross_entropy([mean, math.log(v + h)]) - cross_entropy([mean, math.log(v - h)])) / (2 * h)
    assert 1 / (2 * v) - var / (2 * v**2) == pytest.approx(by_v, rel=1e-6)


def kl_standard(mu, sigma):
    return 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2))


def kl_univariate(mu, sigma, m, s):
    return 0.5 * ((sigma**2 + (mu - m) ** 2) / s**2 - 1 - np.log(sigma**2 / s**2))


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.7), (0.5, 0.1), (-3.0, 0.8)])
def test_eq_kl_standard(mu, sigma):
    truth = kl_by_quadrature(stats.norm(mu, sigma), stats.norm(0, 1))
    assert kl_standard(mu, sigma) == pytest.approx(truth, rel=1e-9)
    z = 0.37
    log_ratio = 0.5 * (z**2 - (z - mu) ** 2 / sigma**2 - math.log(sigma**2))
    assert log_ratio == pytest.approx(stats.norm(mu, sigma).logpdf(z) - stats.norm(0, 1).logpdf(z), rel=1e-12)


def test_eq_kl_univariate():
    truth = kl_by_quadrature(stats.norm(MU, SIGMA), stats.norm(M, S))
    assert kl_univariate(MU, SIGMA, M, S) == pytest.approx(truth, rel=1e-9)
    second_line = (
        0.5 * math.log(2 * math.pi * S**2)
        + (SIGMA**2 + (MU - M) ** 2) / (2 * S**2)
        - 0.5 * math.log(2 * math.pi * SIGMA**2)
        - 0.5
    )
    assert second_line == pytest.approx(truth, rel=1e-9)


def test_eq_kl_sum():
    rng = np.random.default_rng(0)
    q1, p1 = rng.dirichlet(np.ones(3), size=2)
    q2, p2 = rng.dirichlet(np.ones(4), size=2)
    joint = stats.entropy(np.outer(q1, q2).ravel(), np.outer(p1, p2).ravel())
    assert stats.entropy(q1, p1) + stats.entropy(q2, p2) == pytest.approx(joint, rel=1e-12)


def diagonal_pair():
    rng = np.random.default_rng(1)
    mu, m = rng.normal(size=(2, 5))
    sigma, s = 0.2 + rng.random(size=(2, 5))
    return mu, sigma, m, s


def multivariate_truth(mu, cov, m, cov_p):
    def gaussian(mean, matrix):
        return D.MultivariateNormal(torch.as_tensor(mean), torch.as_tensor(matrix))

    return D.kl_divergence(gaussian(mu, cov), gaussian(m, cov_p)).item()


def test_eq_kl_diagonal():
    mu, sigma, m, s = diagonal_pair()
    formula = 0.5 * np.sum((sigma**2 + (mu - m) ** 2) / s**2 - 1 - np.log(sigma**2 / s**2))
    truth = multivariate_truth(mu, np.diag(sigma**2), m, np.diag(s**2))
    assert formula == pytest.approx(truth, rel=1e-10)


def test_eq_kl_gaussian():
    mu, sigma, _, _ = diagonal_pair()
    formula = 0.5 * np.sum(mu**2 + sigma**2 - 1 - np.log(sigma**2))
    truth = sum(kl_by_quadrature(stats.norm(a, b), stats.norm(0, 1)) for a, b in zip(mu, sigma, strict=True))
    assert formula == pytest.approx(truth, rel=1e-9)
    library = vl.gaussian_kl(torch.as_tensor(mu), torch.as_tensor(np.log(sigma**2))).item()
    assert formula == pytest.approx(library, rel=1e-12)


def test_eq_kl_trace():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 3))
    double_sum = sum(a[i, j] * b[j, i] for i in range(3) for j in range(5))
    assert double_sum == pytest.approx(np.trace(a @ b), rel=1e-12)
    assert double_sum == pytest.approx(np.trace(b @ a), rel=1e-12)


def test_eq_kl_quadratic_form():
    # The exact expectation by product Gauss-Hermite nodes in two dimensions, A not symmetric.
    rng = np.random.default_rng(2)
    cov, a = covariance(rng, 2), rng.normal(size=(2, 2))
    mu, m = rng.normal(size=(2, 2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    root = np.linalg.cholesky(cov)
    truth = 0.0
    for x, wx in zip(nodes, weights, strict=True):
        for y, wy in zip(nodes, weights, strict=True):
            d = mu + root @ np.array([x, y]) - m
            truth += wx * wy / (2 * math.pi) * (d @ a @ d)
    formula = np.trace(a @ cov) + (mu - m) @ a @ (mu - m)
    assert formula == pytest.approx(truth, rel=1e-10)


def kl_full(mu, cov, m, cov_p):
    precision, d = np.linalg.inv(cov_p), mu - m
    log_det = math.log(np.linalg.det(cov_p) / np.linalg.det(cov))
    return 0.5 * (np.trace(precision @ cov) - len(mu) + log_det + d @ precision @ d)


def test_eq_kl_full():
    rng = np.random.default_rng(3)
    cov, cov_p = covariance(rng, 4), covariance(rng, 4)
    mu, m = rng.normal(size=(2, 4))
    assert kl_full(mu, cov, m, cov_p) == pytest.approx(multivariate_truth(mu, cov, m, cov_p), rel=1e-9)
    z = rng.normal(size=4)
    log_ratio = 0.5 * (
        math.log(np.linalg.det(cov_p) / np.linalg.det(cov))
        + (z - m) @ np.linalg.inv(cov_p) @ (z - m)
        - (z - mu) @ np.linalg.inv(cov) @ (z - mu)
    )
    truth = stats.multivariate_normal(mu, cov).logpdf(z) - stats.multivariate_normal(m, cov_p).logpdf(z)
    assert log_ratio == pytest.approx(truth, rel=1e-9)


def test_eq_kl_full__down_the_ladder():
    mu, sigma, m, s = diagonal_pair()
    full = kl_full(mu, np.diag(sigma**2), m, np.diag(s**2))
    assert full == pytest.approx(kl_univariate(mu, sigma, m, s).sum(), rel=1e-12)
    assert kl_univariate(mu[0], sigma[0], 0, 1) == pytest.approx(kl_standard(mu[0], sigma[0]), rel=1e-12)


def test_eq_kl_invariance():
    # y = exp(x): Gaussians become log-normal, whose densities scipy knows without this book.
    q, p = stats.lognorm(0.5, scale=math.exp(0.3)), stats.lognorm(0.8)
    truth = quad(lambda y: q.pdf(y) * (q.logpdf(y) - p.logpdf(y)), 1e-9, 200)
    assert kl_by_quadrature(stats.norm(0.3, 0.5), stats.norm(0, 0.8)) == pytest.approx(truth, rel=1e-8)
    y = 1.7
    assert stats.norm(0.3, 0.5).pdf(math.log(y)) * abs(1 / y) == pytest.approx(q.pdf(y), rel=1e-12)


@pytest.mark.parametrize(("mu", "v"), [(-2.0, -4.0), (0.3, 0.2), (1.5, 1.0)])
def test_eq_kl_gradients(mu, v):
    def truth(a, b):
        return D.kl_divergence(D.Normal(a, torch.exp(b / 2)), D.Normal(torch.zeros(()).double(), 1.0))

    a = torch.tensor(mu, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(v, dtype=torch.float64, requires_grad=True)
    d_mu, d_v = torch.autograd.grad(truth(a, b), (a, b))
    assert 0.5 * (mu**2 + math.exp(v) - 1 - v) == pytest.approx(truth(a, b).item(), rel=1e-12)
    assert mu == pytest.approx(d_mu.item(), rel=1e-12)
    assert 0.5 * (math.exp(v) - 1) == pytest.approx(d_v.item(), rel=1e-10)


def log_ratio(z, mu=MU, sigma=SIGMA, m=M, s=S):
    """log r = log p(z) - log q(z)."""
    return stats.norm(m, s).logpdf(z) - stats.norm(mu, sigma).logpdf(z)


def under_q(function):
    q = stats.norm(MU, SIGMA)
    return quad(lambda z: q.pdf(z) * function(log_ratio(z)), -14, 14)


def test_eq_kl_mean_ratio():
    assert under_q(np.exp) == pytest.approx(1, rel=1e-9)
    # Where q is zero and p is not, mass is missing: the condition of the text is needed.
    q, p = np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.3, 0.5])
    assert np.sum(q[:2] * (p / np.where(q > 0, q, 1))[:2]) == pytest.approx(0.5)


def test_eq_kl_k3():
    truth = D.kl_divergence(
        D.Normal(torch.tensor(MU).double(), SIGMA), D.Normal(torch.tensor(M).double(), S)
    ).item()
    assert under_q(lambda ell: np.expm1(ell) - ell) == pytest.approx(truth, rel=1e-7)
    assert under_q(np.exp) - 1 + under_q(lambda ell: -ell) == pytest.approx(truth, rel=1e-7)


def test_eq_kl_k2():
    # The variance of log r from its own formula: log r is a quadratic a e^2 + b e + c in e ~ N(0, 1).
    a, b = 0.5 - SIGMA**2 / (2 * S**2), -SIGMA * (MU - M) / S**2
    var = 2 * a**2 + b**2
    kl = kl_by_quadrature(stats.norm(MU, SIGMA), stats.norm(M, S))
    assert under_q(lambda ell: 0.5 * ell**2) == pytest.approx(0.5 * (kl**2 + var), rel=1e-9)


DELTA = 1.3


def shifted(function):
    """E_q[function(log r)] for q = N(delta, 1), p = N(0, 1), the log-ratio taken from scipy."""
    q = stats.norm(DELTA, 1)
    return quad(lambda z: q.pdf(z) * function(stats.norm.logpdf(z) - q.logpdf(z)), -16, 16)


def test_eq_kl_shift_ratio():
    for eps in (-1.7, 0.0, 0.4, 2.0):
        z = DELTA + eps
        truth = stats.norm(0, 1).logpdf(z) - stats.norm(DELTA, 1).logpdf(z)
        assert 0.5 * (z - DELTA) ** 2 - 0.5 * z**2 == pytest.approx(truth, rel=1e-12)
        assert -DELTA * eps - 0.5 * DELTA**2 == pytest.approx(truth, rel=1e-12)


def test_eq_kl_shift_ratio__bias_of_k2():
    kl = 0.5 * DELTA**2
    assert shifted(lambda ell: 0.5 * ell**2) - kl == pytest.approx(kl**2 / 2, rel=1e-9)


def test_eq_kl_spread():
    def variance(function):
        return shifted(lambda ell: function(ell) ** 2) - shifted(function) ** 2

    d2 = DELTA**2
    kl = kl_by_quadrature(stats.norm(DELTA, 1), stats.norm(0, 1))
    assert variance(lambda ell: -ell) == pytest.approx(d2, rel=1e-8)
    assert variance(lambda ell: -ell) == pytest.approx(2 * kl, rel=1e-8)
    assert variance(np.exp) == pytest.approx(math.exp(d2) - 1, rel=1e-8)
    cov = shifted(lambda ell: np.exp(ell) * ell) - shifted(np.exp) * shifted(lambda ell: ell)
    assert cov == pytest.approx(d2, rel=1e-8)
    assert variance(lambda ell: np.expm1(ell) - ell) == pytest.approx(math.exp(d2) - 1 - d2, rel=1e-8)


@pytest.mark.parametrize(("kl", "n"), [(0.02, 1), (0.02, 10), (0.5, 3)])
def test_eq_kl_negative(kl, n):
    # The sum of n draws of log q/p is negative when the mean of z lies closer to p's centre.
    delta = math.sqrt(2 * kl)
    mean_z = stats.norm(delta, 1 / math.sqrt(n))
    formula = stats.norm.cdf(-math.sqrt(n * kl / 2))
    assert stats.norm.cdf((0 - kl) / math.sqrt(2 * kl / n)) == pytest.approx(formula, rel=1e-12)
    assert formula == pytest.approx(mean_z.cdf(delta / 2), rel=1e-10)


@pytest.mark.parametrize("sigma", [0.75, 1.0, 2.0])
def test_eq_kl_ratio_square(sigma):
    truth = quad(lambda z: stats.norm.pdf(z) ** 2 / stats.norm.pdf(z, 0, sigma), -25, 25)
    a = 1 - 1 / (2 * sigma**2)
    gauss = quad(lambda z: np.exp(-a * z**2), -40, 40)
    assert sigma / math.sqrt(2 * math.pi) * gauss == pytest.approx(truth, rel=1e-9)
    assert sigma / math.sqrt(2 * a) == pytest.approx(truth, rel=1e-9)
    assert sigma**2 / math.sqrt(2 * sigma**2 - 1) == pytest.approx(truth, rel=1e-9)


def test_eq_kl_ratio_square__infinite():
    def log_integrand(z, sigma):
        return 2 * stats.norm.logpdf(z) - stats.norm.logpdf(z, 0, sigma)

    below, above = math.sqrt(0.49), math.sqrt(0.51)
    assert log_integrand(40.0, below) > log_integrand(20.0, below)
    assert log_integrand(40.0, above) < log_integrand(20.0, above)


def test_eq_kl_average_price():
    # Five pictures, four codes: everything can be enumerated.
    rng = np.random.default_rng(4)
    data, prior = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4))
    conditional = rng.dirichlet(np.ones(4), size=5)
    aggregate = data @ conditional
    price = data @ stats.entropy(conditional, prior[None], axis=1)
    joint = data[:, None] * conditional
    information = stats.entropy(joint.ravel(), np.outer(data, aggregate).ravel())
    assert information + stats.entropy(aggregate, prior) == pytest.approx(price, rel=1e-12)
    assert price >= information


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_eq_kl_carried(sigma):
    # Average the price over Gaussian centres, and compare with the capacity of a Gaussian channel.
    price = expectation(lambda mu: kl_standard(mu, sigma), 0, math.sqrt(1 - sigma**2))
    capacity = 0.5 * math.log(1 + (1 - sigma**2) / sigma**2)
    assert math.log(1 / sigma) == pytest.approx(price, rel=1e-10)
    assert -0.5 * math.log(sigma**2) == pytest.approx(capacity, rel=1e-10)
