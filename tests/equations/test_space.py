"""Chapter "Looking into the latent space": each displayed claim against a truth found another way."""

import math

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy import integrate, optimize, special, stats
from scipy.spatial import geometric_slerp

import vae_lib as vl

Array = NDArray[np.float64]


def area(f, low: float = -np.inf, high: float = np.inf) -> float:  # type: ignore[no-untyped-def]
    return float(integrate.quad(f, low, high, epsabs=1e-12, epsrel=1e-12, limit=400)[0])


def clouds(n: int = 7, n_coordinates: int = 3, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_coordinates)), rng.uniform(0.1, 0.9, (n, n_coordinates))


# Quantiles -----------------------------------------------------------------------------------------


def test_eq_space_quantile() -> None:
    """Push 100,000 equal portions of u through erfinv: the share below a, against quadrature."""
    u = (np.arange(100_000) + 0.5) / 100_000
    z = math.sqrt(2) * special.erfinv(2 * u - 1)
    for a in (-1.7, 0.0, 0.4, 2.2):
        truth = area(lambda t: math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi), -np.inf, a)
        np.testing.assert_allclose((z <= a).mean(), truth, atol=2e-5)
        np.testing.assert_allclose(stats.norm.cdf(a), truth, atol=1e-12)


def test_eq_space_quantile_density() -> None:
    """1 times the derivative of u by z, by finite differences of the inverse."""
    for u in (0.03, 0.4, 0.77):
        h = 1e-6
        dz_du = (stats.norm.ppf(u + h) - stats.norm.ppf(u - h)) / (2 * h)
        z = stats.norm.ppf(u)
        np.testing.assert_allclose(1 / dz_du, math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), rtol=1e-6)


def test_eq_space_cell() -> None:
    """Every cell of the grid, corners included, by a two-dimensional integral of the density."""
    n = 4
    edges = np.clip(stats.norm.ppf(np.arange(n + 1) / n), -12, 12)
    for a in range(n):
        for b in range(n):
            mass = integrate.dblquad(
                lambda y, x: math.exp(-(x**2 + y**2) / 2) / (2 * math.pi),
                edges[a], edges[a + 1], edges[b], edges[b + 1],
            )[0]  # fmt: skip
            np.testing.assert_allclose(mass, 1 / n**2, rtol=1e-5)


def test_eq_space_radius() -> None:
    """Against the chi distribution with two degrees of freedom and a plain integral over the disc."""
    for r in (0.5, 2.0, 2.45):
        np.testing.assert_allclose(math.exp(-(r**2) / 2), stats.chi(2).sf(r), rtol=1e-12)
        disc = integrate.dblquad(
            lambda y, x: math.exp(-(x**2 + y**2) / 2) / (2 * math.pi),
            -r, r, lambda x, r=r: -math.sqrt(r**2 - x**2), lambda x, r=r: math.sqrt(r**2 - x**2),
        )[0]  # fmt: skip
        np.testing.assert_allclose(1 - math.exp(-(r**2) / 2), disc, rtol=1e-5)


def test_eq_space_square_share() -> None:
    side = np.linspace(-3, 3, 2001)[:-1] + 0.0015
    for r in (1.0, 2.45, 3.0):
        outside = (side[:, None] ** 2 + side[None, :] ** 2 > r**2).mean()
        np.testing.assert_allclose(1 - math.pi * r**2 / 36, outside, atol=1e-3)


# One coordinate ------------------------------------------------------------------------------------


def test_eq_space_rate_coordinates() -> None:
    """The mean KL by quadrature for each example and coordinate, added in the other order."""
    mu, sigma = clouds()
    per_coordinate = (0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1)).mean(axis=0)
    nodes, weights = hermegauss(20)
    rate = 0.0
    for m, s in zip(mu, sigma, strict=True):
        for one_m, one_s in zip(m, s, strict=True):
            z = one_m + one_s * nodes
            log_ratio = stats.norm.logpdf(z, one_m, one_s) - stats.norm.logpdf(z)
            rate += float((weights * log_ratio).sum() / weights.sum())
    np.testing.assert_allclose(per_coordinate.sum(), rate / len(mu), rtol=1e-10)
    ours = vl.gaussian_kl_per_coordinate(torch.tensor(mu), torch.tensor(2 * np.log(sigma)))
    np.testing.assert_allclose(ours.mean(dim=0).numpy(), per_coordinate)


