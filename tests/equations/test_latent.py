"""The claims of the chapter on latent-variable models, against quadrature, enumeration and SciPy."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, stats

S = 0.5


def curve(z, theta=(1.2, 1.0)):
    return theta[0] * z + theta[1] * np.sin(2.5 * z)


def joint(x, z, theta=(1.2, 1.0)):
    return stats.norm.pdf(x, curve(z, theta), S) * stats.norm.pdf(z)


def integral(function, low=-9.0, high=9.0):
    grid = np.linspace(low, high, 20_001)
    return integrate.trapezoid(function(grid), grid)


def ppca(seed=0, n_data=6, n_latents=2, s2=0.3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_data, n_latents)), rng.normal(size=n_data), s2, rng


def joint_covariance(w, s2):
    """Covariance of the stacked vector (z, x), from x = W z + b + s eps as one matrix."""
    n_data, n_latents = w.shape
    stacked = np.block(
        [[np.eye(n_latents), np.zeros((n_latents, n_data))], [w, math.sqrt(s2) * np.eye(n_data)]]
    )
    return stacked @ stacked.T


@pytest.mark.parametrize("slope", [1.0, -2.0, 0.3])
@pytest.mark.parametrize("x", [0.0, 1.7])
def test_eq_latent_likelihood_area(slope, x):
    area = integral(lambda z: stats.norm.pdf(x, slope * z, S), -60, 60)
    substituted = integral(lambda u: np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)) / abs(slope)
    assert substituted == pytest.approx(area, abs=1e-9)
    assert area == pytest.approx(1 / abs(slope), abs=1e-9)


@pytest.mark.parametrize("x", [0.0, -1.3, 2.9])
def test_eq_latent_marginal(x):
    # Truth without an integral over z: a straight decoder, where the sum of two Gaussians is known.
    w, b = 1.4, 0.6
    density = integral(lambda z: stats.norm.pdf(x, w * z + b, S) * stats.norm.pdf(z))
    assert density == pytest.approx(stats.norm.pdf(x, b, math.hypot(w, S)), abs=1e-12)


def test_eq_latent_marginal__curved():
    # A histogram knows nothing of the formula: the share of samples in a bin is the area of p(x).
    rng = np.random.default_rng(0)
    z = rng.normal(size=1_000_000)
    x = curve(z) + S * rng.normal(size=z.size)
    share = integrate.quad(lambda v: integral(lambda t: joint(v, t)), 1.0, 2.0, epsabs=1e-9)[0]
    assert np.mean((x > 1) & (x < 2)) == pytest.approx(share, abs=5 * math.sqrt(0.2 / z.size))


@pytest.mark.parametrize("x", [0.0, 1.7, 3.0])
def test_eq_latent_bayes(x):
    def posterior(z):
        return stats.norm.pdf(x, curve(z), S) * stats.norm.pdf(z) / integral(lambda t: joint(x, t))

    assert integral(posterior) == pytest.approx(1, abs=1e-12)
    # Straight decoder: precisions add, 1 + w^2 / s^2.
    w = 1.4
    total = integral(lambda t: stats.norm.pdf(x, w * t, S) * stats.norm.pdf(t))
    ours = stats.norm.pdf(x, w * 0.8, S) * stats.norm.pdf(0.8) / total
    variance = 1 / (1 + w**2 / S**2)
    assert ours == pytest.approx(stats.norm.pdf(0.8, variance * w * x / S**2, math.sqrt(variance)), rel=1e-10)


def test_eq_latent_responsibilities():
    weights, means, scales = np.array([0.5, 0.3, 0.2]), np.array([-1.5, 1.0, 2.5]), np.array([1.0, 0.6, 0.4])
    x = 1.4

    def marginal(v, logits):
        return float(np.exp(logits) @ stats.norm.pdf(v, means, scales))

    ours = weights * stats.norm.pdf(x, means, scales) / (weights @ stats.norm.pdf(x, means, scales))
    # Truth 1: r_k is the derivative of log p(x) by log pi_k.
    slope = optimize.approx_fprime(np.log(weights), lambda v: math.log(marginal(x, v)), 1e-7)
    np.testing.assert_allclose(ours, slope, atol=1e-6)
    # Truth 2: the share of component k among samples that came out near x.
    rng = np.random.default_rng(0)
    k = rng.choice(3, size=2_000_000, p=weights)
    kept = k[np.abs(means[k] + scales[k] * rng.normal(size=k.size) - x) < 0.02]
    np.testing.assert_allclose(np.bincount(kept, minlength=3) / kept.size, ours, atol=0.02)
    # The sum is a density.
    total = integrate.quad(lambda v: marginal(v, np.log(weights)), -12, 12, limit=200)[0]
    assert total == pytest.approx(1, abs=1e-8)


def test_eq_latent_switches():
    # Parts that do not overlap: p(x) factorises into two-component mixtures, one for each pixel.
    parts = np.diag([1.0, 0.7, -1.2])
    x = np.array([0.8, 0.1, -0.4])
    codes = itertools.product([0, 1], repeat=3)
    total = sum(np.prod(stats.norm.pdf(x, parts @ np.array(z), S)) for z in codes)
    factors = 0.5 * stats.norm.pdf(x, 0, S) + 0.5 * stats.norm.pdf(x, np.diag(parts), S)
    assert 2.0**-3 * total == pytest.approx(np.prod(factors), rel=1e-12)


def test_eq_latent_naive_mean():
    # Three codes, two samples: every pair of samples can be listed.
    prior, likelihood = np.array([0.5, 0.3, 0.2]), np.array([0.01, 0.2, 1.3])
    expected = sum(
        prior[i] * prior[j] * 0.5 * (likelihood[i] + likelihood[j])
        for i, j in itertools.product(range(3), repeat=2)
    )
    assert expected == pytest.approx(float(prior @ likelihood), rel=1e-12)


def test_eq_latent_naive_variance():
    prior, likelihood = np.array([0.5, 0.3, 0.2]), np.array([0.01, 0.2, 1.3])
    p_x = float(prior @ likelihood)
    posterior = prior * likelihood / p_x
    triples = list(itertools.product(range(3), repeat=3))  # S = 3 samples, all outcomes listed
    chance = np.array([np.prod(prior[list(t)]) for t in triples])
    estimate = np.array([np.mean(likelihood[list(t)]) for t in triples])
    variance = chance @ (estimate - chance @ estimate) ** 2
    for line in (
        (prior @ likelihood**2 - p_x**2) / p_x**2,
        prior @ (likelihood**2 / p_x**2) - 1,
        prior @ (posterior**2 / prior**2) - 1,
        posterior @ (posterior / prior) - 1,
    ):
        assert line / 3 == pytest.approx(variance / p_x**2, rel=1e-12)


@pytest.mark.parametrize("z", [-2.0, 0.0, 0.7, 3.0])
def test_eq_latent_any_z(z):
    # Straight decoder: marginal and posterior from the textbook, the ratio at four codes.
    w, x = 1.4, 0.9
    variance = 1 / (1 + w**2 / S**2)
    posterior = stats.norm.pdf(z, variance * w * x / S**2, math.sqrt(variance))
    ratio = stats.norm.pdf(x, w * z, S) * stats.norm.pdf(z) / posterior
    assert ratio == pytest.approx(stats.norm.pdf(x, 0, math.hypot(w, S)), rel=1e-10)


def test_eq_latent_ppca_covariance():
    w, _, s2, _ = ppca()
    np.testing.assert_allclose(w @ w.T + s2 * np.eye(6), joint_covariance(w, s2)[2:, 2:], atol=1e-12)
    # The line before the last holds for dependent z and eps, too: all moments are kept.
    z, eps = np.split(np.random.default_rng(1).normal(size=(8, 10)), [2])
    mean = lambda a, b: a @ b.T / 10  # noqa: E731
    s = math.sqrt(s2)
    expanded = w @ mean(z, z) @ w.T + s * w @ mean(z, eps) + s * mean(eps, z) @ w.T + s2 * mean(eps, eps)
    np.testing.assert_allclose(expanded, mean(w @ z + s * eps, w @ z + s * eps), atol=1e-12)


def test_eq_latent_ppca_marginal():
    # Truth: the integral over both latent coordinates, on a grid.
    w, b, s2, rng = ppca(n_data=3)
    x = b + rng.normal(size=3)
    grid = np.linspace(-8, 8, 401)
    z = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    likelihood = stats.norm.pdf(x, z @ w.T + b, math.sqrt(s2)).prod(axis=-1)
    density = (likelihood * stats.norm.pdf(z).prod(axis=-1)).sum() * (grid[1] - grid[0]) ** 2
    ours = stats.multivariate_normal.pdf(x, b, w @ w.T + s2 * np.eye(3))
    assert ours == pytest.approx(density, rel=1e-9)


def test_eq_latent_ppca_square():
    # log p(x, z) and each of the quadratic forms differ by a constant: the same at every z.
    w, b, s2, rng = ppca()
    x = rng.normal(size=6)
    y, big_m = x - b, w.T @ w + s2 * np.eye(2)
    m = np.linalg.solve(big_m, w.T @ y)
    forms = [
        lambda z: ((y - w @ z) @ (y - w @ z)) / s2 + z @ z,
        lambda z: (z @ w.T @ w @ z - 2 * z @ w.T @ y + s2 * z @ z) / s2,
        lambda z: (z @ big_m @ z - 2 * z @ w.T @ y) / s2,
        lambda z: (z - m) @ big_m @ (z - m) / s2,
    ]
    points = rng.normal(size=(5, 2))
    truth = [
        stats.norm.logpdf(x, w @ z + b, math.sqrt(s2)).sum() + stats.norm.logpdf(z).sum() for z in points
    ]
    for form in forms:
        constant = np.array([t + 0.5 * form(z) for t, z in zip(truth, points, strict=True)])
        np.testing.assert_allclose(constant, constant[0], rtol=1e-11)


def test_eq_latent_ppca_posterior():
    # Truth: conditioning the joint Gaussian of (z, x), blocks of one covariance matrix.
    w, b, s2, rng = ppca()
    x = rng.normal(size=6)
    cov = joint_covariance(w, s2)
    gain = cov[:2, 2:] @ np.linalg.inv(cov[2:, 2:])
    big_m = w.T @ w + s2 * np.eye(2)
    np.testing.assert_allclose(np.linalg.inv(big_m) @ w.T @ (x - b), gain @ (x - b), atol=1e-10)
    np.testing.assert_allclose(s2 * np.linalg.inv(big_m), cov[:2, :2] - gain @ cov[2:, :2], atol=1e-10)


def test_eq_latent_ppca_loglik():
    w, b, s2, rng = ppca()
    data = rng.normal(size=(40, 6)) * 1.3
    sigma = (data - b).T @ (data - b) / len(data)
    c = w @ w.T + s2 * np.eye(6)
    ours = -0.5 * (6 * math.log(2 * math.pi) + np.linalg.slogdet(c)[1] + np.trace(np.linalg.inv(c) @ sigma))
    assert ours == pytest.approx(stats.multivariate_normal.logpdf(data, b, c).mean(), rel=1e-11)


def test_eq_latent_ppca_ml():
    # Truth: a numerical search from random starts neither beats the closed form nor stays below it.
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)

    def minus_log_p(parameters):
        w, log_s2, b = parameters[:8].reshape(4, 2), parameters[8], parameters[9:]
        c = w @ w.T + np.exp(log_s2) * np.eye(4)
        y = data - b
        quadratic = np.einsum("nd,dn->n", y, np.linalg.solve(c, y.T)).mean()
        return 0.5 * (4 * math.log(2 * math.pi) + np.linalg.slogdet(c)[1] + quadratic)

    b = data.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(data.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    s2 = values[2:].sum() / (4 - 2)
    rotation = linalg.expm(np.array([[0.0, 0.9], [-0.9, 0.0]]))
    w = vectors[:, :2] @ np.diag(np.sqrt(values[:2] - s2)) @ rotation
    closed = minus_log_p(np.concatenate([w.ravel(), [math.log(s2)], b]))
    found = min(
        optimize.minimize(minus_log_p, np.concatenate([rng.normal(size=9), b + 0.5]), tol=1e-10).fun
        for _ in range(4)
    )
    assert closed == pytest.approx(found, abs=1e-7)


def linear_data():
    rng = np.random.default_rng(1)
    data = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5))
    y = data - data.mean(axis=0)
    return y, y.T @ y / len(y), rng


def test_eq_latent_linear_error():
    # Truth: least squares finds the nearest point of the span without a projection matrix.
    y, sigma, rng = linear_data()
    basis = rng.normal(size=(5, 2))
    q = np.linalg.qr(basis)[0]
    nearest = basis @ np.linalg.lstsq(basis, y.T, rcond=None)[0]
    error = ((y.T - nearest) ** 2).sum(axis=0).mean()
    p = q @ q.T
    np.testing.assert_allclose(p @ p, p, atol=1e-12)
    rest = np.eye(5) - p
    for line in (
        np.einsum("ni,ij,nj->n", y, rest.T @ rest, y).mean(),
        np.einsum("ni,ij,nj->n", y, rest, y).mean(),
        np.trace(sigma) - np.trace(p @ sigma),
    ):
        assert line == pytest.approx(error, rel=1e-11)


def test_eq_latent_linear_best():
    # Truth: search over all spans, by a general optimiser.
    y, sigma, rng = linear_data()

    def error(parameters):
        q = np.linalg.qr(parameters.reshape(5, 2))[0]
        return ((y - y @ q @ q.T) ** 2).sum(axis=1).mean()

    found = min(optimize.minimize(error, rng.normal(size=10), tol=1e-10).fun for _ in range(4))
    values, vectors = np.linalg.eigh(sigma)
    values, vectors = values[::-1], vectors[:, ::-1]
    assert values[2:].sum() == pytest.approx(found, rel=1e-6)
    assert error(vectors[:, :2].ravel()) == pytest.approx(values[2:].sum(), rel=1e-11)


@pytest.mark.parametrize("x", [0.4, 1.7, -2.6])
def test_eq_latent_gradient(x):
    theta = np.array([0.9, 0.6])

    def log_p(t):
        return math.log(integral(lambda z: joint(x, z, t)))

    step = 1e-5
    truth = [(log_p(theta + step * e) - log_p(theta - step * e)) / (2 * step) for e in np.eye(2)]
    p_x = integral(lambda z: joint(x, z, theta))

    def average(d_f):  # posterior mean of the derivative of log p(x, z): (x - f) / s^2 times that of f
        return integral(lambda z: joint(x, z, theta) / p_x * (x - curve(z, theta)) / S**2 * d_f(z))

    ours = [average(lambda z: z), average(lambda z: np.sin(2.5 * z))]
    np.testing.assert_allclose(ours, truth, atol=1e-8)

    # The third line: the derivative of the joint density itself, by finite differences, inside the integral.
    def inside(e):
        up, down = (lambda z, t=theta + sign * step * e: joint(x, z, t) for sign in (1, -1))
        return integral(lambda z: (up(z) - down(z)) / (2 * step)) / p_x

    np.testing.assert_allclose([inside(e) for e in np.eye(2)], truth, atol=1e-8)


def test_eq_latent_dominated():
    # The bounds hold on random points, and nothing smaller would do: they are reached.
    rng = np.random.default_rng(0)
    x, z, a, c = rng.normal(size=(4, 400_000)) * 2
    step = 1e-5
    bound = stats.norm.pdf(1) / S**2 * stats.norm.pdf(z)

    def slope(da, dc):
        up, down = (joint(x, z, (a + sign * da, c + sign * dc)) for sign in (1, -1))
        return np.abs(up - down) / (2 * step)

    seen = np.abs(z) > 0.05
    first = slope(step, 0)[seen] / (bound * np.abs(z))[seen]
    second = slope(0, step) / bound
    assert 0.999 < first.max() < 1 + 1e-6
    assert 0.999 < second.max() < 1 + 1e-6
