"""The claims of the chapter on evaluation, against enumeration, quadrature and exact Gaussians."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, stats

WEIGHTS = np.array([0.2, 0.9, 2.5])  # values of p(x, z) / q(z) for the three codes of a small model
Q = np.array([0.5, 0.3, 0.2])
P_X = float(Q @ WEIGHTS)


def linear(seed=0, n_data=5, n_latents=3, s2=0.4):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(n_data, n_latents))
    precision = np.eye(n_latents) + w.T @ w / s2
    x = rng.multivariate_normal(np.zeros(n_data), w @ w.T + s2 * np.eye(n_data))
    return w, precision, np.linalg.solve(precision, w.T @ x) / s2, x, s2, rng


def gauss_hermite(function, mean, variances, n=8):
    """Mean of a function of z ~ N(mean, diag variances): exact for polynomials up to degree 2n - 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    weights = weights / weights.sum()
    total = 0.0
    for index in itertools.product(range(n), repeat=len(mean)):
        index = list(index)
        total += np.prod(weights[index]) * function(mean + np.sqrt(variances) * nodes[index])
    return total


def enumerate_mean(function, n_samples):
    """Exact mean of a function of S weights, each drawn from the three codes with probability Q."""
    return sum(
        math.prod(Q[list(index)]) * function(WEIGHTS[list(index)])
        for index in itertools.product(range(3), repeat=n_samples)
    )


def log_mean(w):
    return math.log(np.mean(w))


def log_joint(w, s2, x, z):
    return stats.norm.logpdf(x, w @ z, math.sqrt(s2)).sum() + stats.norm.logpdf(z).sum()


def exact_log_p(w, s2, x):
    return stats.multivariate_normal.logpdf(x, np.zeros(len(x)), w @ w.T + s2 * np.eye(len(x)))


def test_eq_evaluation_diagonal_kl():
    _, precision, mean, _, _, _ = linear()
    v = np.array([0.05, 0.3, 0.12])
    ours = 0.5 * (np.sum(precision.diagonal() * v - np.log(v)) - 3 - np.log(np.linalg.det(precision)))
    posterior = stats.multivariate_normal(mean, np.linalg.inv(precision))
    truth = gauss_hermite(
        lambda z: stats.norm.logpdf(z, mean, np.sqrt(v)).sum() - posterior.logpdf(z), mean, v, n=4
    )
    assert ours == pytest.approx(truth, abs=1e-10)


def test_eq_evaluation_diagonal_gap():
    w, precision, mean, x, s2, _ = linear()
    ours = 0.5 * (np.log(precision.diagonal()).sum() - np.log(np.linalg.det(precision)))

    def negative_elbo(log_v):
        v = np.exp(log_v)
        energy = gauss_hermite(lambda z: log_joint(w, s2, x, z), mean, v, n=3)
        return -(energy + 0.5 * np.log(2 * math.pi * math.e * v).sum())

    best = optimize.minimize(negative_elbo, np.zeros(3), method="BFGS", tol=1e-10)
    assert ours == pytest.approx(exact_log_p(w, s2, x) + best.fun, abs=1e-7)


def test_eq_evaluation_decoded_square():
    w, _, mean, x, _, _ = linear()
    v = np.array([0.05, 0.3, 0.12])
    ours = ((x - w @ mean) ** 2).sum() + (v * (w**2).sum(axis=0)).sum()
    truth = gauss_hermite(lambda z: ((x - w @ z) ** 2).sum(), mean, v, n=3)
    assert ours == pytest.approx(truth, abs=1e-10)


def test_eq_evaluation_mean_decoded():
    w, _, mean, x, s2, _ = linear()
    v = np.array([0.05, 0.3, 0.12])
    ours = (v * (w**2).sum(axis=0)).sum() / (2 * s2)

    def log_likelihood(z):
        return stats.norm.logpdf(x, w @ z, math.sqrt(s2)).sum()

    truth = log_likelihood(mean) - gauss_hermite(log_likelihood, mean, v, n=3)
    assert ours == pytest.approx(truth, abs=1e-10)
    assert ours >= 0


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_eq_evaluation_unbiased(n_samples):
    assert enumerate_mean(np.mean, n_samples) == pytest.approx(P_X, abs=1e-12)