# Norms and walks -----------------------------------------------------------------------------------


def test_eq_space_fourth_moment() -> None:
    def density(z: float) -> float:
        return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    h = 1e-6
    for z in (-1.3, 0.2, 2.0):
        slope = (density(z + h) - density(z - h)) / (2 * h)
        np.testing.assert_allclose(slope, -z * density(z), atol=1e-9)
    np.testing.assert_allclose(area(lambda z: z**4 * density(z)), 3, rtol=1e-9)
    np.testing.assert_allclose(3 * area(lambda z: z**2 * density(z)), 3, rtol=1e-9)


def test_eq_space_norm() -> None:
    """Mean and variance of the squared norm, against the moments of the chi-square distribution."""
    for n_coordinates in (1, 2, 20):
        mean, variance = stats.chi2(n_coordinates).stats("mv")
        assert (mean, variance) == (n_coordinates, 2 * n_coordinates)
        # ... and by a product rule for two coordinates, without scipy's chi-square.
    nodes, weights = hermegauss(20)
    weights = weights / weights.sum()
    w = np.outer(weights, weights)
    square = nodes[:, None] ** 2 + nodes[None, :] ** 2
    np.testing.assert_allclose((w * square).sum(), 2)
    np.testing.assert_allclose((w * square**2).sum() - 4, 4)


def test_eq_space_shell() -> None:
    """The exact mean squared deviation, from the chi distribution: it stays below 2 and near 1/2."""
    for n_coordinates in (1, 2, 20, 400):
        root = math.sqrt(n_coordinates)
        exact = 2 * n_coordinates - 2 * root * stats.chi(n_coordinates).mean()
        # The middle line of the derivation: E[(|z|^2 - L)^2] / L.
        top = 8 * root + 40
        middle = area(lambda r, n=n_coordinates: stats.chi(n).pdf(r) * (r**2 - n) ** 2 / n, 0, top)
        np.testing.assert_allclose(middle, 2, rtol=1e-6)
        for r in np.linspace(0, 3 * root, 50):
            assert (r - root) ** 2 <= (r**2 - n_coordinates) ** 2 / n_coordinates + 1e-9
            np.testing.assert_allclose(r - root, (r**2 - n_coordinates) / (r + root), atol=1e-9)
        assert 0 < exact <= middle


def test_eq_space_midpoint() -> None:
    """Quadrature over a and b in one coordinate; L coordinates add up."""
    nodes, weights = hermegauss(20)
    w = np.outer(weights, weights) / weights.sum() ** 2
    for t in (0.0, 0.3, 0.5, 0.9):
        square = ((1 - t) * nodes[:, None] + t * nodes[None, :]) ** 2
        np.testing.assert_allclose(20 * (w * square).sum(), ((1 - t) ** 2 + t**2) * 20)
        # The middle line keeps the cross term.
        cross = (w * nodes[:, None] * nodes[None, :]).sum()
        np.testing.assert_allclose(cross, 0, atol=1e-12)
    square = (0.5 * nodes[:, None] + 0.5 * nodes[None, :]) ** 2
    np.testing.assert_allclose(20 * (w * square).sum(), 20 / 2)


def weights_of_slerp(omega: float, t: float) -> tuple[float, float]:
    return math.sin((1 - t) * omega) / math.sin(omega), math.sin(t * omega) / math.sin(omega)


def unit_pair(omega: float, n_coordinates: int = 5) -> tuple[Array, Array]:
    frame = np.linalg.qr(np.random.default_rng(3).normal(size=(n_coordinates, 2)))[0]
    return frame[:, 0], math.cos(omega) * frame[:, 0] + math.sin(omega) * frame[:, 1]


