"""The claims of the chapter on posterior collapse, against enumeration, quadrature and autograd."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate, stats

BITS = np.array(list(itertools.product([0, 1], repeat=3)), dtype=float)  # all pictures of three pixels
PAST = np.array([[0.0, 0.0, 0.0], [1.3, 0.0, 0.0], [-0.8, 0.6, 0.0]])  # pixel d sees the pixels before it
CODE = np.array([0.7, -1.1, 0.4])


def coin(x, logit):
    return 1 / (1 + np.exp(-logit)) if x else 1 / (1 + np.exp(logit))


def factors(x, z):
    """p(x_d | x_<d, z) for a small autoregressive decoder with a curved use of its one code."""
    return [coin(x[d], PAST[d] @ x + CODE[d] * z + 0.3 * z**2 * (d == 1)) for d in range(3)]


def nodes(mean, std, n=60):
    points, weights = hermegauss(n)
    return mean + std * points, weights / weights.sum()


def kl_grid(mean, std):
    """KL from N(mean, std^2) to N(0, 1) by quadrature."""
    q = stats.norm(mean, std)
    return integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), mean - 12 * std, mean + 12 * std,
        epsabs=1e-12,
    )[0]  # fmt: skip


def test_eq_collapse_normalised():
    for z in (-1.7, 0.0, 2.2):
        assert sum(math.prod(factors(x, z)) for x in BITS) == pytest.approx(1, abs=1e-13)
        # Not every product of coins sums to 1: here the first pixel sees the last.
        wrong = sum(coin(x[0], 2 * x[2]) * coin(x[1], z) * coin(x[2], x[0]) for x in BITS)
        assert abs(wrong - 1) > 0.01


def test_eq_collapse_autoregressive():
    x, mean, std = BITS[5], 0.4, 0.6
    z, weights = nodes(mean, std)
    per_pixel = np.array([weights @ [math.log(factors(x, point)[d]) for point in z] for d in range(3)])
    ours = per_pixel.sum() - 0.5 * (mean**2 + std**2 - 1 - math.log(std**2))
    q = stats.norm(mean, std)

    def integrand(z):
        log_joint = math.log(math.prod(factors(x, z))) + stats.norm.logpdf(z)
        return q.pdf(z) * (log_joint - q.logpdf(z))

    assert ours == pytest.approx(integrate.quad(integrand, -7, 8, epsabs=1e-12)[0], abs=1e-9)


def centres_and_widths():
    rng = np.random.default_rng(0)
    return rng.normal(0.7, 1.2, size=9), np.exp(rng.normal(-0.5, 0.4, size=9))


def test_eq_collapse_parts():
    mu, sigma = centres_and_widths()
    moved, shifted = np.mean((mu - mu.mean()) ** 2), mu.mean() ** 2
    ours = 0.5 * (moved + shifted + np.mean(sigma**2 - 1 - np.log(sigma**2)))
    assert ours == pytest.approx(np.mean([kl_grid(m, s) for m, s in zip(mu, sigma, strict=True)]), abs=1e-9)


def test_eq_collapse_active_bound():
    def bound(rate):
        return 2 * rate

    mu, sigma = centres_and_widths()
    for scale in (0.0, 0.1, 1.0, 3.0):
        rate = np.mean([kl_grid(scale * m, s) for m, s in zip(mu, sigma, strict=True)])
        assert np.var(scale * mu) <= bound(rate)
    # The constant 2 can be no other: centred clouds of width 1 reach the bound.
    flat = mu - mu.mean()
    assert np.var(flat) == pytest.approx(bound(np.mean([kl_grid(m, 1.0) for m in flat])), abs=1e-9)


P_DATA = np.array([0.3, 0.05, 0.1, 0.05, 0.02, 0.18, 0.05, 0.25])


def small_vae():
    """Mean ELBO by its definition, and the evidence and posterior gap of every picture, on a grid of z."""
    z = np.linspace(-9, 9, 6001)
    prior = stats.norm.pdf(z)
    elbo, evidence, gap = [], [], []
    for i, x in enumerate(BITS):
        likelihood = np.array([math.prod(factors(x, point)) for point in z])
        q = stats.norm.pdf(z, 0.3 * i - 1, 0.5 + 0.1 * i)
        p_x = integrate.trapezoid(prior * likelihood, z)
        log_q, log_joint = np.log(q + 1e-300), np.log(prior) + np.log(likelihood)
        elbo.append(integrate.trapezoid(q * (log_joint - log_q), z))
        evidence.append(p_x)
        gap.append(integrate.trapezoid(q * (log_q - log_joint + math.log(p_x)), z))
    return np.array(elbo), np.array(evidence), np.array(gap)


def test_eq_collapse_worth():
    elbo, evidence, gap = small_vae()
    entropy = stats.entropy(P_DATA)
    ours = -entropy - stats.entropy(P_DATA, evidence) - P_DATA @ gap
    assert ours == pytest.approx(P_DATA @ elbo, abs=1e-9)


def test_eq_collapse_gain():
    # Without a code: independent pixels with the best means.
    means = P_DATA @ BITS
    p_0 = np.prod(np.where(BITS == 1, means, 1 - means), axis=1)
    room = stats.entropy(P_DATA, p_0)
    best_without = P_DATA @ np.log(p_0)
    elbo, _, _ = small_vae()
    assert P_DATA @ elbo - best_without <= room
    # A discrete code that names the picture reaches the limit exactly: p(x|z) = 1 where x = z.
    perfect = P_DATA @ np.log(P_DATA)
    assert perfect - best_without == pytest.approx(room, abs=1e-12)


def tiny_model(seed=0):
    """Encoder weights, features h(z), entry weights V and a curved decoder, all in float64."""
    g = torch.Generator().manual_seed(seed)

    def new(*size):
        return torch.randn(*size, generator=g, dtype=torch.float64)

    x = torch.tensor(BITS)[[0, 3, 5, 6, 7]]
    encoder = [(0.5 * new(3, 2)).requires_grad_(), (0.3 * new(3, 2)).requires_grad_()]
    V, b = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True), new(4).requires_grad_()
    first, out, mix = new(2, 3), new(4, 3), new(3, 4)
    past = torch.tensor(PAST)

    def log_p(z):  # z of shape (S, B, 2)
        hidden = torch.tanh((z @ first).cos() @ V.T + b + x @ past.T @ mix)
        logits = hidden @ out
        return torch.distributions.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).sum(-1)

    return x, encoder, V, b, first, log_p


def test_eq_collapse_encoder_gradient():
    x, (a, c), _, _, _, log_p = tiny_model()
    mu, logvar = x @ a, x @ c
    eps = torch.randn(50, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (logvar / 2).exp()),
        torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu)),
    ).sum(-1)
    elbo = log_p(mu + (logvar / 2).exp() * eps).mean(0) - kl
    ours = torch.autograd.grad(elbo.mean(), (a, c), retain_graph=True)
    pull = torch.autograd.grad(-kl.mean(), (a, c))
    for one, other in zip(ours, pull, strict=True):
        assert other.abs().max() > 0.01
        torch.testing.assert_close(one, other)


def test_eq_collapse_decoder_gradient():
    _, _, V, b, first, log_p = tiny_model()
    # q = p: the same nodes of N(0, I) for every picture, 40 x 40 of them.
    points, weights = nodes(0, 1, 40)
    grid = torch.tensor(list(itertools.product(points, points)))[:, None]
    weight = torch.tensor(np.outer(weights, weights).ravel())

    def mean_log_p():
        return (weight[:, None] * log_p(grid.expand(-1, 5, 2))).sum(0).mean()

    by_V, by_b = torch.autograd.grad(mean_log_p(), (V, b))
    # E[cos(u)] for a Gaussian u = first^T z is exp(-variance / 2).
    features = torch.exp(-0.5 * first.square().sum(0))
    assert by_b.abs().max() > 0.01
    torch.testing.assert_close(by_V, by_b[:, None] * features)
    # With the bias at rest nothing is left.
    optimizer = torch.optim.LBFGS([b], max_iter=300, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -mean_log_p()
        value.backward(inputs=[b])
        return value

    optimizer.step(loss)
    (by_V,) = torch.autograd.grad(mean_log_p(), [V])
    assert by_V.abs().max() < 1e-5


LAM, S2 = 0.7, 0.2


def mean_log_density(c, lam=LAM):
    """E[log N(t; 0, c)] for t with variance lam, by quadrature over a Gaussian t."""
    t, weights = nodes(0, math.sqrt(lam))
    return weights @ stats.norm.logpdf(t, 0, math.sqrt(c))


def test_eq_collapse_direction():
    w = 0.6
    c = w**2 + S2
    ours = -0.5 * (math.log(2 * math.pi) + math.log(c) + LAM / c)
    assert ours == pytest.approx(mean_log_density(c), abs=1e-12)
    # c is the variance of w z + s eps: integrate z out.
    z, weights = nodes(0, 1)
    t = 0.9
    marginal = weights @ stats.norm.pdf(t, w * z, math.sqrt(S2))
    assert marginal == pytest.approx(stats.norm.pdf(t, 0, math.sqrt(c)), abs=1e-8)


def test_eq_collapse_slope():
    for c in (0.3, 0.7, 1.5):
        h = 1e-5
        difference = (mean_log_density(c + h) - mean_log_density(c - h)) / (2 * h)
        assert (LAM - c) / (2 * c**2) == pytest.approx(difference, abs=1e-8)


def test_eq_collapse_threshold():
    for lam in (0.05, 0.2, 0.21, 0.9):
        w = np.linspace(0, 2, 200_001)
        scores = -0.5 * (np.log(w**2 + S2) + lam / (w**2 + S2))
        assert w[scores.argmax()] ** 2 == pytest.approx(max(0, lam - S2), abs=1e-4)


def test_eq_collapse_linear_gain():
    ours = 0.5 * (LAM / S2 - 1 - math.log(LAM / S2))
    assert ours == pytest.approx(mean_log_density(LAM) - mean_log_density(S2), abs=1e-12)


def test_eq_collapse_linear_rate():
    w = math.sqrt(LAM - S2)
    z = np.linspace(-8, 8, 4001)
    t_nodes, weights = nodes(0, math.sqrt(LAM), 20)
    rates = []
    for t in t_nodes:  # the posterior on a grid, knowing no formula for it
        joint = stats.norm.pdf(z) * stats.norm.pdf(t, w * z, math.sqrt(S2))
        posterior = joint / integrate.trapezoid(joint, z)
        ratio = np.log(posterior + 1e-300) - stats.norm.logpdf(z)
        rates.append(integrate.trapezoid(posterior * ratio, z))
    assert 0.5 * math.log(LAM / S2) == pytest.approx(weights @ rates, abs=1e-8)


def test_eq_collapse_linear_mean():
    rng = np.random.default_rng(3)
    n_data, n_latents, s2 = 3, 2, 0.4
    x = rng.normal(size=(7, n_data)) @ rng.normal(size=(n_data, n_data))
    x -= x.mean(0)
    sigma = x.T @ x / len(x)
    W, A, v = rng.normal(size=(3, 2)), rng.normal(size=(2, 3)), np.array([0.3, 1.4])
    rest = np.eye(3) - W @ A
    ours = (
        -n_data / 2 * math.log(2 * math.pi * s2)
        - np.trace(rest @ sigma @ rest.T) / (2 * s2)
        - (v * (W**2).sum(0)).sum() / (2 * s2)
        - 0.5 * (np.diag(A @ sigma @ A.T) + v - 1 - np.log(v)).sum()
    )
    points, weights = nodes(0, 1, 6)
    total = 0.0
    for row in x:  # log p(x|z) is a polynomial of degree 2 in z: six nodes are exact
        for i, k in itertools.product(range(6), repeat=n_latents):
            z = A @ row + np.sqrt(v) * points[[i, k]]
            log_p = stats.norm.logpdf(row, W @ z, math.sqrt(s2)).sum()
            total += weights[i] * weights[k] * log_p
        total -= sum(kl_grid(m, math.sqrt(s)) for m, s in zip(A @ row, v, strict=True))
    assert ours == pytest.approx(total / len(x), abs=1e-8)


def one_direction(w, a, v, beta, lam=LAM, s2=S2):
    square = lam * (1 - w * a) ** 2 + w**2 * v
    kl = 0.5 * (a**2 * lam + v - 1 - np.log(v))
    return -0.5 * math.log(2 * math.pi * s2) - square / (2 * s2) - beta * kl


def test_eq_collapse_linear_elbo():
    w, a, v, beta = 0.8, -0.5, 0.6, 0.3
    t_nodes, t_weights = nodes(0, math.sqrt(LAM), 8)
    eps, weights = nodes(0, 1, 8)
    truth = 0.0
    for t, weight in zip(t_nodes, t_weights, strict=True):
        log_p = stats.norm.logpdf(t, w * (a * t + math.sqrt(v) * eps), math.sqrt(S2))
        truth += weight * (weights @ log_p - beta * kl_grid(a * t, math.sqrt(v)))
    assert one_direction(w, a, v, beta) == pytest.approx(truth, abs=1e-8)


def test_eq_collapse_saddle():
    h = 1e-3
    for lam, beta in ((0.7, 1.0), (0.15, 1.0), (0.15, 0.5)):

        def at(w, a, v=1.0, lam=lam, beta=beta):
            return one_direction(w, a, v, beta, lam)

        ww = (at(h, 0) - 2 * at(0, 0) + at(-h, 0)) / h**2
        aa = (at(0, h) - 2 * at(0, 0) + at(0, -h)) / h**2
        wa = (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h**2)
        assert [ww, wa, aa] == pytest.approx([-1 / S2, lam / S2, -beta * lam], abs=1e-5)
        det = lam / S2 * (beta - lam / S2)
        assert ww * aa - wa**2 == pytest.approx(det, abs=1e-4)
        # What the sign says: is there a point nearby that is higher?
        angle = np.linspace(0, 2 * np.pi, 721)
        higher = (at(0.01 * np.cos(angle), 0.01 * np.sin(angle)) > at(0, 0)).any()
        assert higher == (det < 0)


def test_eq_collapse_free_bits_gradient():
    rng = np.random.default_rng(4)
    x, weights, floor = rng.normal(size=(6, 3)), rng.normal(size=(3, 4)) * [0.05, 0.4, 1.0, 0.1], 0.1

    def rates(weights):  # clouds of width 0.9 whose centres are x @ weights
        return 0.5 * ((x @ weights) ** 2 + 0.81 - 1 - math.log(0.81)).mean(0)

    paying = rates(weights) > floor
    assert 0 < paying.sum() < 4
    gradient = x.T @ (x @ weights) / len(x) * paying  # of the sum of the paying rates alone
    h = 1e-6
    for index in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[index] = h
        up, down = (np.maximum(floor, rates(weights + sign * step)).sum() for sign in (1, -1))
        assert (up - down) / (2 * h) == pytest.approx(gradient[index], abs=1e-8)