def test_eq_evaluation_unbiased__continuous():
    # A wave decoder and a proposal that is no posterior: the mean weight is the quadrature of p(x, z).
    def joint(z):
        return stats.norm.pdf(z) * stats.norm.pdf(0.9, 1.2 * z + np.sin(2.5 * z), 0.5)

    def weight_times_q(z):
        q = stats.norm.pdf(z, 0.4, 0.8)
        return q * (joint(z) / q)

    mean_weight = integrate.quad(weight_times_q, -7, 7, epsabs=1e-12)[0]
    z = np.random.default_rng(0).normal(size=2_000_000)
    # Independent of any integral: the share of simulated x in a narrow bin around 0.9.
    x = 1.2 * z + np.sin(2.5 * z) + 0.5 * np.random.default_rng(1).normal(size=z.size)
    share = np.mean(np.abs(x - 0.9) < 0.05)
    assert mean_weight == pytest.approx(share / 0.1, abs=5 * math.sqrt(share / z.size) / 0.1)


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_eq_evaluation_log_bound(n_samples):
    assert enumerate_mean(log_mean, n_samples) < math.log(P_X)


@pytest.mark.parametrize("n_samples", [1, 3, 6])
def test_eq_evaluation_markov(n_samples):
    for t in (0.05, 0.2, 0.5, 0.9):
        above = enumerate_mean(lambda w, t=t: log_mean(w) >= math.log(P_X) + t, n_samples)
        assert above <= math.exp(-t)


def test_eq_evaluation_markov__tight():
    # One weight of size 1/p with probability p, else zero: equality at t = -log p. No smaller bound holds.
    p = 0.13
    mean = p * (1 / p)
    t = -math.log(p)
    assert p == pytest.approx(math.exp(-t))
    assert (1 / p) >= math.exp(t) * mean - 1e-12


@pytest.mark.parametrize(("total", "size"), [(4, 1), (5, 2), (5, 4)])
def test_eq_evaluation_subset(total, size):
    w = np.random.default_rng(0).exponential(size=total)
    subsets = [w[list(index)].mean() for index in itertools.combinations(range(total), size)]
    assert np.mean(subsets) == pytest.approx(w.mean(), abs=1e-12)
    assert size / total == pytest.approx(
        np.mean([0 in index for index in itertools.combinations(range(total), size)])
    )
    assert (size / total * w).sum() / size == pytest.approx(w.mean(), abs=1e-12)


def test_eq_evaluation_monotone():
    bounds = [enumerate_mean(log_mean, n) for n in range(1, 8)]
    assert all(small < large for small, large in itertools.pairwise(bounds))
    assert bounds[-1] < math.log(P_X)


def two_point(n_samples, power=1):
    """Exact moment of log of the mean of S weights that are 0.5 or 2.5, by the binomial distribution."""
    k = np.arange(n_samples + 1)
    mean_weight = (0.5 * (n_samples - k) + 2.5 * k) / n_samples
    return stats.binom.pmf(k, n_samples, 0.3) @ np.log(mean_weight) ** power


def test_eq_evaluation_bias():
    mean = 0.7 * 0.5 + 0.3 * 2.5
    relative_variance = 0.3 * 0.7 * 2.0**2 / mean**2
    errors = []
    for n_samples in (200, 400, 800):
        bias = math.log(mean) - two_point(n_samples)
        errors.append(abs(bias - relative_variance / (2 * n_samples)))
        spread = math.sqrt(two_point(n_samples, 2) - two_point(n_samples) ** 2)
        assert bias == pytest.approx(relative_variance / (2 * n_samples), rel=4 / n_samples)
        assert spread == pytest.approx(math.sqrt(relative_variance / n_samples), rel=4 / n_samples)
    # The neglected terms fall as 1 / S^2: a quarter for twice the samples.
    assert errors[1] / errors[0] == pytest.approx(0.25, rel=0.02)
    assert errors[2] / errors[1] == pytest.approx(0.25, rel=0.02)


def second_moment(precision, proposal):
    determinants = [np.linalg.det(m) for m in (precision, proposal, 2 * precision - proposal)]
    return determinants[0] / math.sqrt(determinants[1] * determinants[2])


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.7])
def test_eq_evaluation_second_moment__one(ratio):
    sigma = 0.6
    truth = integrate.quad(
        lambda z: stats.norm.pdf(z, 0, sigma) ** 2 / stats.norm.pdf(z, 0, ratio * sigma),
        -15,
        15,
        epsabs=1e-13,
    )[0]
    ours = second_moment(np.array([[sigma**-2]]), np.array([[(ratio * sigma) ** -2]]))
    assert ours == pytest.approx(truth, rel=1e-9)


def test_eq_evaluation_second_moment():
    precision = np.array([[2.0, 0.7], [0.7, 1.5]])
    proposal = np.array([[1.8, 0.0], [0.0, 1.1]])
    grid = np.linspace(-12, 12, 1201)
    z = np.stack(np.meshgrid(grid, grid), axis=-1)
    p = stats.multivariate_normal(np.zeros(2), np.linalg.inv(precision)).pdf(z)
    q = stats.multivariate_normal(np.zeros(2), np.linalg.inv(proposal)).pdf(z)
    truth = integrate.trapezoid(integrate.trapezoid(p**2 / q, grid), grid)
    assert second_moment(precision, proposal) == pytest.approx(truth, rel=1e-9)


