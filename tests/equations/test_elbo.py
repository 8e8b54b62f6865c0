"""Equations of the chapter "The ELBO", each against quadrature, enumeration or another implementation."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, norm

RNG = np.random.default_rng(0)
X, S = 1.0, 0.5
Q = norm(0.7, 0.6)


def mean_of_x(z, a=1.0):
    return 1.2 * z + a * np.sin(2.5 * z)


def log_joint(z, a=1.0, x=X):
    return norm.logpdf(z) + norm.logpdf(x, mean_of_x(z, a), S)


def integral(function):
    """Gauss-Legendre with 20 nodes on each of 72 intervals."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(-9, 9, 73)
    half = (edges[1] - edges[0]) / 2
    z = (edges[:-1, None] + half + half * nodes).ravel()
    return float(np.tile(half * weights, 72) @ function(z))


def log_evidence(a=1.0):
    return math.log(integral(lambda z: np.exp(log_joint(z, a))))


def elbo(a=1.0, q=Q):
    return integral(lambda z: q.pdf(z) * (log_joint(z, a) - q.logpdf(z)))


def kl_to_posterior(a=1.0, q=Q):
    evidence = log_evidence(a)
    return integral(lambda z: q.pdf(z) * (q.logpdf(z) - log_joint(z, a) + evidence))


def gaussian_kl_by_torch(q):
    own = torch.distributions.Normal(torch.tensor(q.mean()), torch.tensor(q.std()))
    prior = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    return torch.distributions.kl_divergence(own, prior).item()


def test_eq_elbo_bayes():
    # A joint table p(z, x): conditionals and marginals are counted, not derived.
    joint = RNG.dirichlet(np.ones(12)).reshape(4, 3)
    prior = joint.sum(1)
    likelihood = joint / prior[:, None]
    evidence = (likelihood * prior[:, None]).sum(0)
    np.testing.assert_allclose(evidence, joint.sum(0), atol=1e-14)
    posterior = likelihood * prior[:, None] / evidence
    for x in range(3):
        np.testing.assert_allclose(posterior[:, x], joint[:, x] / joint[:, x].sum(), atol=1e-14)


def test_eq_elbo_jensen_inequality():
    t, p = RNG.gamma(1.0, size=6), RNG.dirichlet(np.ones(6))
    m = p @ t
    assert p @ np.log(t) < math.log(m) - 1e-3

    def tangent(u):
        return math.log(m) + (u - m) / m

    assert tangent(p @ t) == pytest.approx(math.log(p @ t), abs=1e-14)
    assert p @ tangent(t) == pytest.approx(math.log(p @ t), abs=1e-14)
    assert np.all(np.log(t) <= tangent(t))
    # It touches the logarithm at m: the gap there is of second order, h^2 / (2 m^2) on both sides.
    for h in (-1e-3, 1e-3):
        assert tangent(m + h) - math.log(m + h) == pytest.approx(h**2 / (2 * m**2), rel=1e-2)
    constant = np.full(6, 2.5)
    assert p @ np.log(constant) == pytest.approx(math.log(p @ constant), abs=1e-14)


def test_eq_elbo_jensen():
    inside = integral(lambda z: Q.pdf(z) * np.exp(log_joint(z) - Q.logpdf(z)))
    assert math.log(inside) == pytest.approx(log_evidence(), abs=1e-9)
    assert elbo() < log_evidence() - 0.1
    # With a finite set of codes, for many q.
    joint = RNG.dirichlet(np.ones(5)) * 0.3
    for q in RNG.dirichlet(np.ones(5), size=50):
        assert q @ np.log(joint / q) <= math.log(joint.sum())
    # The last line is as large as it can be: no shortfall for the posterior.
    posterior = joint / joint.sum()
    assert posterior @ np.log(joint / posterior) == pytest.approx(math.log(joint.sum()), abs=1e-13)


def test_eq_elbo_identity():
    assert elbo() + kl_to_posterior() == pytest.approx(log_evidence(), abs=1e-8)
    # Independent of Bayes in code: the posterior by a joint table of its own.
    joint = RNG.dirichlet(np.ones(15)).reshape(5, 3)
    q = RNG.dirichlet(np.ones(5))
    posterior = joint[:, 0] / joint[:, 0].sum()
    bound, gap = q @ np.log(joint[:, 0] / q), q @ np.log(q / posterior)
    assert bound + gap == pytest.approx(math.log(joint[:, 0].sum()), abs=1e-13)


def ppca():
    w = RNG.normal(size=(4, 2))
    z0 = RNG.normal(size=2)
    x = w @ z0 + 0.4 * RNG.normal(size=4)
    return w, 0.4, x


def ppca_joint_conditional(w, s, x):
    """Mean and covariance of z given x by the block formula of a joint Gaussian."""
    sigma = w @ w.T + s**2 * np.eye(len(w))
    gain = w.T @ np.linalg.inv(sigma)
    return gain @ x, np.eye(w.shape[1]) - gain @ w