def test_eq_space_slerp_system() -> None:
    """The two conditions solved as a linear system by numpy, against rotation of a towards b."""
    for omega in (0.3, 1.4, 2.8):
        a, b = unit_pair(omega)
        for t in (0.2, 0.5, 0.85):
            matrix = np.array([[1, math.cos(omega)], [math.cos(omega), 1]])
            right = np.array([math.cos(t * omega), math.cos((1 - t) * omega)])
            alpha, beta = np.linalg.solve(matrix, right)
            np.testing.assert_allclose(alpha * a + beta * b, geometric_slerp(a, b, t), atol=1e-12)
            # The line in which beta is eliminated.
            left = alpha * math.sin(omega) ** 2
            np.testing.assert_allclose(
                left, math.cos(t * omega) - math.cos(omega) * math.cos((1 - t) * omega), atol=1e-12
            )
            np.testing.assert_allclose(left, math.sin(omega) * math.sin((1 - t) * omega), atol=1e-12)


def test_eq_space_slerp() -> None:
    for omega in (0.3, 1.4, 2.8):
        a, b = unit_pair(omega)
        for t in (0.0, 0.2, 0.5, 0.85, 1.0):
            alpha, beta = weights_of_slerp(omega, t)
            np.testing.assert_allclose(alpha * a + beta * b, geometric_slerp(a, b, t), atol=1e-12)


def test_eq_space_slerp_norm() -> None:
    for omega in (0.3, 1.4, 2.8):
        a, b = unit_pair(omega)
        for t in (0.2, 0.5, 0.85):
            alpha, beta = weights_of_slerp(omega, t)
            middle = alpha * math.cos(t * omega) + beta * math.cos((1 - t) * omega)
            np.testing.assert_allclose(middle, ((alpha * a + beta * b) ** 2).sum())
            np.testing.assert_allclose(middle, 1)


def test_eq_space_cosine() -> None:
    """The exact density of the angle between random directions: sin^(L-2), by quadrature."""
    for n in (2, 3, 20):
        normaliser = area(lambda w, n=n: math.sin(w) ** (n - 2), 0, math.pi)
        second = area(lambda w, n=n: math.cos(w) ** 2 * math.sin(w) ** (n - 2), 0, math.pi)
        np.testing.assert_allclose(second / normaliser, 1 / n, rtol=1e-9)


def test_eq_space_preserving() -> None:
    """The density of the sum by convolution, for several t, is that of N(0, 1)."""
    y = np.linspace(-12, 12, 4001)
    for t in (0.1, 0.5, 0.8):
        first, second = stats.norm(0, math.sqrt(1 - t)), stats.norm(0, math.sqrt(t))
        for z in (-1.2, 0.0, 2.1):
            density = integrate.trapezoid(first.pdf(y) * second.pdf(z - y), y)
            np.testing.assert_allclose(density, math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), rtol=1e-8)


# Maps ----------------------------------------------------------------------------------------------


def test_eq_space_total_covariance() -> None:
    """The clouds as weighted quadrature points: their pooled covariance, computed by numpy."""
    mu, sigma = clouds(n_coordinates=2)
    nodes, weights = hermegauss(6)
    w = np.outer(weights, weights).ravel() / weights.sum() ** 2
    offsets = np.array([[a, b] for a in nodes for b in nodes])
    points = (mu[:, None] + sigma[:, None] * offsets).reshape(-1, 2)
    pooled = np.cov(points.T, aweights=np.tile(w, len(mu)), ddof=0)
    formula = np.cov(mu.T, ddof=0) + np.diag((sigma**2).mean(axis=0))
    np.testing.assert_allclose(formula, pooled, atol=1e-12)


def test_eq_space_direction_variance() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4))
    values, vectors = np.linalg.eigh(np.cov(points.T, ddof=0))
    for _ in range(20):
        u = rng.normal(size=4)
        u /= np.linalg.norm(u)
        variance = (points @ u).var()
        np.testing.assert_allclose((values * (vectors.T @ u) ** 2).sum(), variance)
        assert variance <= values.max() + 1e-12
    np.testing.assert_allclose((points @ vectors[:, -1]).var(), values.max())