def test_eq_evaluation_second_moment__border():
    # Below half of the posterior's variance the integral grows without end; above it settles.
    def up_to(reach, variance):
        z = np.linspace(-reach, reach, 200_001)
        log = 2 * stats.norm.logpdf(z) - stats.norm.logpdf(z, 0, math.sqrt(variance))
        return integrate.trapezoid(np.exp(log), z)

    assert up_to(60, 0.49) > 1e6 * up_to(20, 0.49)
    assert up_to(60, 0.55) == pytest.approx(up_to(20, 0.55), rel=1e-6)


# Annealed importance sampling on four codes, with every path enumerated. ------------------------------

PRIOR = np.array([0.4, 0.3, 0.2, 0.1])
LIKELIHOOD = np.array([0.05, 0.4, 0.9, 0.01])
BETAS = (0.0, 0.2, 0.6, 1.0)


def metropolis(f):
    """Transition matrix T[z, z'] of Metropolis moves to a neighbour on a ring."""
    n = len(f)
    matrix = np.zeros((n, n))
    for z in range(n):
        for step in (1, -1):
            other = (z + step) % n
            matrix[z, other] += 0.5 * min(1.0, f[other] / f[z])
        matrix[z, z] = 1 - matrix[z].sum()
    return matrix


def targets():
    return [PRIOR * LIKELIHOOD**beta for beta in BETAS]


def mean_over_paths(function, upto):
    """Exact mean of w_t g(z_t) for a function g of the last code."""
    total = 0.0
    f = targets()
    moves = [metropolis(target) for target in f]
    for path in itertools.product(range(4), repeat=upto + 1):
        probability, weight = PRIOR[path[0]], 1.0
        for t in range(1, upto + 1):
            weight *= LIKELIHOOD[path[t - 1]] ** (BETAS[t] - BETAS[t - 1])
            probability *= moves[t][path[t - 1], path[t]]
        total += probability * weight * function[path[-1]]
    return total


G = np.array([1.3, 0.2, 2.0, 0.7])


@pytest.mark.parametrize("t", [0, 1, 2, 3])
def test_eq_evaluation_ais_step(t):
    assert mean_over_paths(G, t) == pytest.approx(targets()[t] @ G, abs=1e-12)


@pytest.mark.parametrize("t", [1, 2, 3])
def test_eq_evaluation_ais_induction(t):
    before, now = targets()[t - 1], targets()[t]
    move = metropolis(now)
    after_move = move @ G
    lines = [
        mean_over_paths(now / before * after_move, t - 1),
        before @ (now / before * after_move),
        sum(now[z] * move[z, other] * G[other] for z in range(4) for other in range(4)),
        now @ G,
    ]
    np.testing.assert_allclose(lines, mean_over_paths(G, t), atol=1e-12)
    np.testing.assert_allclose(now @ move, now, atol=1e-12)


def test_eq_evaluation_ais():
    assert mean_over_paths(np.ones(4), len(BETAS) - 1) == pytest.approx(PRIOR @ LIKELIHOOD, abs=1e-12)


@pytest.mark.parametrize("levels", [2, 256])
def test_eq_evaluation_bits(levels):
    # A uniform choice of levels for each of D pixels takes log2(levels) bits each, by counting files.
    d = 7
    log_p = -d * math.log(levels)
    assert -log_p / (d * math.log(2)) == pytest.approx(math.log2(levels), abs=1e-12)
    assert -math.log2(math.exp(log_p)) / d == pytest.approx(math.log2(levels), abs=1e-12)


def clouds():
    mu = np.array([-1.5, 0.2, 0.9, 2.0])
    sigma = np.array([0.3, 0.8, 0.5, 0.2])
    grid = np.linspace(-12, 12, 40_001)
    q = stats.norm.pdf(grid, mu[:, None], sigma[:, None])
    return mu, sigma, grid, q


def kl_on_grid(grid, q, p):
    return integrate.trapezoid(np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / p), 0.0), grid)


def test_eq_evaluation_rate():
    mu, sigma, grid, q = clouds()
    aggregate, prior = q.mean(axis=0), stats.norm.pdf(grid)
    rate = np.mean(0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma))
    information = np.mean([kl_on_grid(grid, row, np.maximum(aggregate, 1e-300)) for row in q])
    assert rate == pytest.approx(information + kl_on_grid(grid, aggregate, prior), abs=1e-8)
    # The first part is an information: H(z) - H(z|n), from entropies.
    entropy = -integrate.trapezoid(aggregate * np.log(np.maximum(aggregate, 1e-300)), grid)
    assert information == pytest.approx(entropy - np.mean(stats.norm.entropy(mu, sigma)), abs=1e-8)