def ppca_log_joint(w, s, x, z):
    return norm.logpdf(z).sum(-1) + norm.logpdf(x, z @ w.T, s).sum(-1)


def test_eq_elbo_tight():
    w, s, x = ppca()
    z = RNG.normal(size=(7, 2))
    posterior = multivariate_normal(*ppca_joint_conditional(w, s, x))
    ratio = ppca_log_joint(w, s, x, z) - posterior.logpdf(z)
    grid = np.linspace(-12, 12, 601)
    plane = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    log_p = math.log(np.exp(ppca_log_joint(w, s, x, plane)).sum() * (grid[1] - grid[0]) ** 2)
    np.testing.assert_allclose(ratio, log_p, atol=1e-8)


def test_eq_elbo_ppca_evidence():
    w, s, x = ppca()
    grid = np.linspace(-12, 12, 601)
    plane = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    by_quadrature = np.exp(ppca_log_joint(w, s, x, plane)).sum() * (grid[1] - grid[0]) ** 2
    stated = multivariate_normal(np.zeros(4), w @ w.T + s**2 * np.eye(4)).pdf(x)
    assert stated == pytest.approx(by_quadrature, rel=1e-9)


def test_eq_elbo_ppca_square():
    w, s, x = ppca()
    precision = np.eye(2) + w.T @ w / s**2
    m = np.linalg.solve(precision, w.T @ x) / s**2
    z = RNG.normal(size=(20, 2))
    first = -0.5 * (z**2).sum(1) - ((x - z @ w.T) ** 2).sum(1) / (2 * s**2)
    second = -0.5 * np.einsum("ni,ij,nj->n", z, precision, z) + z @ w.T @ x / s**2
    third = -0.5 * np.einsum("ni,ij,nj->n", z - m, precision, z - m)
    exact = ppca_log_joint(w, s, x, z)
    for line in (first, second, third):
        assert np.ptp(line - exact) < 1e-10


def test_eq_elbo_ppca_posterior():
    w, s, x = ppca()
    precision = np.eye(2) + w.T @ w / s**2
    m = np.linalg.inv(precision) @ w.T @ x / s**2
    mean, covariance = ppca_joint_conditional(w, s, x)
    np.testing.assert_allclose(m, mean, atol=1e-12)
    np.testing.assert_allclose(np.linalg.inv(precision), covariance, atol=1e-12)


def test_eq_elbo_weight_mean():
    weight_mean = integral(lambda z: Q.pdf(z) * np.exp(log_joint(z) - Q.logpdf(z)))
    # p(x) the other way round: as the density of x = f(z) + noise, from its distribution function.
    cdf = [
        integral(lambda z, x=x: norm.pdf(z) * norm.cdf((x - mean_of_x(z)) / S)) for x in (X - 1e-3, X + 1e-3)
    ]
    assert weight_mean == pytest.approx((cdf[1] - cdf[0]) / 2e-3, abs=1e-6)


def test_eq_elbo_leave_one_out():
    for n in (1, 2, 5):
        w = RNG.gamma(1.0, size=n + 1)
        left_out = [np.delete(w, i).sum() / n for i in range(n + 1)]
        assert sum(left_out) / (n + 1) == pytest.approx(w.mean(), abs=1e-14)


def enumerated_bound(w, p, n):
    """E[log mean of n weights], exactly, for weights w that occur with probabilities p."""
    total = 0.0
    for drawn in itertools.product(range(len(w)), repeat=n):
        index = list(drawn)
        total += np.prod(p[index]) * math.log(w[index].sum() / n)
    return total


def test_eq_elbo_iwae_step():
    w, p = np.array([0.1, 1.0, 4.0]), np.array([0.5, 0.3, 0.2])
    for n in (1, 2, 4):
        means_of_logs = 0.0
        for drawn in itertools.product(range(3), repeat=n + 1):
            index = list(drawn)
            logs = [math.log(np.delete(w[index], i).sum() / n) for i in range(n + 1)]
            means_of_logs += np.prod(p[index]) * sum(logs) / (n + 1)
        assert means_of_logs == pytest.approx(enumerated_bound(w, p, n), abs=1e-12)
        assert enumerated_bound(w, p, n + 1) > means_of_logs + 1e-3


def test_eq_elbo_iwae():
    joint, q = np.array([0.05, 0.3, 0.15]), np.array([0.5, 0.2, 0.3])
    bounds = [enumerated_bound(joint / q, q, n) for n in range(1, 8)]
    log_p = math.log(joint.sum())
    posterior = joint / joint.sum()
    assert bounds[0] == pytest.approx(log_p - q @ np.log(q / posterior), abs=1e-12)
    assert np.all(np.diff(bounds) > 0)
    assert bounds[-1] < log_p
    assert log_p - bounds[-1] < 0.3 * (log_p - bounds[0])