def test_eq_space_plane_variance() -> None:
    """No plane found by an optimiser holds more than the two largest eigenvalues."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    C = np.cov(points.T, ddof=0)
    values, vectors = np.linalg.eigh(C)

    def minus_share(flat: Array) -> float:
        frame = np.linalg.qr(flat.reshape(5, 2))[0]
        c = ((vectors.T @ frame) ** 2).sum(axis=1)
        assert (c <= 1 + 1e-9).all()
        np.testing.assert_allclose(c.sum(), 2)
        np.testing.assert_allclose((values * c).sum(), (points @ frame).var(axis=0).sum())
        return -float((values * c).sum() / values.sum())

    best = min(optimize.minimize(minus_share, rng.normal(size=10)).fun for _ in range(4))
    np.testing.assert_allclose(-best, values[-2:].sum() / np.trace(C), rtol=1e-5)


# Aggregate posterior -------------------------------------------------------------------------------


def test_eq_space_weight() -> None:
    """The mean training goal, cloud by cloud, against one integral over all places."""
    mu, sigma = np.array([-1.0, 0.2, 2.0]), np.array([0.4, 0.8, 0.3])
    x = np.array([0.0, 1.0, 0.3])

    def log_p(n: int, z: float) -> float:
        p = 1 / (1 + math.exp(-math.sin(2 * z)))
        return float(x[n] * math.log(p) + (1 - x[n]) * math.log(1 - p))

    def q(z: float) -> Array:
        return np.asarray(stats.norm.pdf(z, mu, sigma))

    left = np.mean([area(lambda z, n=n: q(z)[n] * log_p(n, z), -8, 8) for n in range(3)])

    def at(z: float) -> float:
        aggregate = q(z).mean()
        r = q(z) / q(z).sum()
        return float(aggregate * sum(r[n] * log_p(n, z) for n in range(3)))

    np.testing.assert_allclose(left, area(at, -8, 8), rtol=1e-8)


def test_eq_space_best_decoder() -> None:
    """The probability that an optimiser finds, against the weighted mean of the pixels."""
    r, x = np.array([0.2, 0.5, 0.3]), np.array([0.0, 0.9, 0.4])
    found = optimize.minimize_scalar(
        lambda p: -(r * (x * math.log(p) + (1 - x) * math.log(1 - p))).sum(),
        bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-10},
    ).x  # fmt: skip
    np.testing.assert_allclose((r * x).sum(), found, atol=1e-6)


def test_eq_space_two_sample() -> None:
    """Accuracy of every threshold on z, by the normal cdf; the best one against the integral."""
    a, b = stats.norm(0.3, 1.2), stats.norm(-0.8, 1.2)
    cuts = np.linspace(-8, 8, 20_001)
    accuracy = 0.5 * a.sf(cuts) + 0.5 * b.cdf(cuts)
    bound = 0.5 + 0.25 * area(lambda z: abs(a.pdf(z) - b.pdf(z)), -12, 12)
    np.testing.assert_allclose(accuracy.max(), bound, atol=1e-6)
    positive = area(lambda z: max(a.pdf(z) - b.pdf(z), 0), -12, 12)
    np.testing.assert_allclose(0.5 + 0.5 * positive, bound, atol=1e-9)


# Arithmetic ----------------------------------------------------------------------------------------


def test_eq_space_confounded() -> None:
    """Raw labelled points: the difference of two overall means, against its two parts."""
    rng = np.random.default_rng(4)
    means, shares = {}, {}
    overall = {}
    for group, counts in (("thick", (5, 1, 4)), ("thin", (2, 7, 6))):
        points = [rng.normal(size=(n, 2)) + 3 * k for k, n in enumerate(counts)]
        overall[group] = np.concatenate(points).mean(axis=0)
        means[group] = np.array([part.mean(axis=0) for part in points])
        shares[group] = np.array(counts) / sum(counts)
    within = (0.5 * (shares["thick"] + shares["thin"]))[:, None] * (means["thick"] - means["thin"])
    between = (shares["thick"] - shares["thin"])[:, None] * 0.5 * (means["thick"] + means["thin"])
    np.testing.assert_allclose((within + between).sum(axis=0), overall["thick"] - overall["thin"])