@pytest.mark.parametrize("stretch", [0.0, 1.0, 40.0])
def test_eq_evaluation_log_n(stretch):
    mu = stretch * np.array([-1.0, 0.0, 1.0])
    grid = np.linspace(-60, 60, 60_001)
    q = stats.norm.pdf(grid, mu[:, None], 1.0)
    aggregate = np.maximum(q.mean(axis=0), 1e-300)
    information = np.mean([kl_on_grid(grid, row, aggregate) for row in q])
    assert -1e-12 <= information <= math.log(3) + 1e-9
    assert np.all(aggregate >= q / 3)
    if stretch == 0:
        assert information == pytest.approx(0, abs=1e-12)
    if stretch == 40:
        assert information == pytest.approx(math.log(3), abs=1e-9)


def test_eq_evaluation_frechet_one():
    m_a, s_a, m_b, s_b = 0.7, 1.3, -0.4, 0.5
    ours = (m_a - m_b) ** 2 + (s_a - s_b) ** 2
    truth = integrate.quad(
        lambda u: (stats.norm.ppf(u, m_a, s_a) - stats.norm.ppf(u, m_b, s_b)) ** 2, 0, 1, epsabs=1e-9
    )[0]
    assert ours == pytest.approx(truth, abs=1e-6)
    # No other pairing is better: all orders of six quantiles.
    u = (np.arange(6) + 0.5) / 6
    a, b = stats.norm.ppf(u, m_a, s_a), stats.norm.ppf(u, m_b, s_b)
    costs = {order: np.mean((a - b[list(order)]) ** 2) for order in itertools.permutations(range(6))}
    assert min(costs, key=costs.get) == tuple(range(6))


def frechet(m_a, c_a, m_b, c_b):
    root = linalg.sqrtm(c_a).real
    cross = linalg.sqrtm(root @ c_b @ root).real
    return ((m_a - m_b) ** 2).sum() + np.trace(c_a + c_b - 2 * cross)


def spd(seed, n):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return a @ a.T + 0.1 * np.eye(n)


def test_eq_evaluation_frechet():
    # The smallest E|a - b|^2 over all joint Gaussians: E a b^T = A K B with a contraction K, and the
    # largest trace over the rotations at its border, found by the polar factor and by random search.
    c_a, c_b = spd(0, 3), spd(1, 3)
    m_a, m_b = np.array([0.3, -1.0, 0.2]), np.array([1.0, 0.4, 0.0])
    ours = frechet(m_a, c_a, m_b, c_b)
    lower_a, lower_b = np.linalg.cholesky(c_a), np.linalg.cholesky(c_b)
    nuclear = np.linalg.svd(lower_a.T @ lower_b, compute_uv=False).sum()
    best = ((m_a - m_b) ** 2).sum() + np.trace(c_a) + np.trace(c_b) - 2 * nuclear
    assert ours == pytest.approx(best, abs=1e-10)
    for seed in range(200):
        rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        coupled = np.trace(lower_a @ rotation @ lower_b.T)
        cost = ((m_a - m_b) ** 2).sum() + np.trace(c_a) + np.trace(c_b) - 2 * coupled
        assert cost >= ours - 1e-10


def test_eq_evaluation_frechet__diagonal():
    s_a, s_b, m_a, m_b = (
        np.array([1.3, 0.2]),
        np.array([0.5, 0.9]),
        np.array([0.7, 0.0]),
        np.array([-0.4, 2.0]),
    )
    truth = ((m_a - m_b) ** 2 + (s_a - s_b) ** 2).sum()
    assert frechet(m_a, np.diag(s_a**2), m_b, np.diag(s_b**2)) == pytest.approx(truth, abs=1e-10)


@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_eq_evaluation_mixture(alpha):
    x = np.linspace(-6, 6, 201)
    log_p, log_r = stats.norm.logpdf(x, 1.0, 0.4), stats.norm.logpdf(x, -2.0, 1.5)
    mixture = np.log(alpha * np.exp(log_p) + (1 - alpha) * np.exp(log_r))
    assert np.all(mixture >= log_p + math.log(alpha))
    # Sharp: where the other part has no mass, nothing is left but log alpha.
    far = stats.norm.pdf(0.0, 0.0, 1e-3)
    assert math.log(alpha * far) == pytest.approx(math.log(far) + math.log(alpha), abs=1e-12)