def test_eq_elbo_energy():
    energy = integral(lambda z: Q.pdf(z) * log_joint(z))
    assert energy + Q.entropy() == pytest.approx(log_evidence() - kl_to_posterior(), abs=1e-8)


def test_eq_elbo_gaussian_entropy():
    for sigma in (0.2, 1.0, 3.0):
        q = torch.distributions.Normal(torch.tensor(0.7), torch.tensor(sigma).double())
        stated = 0.5 * math.log(2 * math.pi * sigma**2) + 0.5
        assert stated == pytest.approx(q.entropy().item(), abs=1e-7)
        own = norm(0.7, sigma)
        eps = np.linspace(-12, 12, 4001)
        z = own.mean() + sigma * eps
        log_q = -0.5 * np.log(2 * np.pi * sigma**2) - (z - 0.7) ** 2 / (2 * sigma**2)
        middle = -np.trapezoid(norm.pdf(eps) * log_q, eps)
        assert middle == pytest.approx(stated, abs=1e-7)


def expected_log_likelihood(a=1.0):
    return integral(lambda z: Q.pdf(z) * norm.logpdf(X, mean_of_x(z, a), S))


def test_eq_elbo_reconstruction():
    stated = expected_log_likelihood() - gaussian_kl_by_torch(Q)
    assert stated == pytest.approx(log_evidence() - kl_to_posterior(), abs=1e-7)


def test_eq_elbo_rate_distortion():
    distortion, rate = -expected_log_likelihood(), gaussian_kl_by_torch(Q)
    assert distortion + rate == pytest.approx(kl_to_posterior() - log_evidence(), abs=1e-7)
    # Tight for the exact posterior of a linear model: z ~ N(0, 1), x | z ~ N(z, s^2), q = p(z | x).
    q = norm(X / (1 + S**2), S / math.sqrt(1 + S**2))
    linear = -integral(lambda z: q.pdf(z) * norm.logpdf(X, z, S)) + gaussian_kl_by_torch(q)
    assert linear == pytest.approx(-norm.logpdf(X, 0, math.sqrt(1 + S**2)), abs=1e-7)
    assert distortion + rate > -log_evidence() + 0.1


def test_eq_elbo_unbiased():
    kl = gaussian_kl_by_torch(Q)
    truth = log_evidence() - kl_to_posterior()
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    z = Q.mean() + Q.std() * nodes
    weights = weights / weights.sum()
    a = log_joint(z) - Q.logpdf(z)
    b = norm.logpdf(X, mean_of_x(z), S) - kl
    assert weights @ a == pytest.approx(truth, abs=1e-7)
    assert weights @ b == pytest.approx(truth, abs=1e-7)


def test_eq_elbo_minibatch():
    values, size = RNG.normal(size=7), 3
    batches = [list(batch) for batch in itertools.combinations(range(7), size)]
    first = np.mean([values[batch].sum() / size for batch in batches])
    occurs = np.array([np.mean([n in batch for batch in batches]) for n in range(7)])
    np.testing.assert_allclose(occurs, size / 7)
    assert first == pytest.approx(values.sum() / 7, abs=1e-14)
    assert (occurs * values).sum() / size == pytest.approx(first, abs=1e-14)


def test_eq_elbo_two_ways():
    other = norm(0.5, 0.4)
    rise = elbo(0.4, other) - elbo(1.0, Q)
    model = log_evidence(0.4) - log_evidence(1.0)
    gap = kl_to_posterior(0.4, other) - kl_to_posterior(1.0, Q)
    assert rise == pytest.approx(model - gap, abs=1e-8)
    assert abs(model) > 1e-3
    assert abs(gap) > 1e-3


def score(z, a):
    return np.sin(2.5 * z) * (X - mean_of_x(z, a)) / S**2


def test_eq_elbo_evidence_gradient():
    a, h = 0.8, 1e-4
    evidence = log_evidence(a)
    stated = integral(lambda z: np.exp(log_joint(z, a) - evidence) * score(z, a))
    assert stated == pytest.approx((log_evidence(a + h) - log_evidence(a - h)) / (2 * h), abs=1e-6)


def test_eq_elbo_elbo_gradient():
    a, h = 0.8, 1e-4
    stated = integral(lambda z: Q.pdf(z) * score(z, a))
    assert stated == pytest.approx((elbo(a + h) - elbo(a - h)) / (2 * h), abs=1e-6)


POINTS = np.concatenate([RNG.normal(-1.0, 0.5, 12), RNG.normal(1.5, 0.8, 18)])
THETA = (np.array([0.3, 0.7]), np.array([-0.2, 1.0]), np.array([0.6, 1.4]))


def mixture_terms(theta):
    pi, m, v = theta
    return np.log(pi) + norm.logpdf(POINTS[:, None], m, np.sqrt(v))


def mixture_elbo(r, theta):
    return (r * (mixture_terms(theta) - np.log(r))).sum()


def mixture_log_p(theta):
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor(theta[0])),
        torch.distributions.Normal(torch.tensor(theta[1]), torch.tensor(np.sqrt(theta[2]))),
    )
    return mixture.log_prob(torch.tensor(POINTS)).sum().item()


def responsibilities(theta):
    pi, m, v = theta
    top = pi * norm.pdf(POINTS[:, None], m, np.sqrt(v))
    return top / top.sum(1, keepdims=True)


def m_step(r):
    n_k = r.sum(0)
    m = (r * POINTS[:, None]).sum(0) / n_k
    v = (r * (POINTS[:, None] - m) ** 2).sum(0) / n_k
    return n_k / len(POINTS), m, v


def test_eq_elbo_mixture():
    r = RNG.dirichlet(np.ones(2), size=len(POINTS))
    posterior = softmax(mixture_terms(THETA), axis=1)
    gap = (r * np.log(r / posterior)).sum()
    assert mixture_elbo(r, THETA) + gap == pytest.approx(mixture_log_p(THETA), abs=1e-10)


def test_eq_elbo_e_step():
    r = responsibilities(THETA)
    # The best q by a numerical search over one example's probabilities.
    for n in (0, 7, 20):
        terms = mixture_terms(THETA)[n]
        found = optimize.minimize_scalar(
            lambda t, terms=terms: -(t * (terms[0] - np.log(t)) + (1 - t) * (terms[1] - np.log1p(-t))),
            bounds=(1e-9, 1 - 1e-9),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert r[n, 0] == pytest.approx(found.x, abs=1e-6)
    assert mixture_elbo(r, THETA) == pytest.approx(mixture_log_p(THETA), abs=1e-10)


def test_eq_elbo_m_derivatives():
    r = RNG.dirichlet(np.ones(2), size=len(POINTS))
    pi, m, v = THETA
    by_m = (r * (POINTS[:, None] - m) / v).sum(0)
    by_v = (r * (-1 / (2 * v) + (POINTS[:, None] - m) ** 2 / (2 * v**2))).sum(0)
    h = 1e-5
    for k in range(2):
        e = np.eye(2)[k] * h
        slope = (mixture_elbo(r, (pi, m + e, v)) - mixture_elbo(r, (pi, m - e, v))) / (2 * h)
        assert by_m[k] == pytest.approx(slope, abs=1e-6)
        slope = (mixture_elbo(r, (pi, m, v + e)) - mixture_elbo(r, (pi, m, v - e))) / (2 * h)
        assert by_v[k] == pytest.approx(slope, abs=1e-6)


def test_eq_elbo_weights_kl():
    share, pi = RNG.dirichlet(np.ones(4)), RNG.dirichlet(np.ones(4))
    stated = (share * np.log(share)).sum() - (share * np.log(pi)).sum()
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(torch.tensor(share)),
        torch.distributions.Categorical(torch.tensor(pi)),
    )
    assert stated == pytest.approx(kl.item(), abs=1e-12)
    assert stated >= 0


def test_eq_elbo_m_step():
    r = RNG.dirichlet(np.ones(2), size=len(POINTS))

    def unpack(u):
        return softmax(np.array([u[0], 0.0])), u[1:3], np.exp(u[3:5])

    found = optimize.minimize(lambda u: -mixture_elbo(r, unpack(u)), np.zeros(5), options={"gtol": 1e-7})
    for stated, best in zip(m_step(r), unpack(found.x), strict=True):
        np.testing.assert_allclose(stated, best, atol=1e-5)


def test_eq_elbo_em_chain():
    theta = THETA
    for _ in range(10):
        q = responsibilities(theta)
        new = m_step(q)
        assert mixture_elbo(q, theta) == pytest.approx(mixture_log_p(theta), abs=1e-10)
        assert mixture_elbo(q, new) >= mixture_elbo(q, theta)
        assert mixture_log_p(new) >= mixture_elbo(q, new)
        theta = new
    assert mixture_log_p(theta) > mixture_log_p(THETA) + 1
    assert logsumexp(mixture_terms(theta), axis=1).sum() == pytest.approx(mixture_log_p(theta), abs=1e-10)


def test_eq_elbo_gaps():
    def loss(u):
        return -elbo(q=norm(u[0], math.exp(u[1])))

    best = optimize.minimize(loss, [0.9, -0.7], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    approximation = log_evidence() + best.fun
    amortisation = -best.fun - elbo()
    assert approximation > 0
    assert amortisation > 0
    assert approximation + amortisation == pytest.approx(kl_to_posterior(), abs=1e-8)
