"""Equations of the chapter on a VAE in NumPy, each against an independent truth."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from scipy import optimize, special

Weights = dict[str, np.ndarray]


def assert_close(left: object, right: object, tol: float = 1e-8) -> None:
    np.testing.assert_allclose(left, right, rtol=tol, atol=tol)


def slope(function: Callable[[float], float], at: float, h: float = 1e-3) -> float:
    """Derivative by a five-point difference quotient, error of order h^4."""
    return (function(at - 2 * h) - 8 * function(at - h) + 8 * function(at + h) - function(at + 2 * h)) / (
        12 * h
    )


def slopes(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Derivative of a function of an array with respect to each entry."""
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):

        def along(value: float, index: tuple[int, ...] = index) -> float:
            moved = at.copy()
            moved[index] = value
            return function(moved)

        result[index] = slope(along, at[index])
    return result


def autograd(function: Callable[..., torch.Tensor], *arrays: np.ndarray) -> list[np.ndarray]:
    tensors = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    return [g.numpy() for g in torch.autograd.grad(function(*tensors), tensors)]


def test_eq_numpy_chain() -> None:
    # Three users of t, joined by a loss that couples them.
    users = (np.sin, lambda t: t**3, lambda t: np.exp(-t))

    def loss(y: np.ndarray) -> float:
        return float(y[0] * y[1] + np.log(1 + y[2] ** 2) + y[0] ** 2)

    t = 0.8
    y = np.array([user(t) for user in users])
    by_user = slopes(loss, y)
    local = np.array([np.cos(t), 3 * t**2, -np.exp(-t)])
    assert_close((by_user * local).sum(), slope(lambda s: loss(np.array([u(s) for u in users])), t))


def test_eq_numpy_two_paths() -> None:
    eps, x = 1.2, 2.0

    def loss(mu: float, v: float) -> float:
        z = mu + np.exp(v / 2) * eps
        return float(0.5 * (z - x) ** 2 + 0.5 * (mu**2 + np.exp(v) - 1 - v))

    for mu, v in ((0.5, -0.4), (-1.1, 0.7)):
        z = mu + np.exp(v / 2) * eps
        d_mu = (z - x) + mu
        d_v = (z - x) * 0.5 * np.exp(v / 2) * eps + 0.5 * (np.exp(v) - 1)
        assert_close(d_mu, slope(lambda m, v=v: loss(m, v), mu))
        assert_close(d_v, slope(lambda w, mu=mu: loss(mu, w), v))


def test_eq_numpy_central() -> None:
    # For t^3 the series ends with the displayed term; rational numbers leave no rounding.
    t, step = Fraction(7, 5), Fraction(1, 10)
    quotient = ((t + step) ** 3 - (t - step) ** 3) / (2 * step)
    assert quotient == 3 * t**2 + step**2 / 6 * 6
    # The two one-sided series, on a function whose derivatives are all exp(t).
    h = 1e-2
    for sign in (1, -1):
        series = np.exp(1.0) * (1 + sign * h + h**2 / 2 + sign * h**3 / 6)
        assert abs(np.exp(1.0 + sign * h) - series) < 2 * h**4 / 24 * np.exp(1.0)


def test_eq_numpy_best_step() -> None:
    rho, f, third = 1e-4, 3.0, 5.0
    error = lambda step: step**2 / 6 * third + rho * f / step  # noqa: E731
    best = (3 * rho * f / third) ** (1 / 3)
    found = optimize.minimize_scalar(error, bounds=(1e-4, 1.0), method="bounded", options={"xatol": 1e-12})
    assert_close(best, found.x, tol=1e-6)
    assert_close(best / 3 * third - rho * f / best**2, 0.0, tol=1e-12)
    assert_close(best / 3 * third - rho * f / best**2, slope(error, best, 1e-5), tol=1e-8)


def linear_case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((5, 3)),
        rng.standard_normal((3, 4)),
        rng.standard_normal(4),
        rng.standard_normal((5, 4)),
    )


def test_eq_numpy_linear_weights() -> None:
    x, W, b, target = linear_case()
    d_y = 3 * (x @ W + b - target) ** 2
    numeric = slopes(lambda V: float(((x @ V + b - target) ** 3).sum()), W)
    assert_close(x.T @ d_y, numeric)
    assert_close([[sum(d_y[n, o] * x[n, i] for n in range(5)) for o in range(4)] for i in range(3)], numeric)


def test_eq_numpy_linear_bias() -> None:
    x, W, b, target = linear_case()
    d_y = 3 * (x @ W + b - target) ** 2
    assert_close(d_y.sum(axis=0), slopes(lambda c: float(((x @ W + c - target) ** 3).sum()), b))


def test_eq_numpy_linear_input() -> None:
    x, W, b, target = linear_case()
    d_y = 3 * (x @ W + b - target) ** 2
    numeric = slopes(lambda u: float(((u @ W + b - target) ** 3).sum()), x)
    assert_close(d_y @ W.T, numeric)
    assert_close([[sum(d_y[n, o] * W[i, o] for o in range(4)) for i in range(3)] for n in range(5)], numeric)


def test_eq_numpy_relu() -> None:
    a = np.array([-2.0, -0.3, 0.4, 1.7])
    d_h = 3 * np.maximum(a, 0) ** 2 + np.array([1.0, 2.0, 3.0, 4.0])
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)

    def loss(t: torch.Tensor) -> torch.Tensor:
        h = torch.relu(t)
        return (h**3 + weight * h).sum()

    assert_close(np.where(a > 0, d_h, 0.0), autograd(loss, a)[0], tol=1e-13)


def test_eq_numpy_softplus() -> None:
    logits = np.array([-700.0, -20.0, -0.7, 0.0, 0.4, 15.0, 700.0])
    stable = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
    assert_close(stable, np.logaddexp(0, logits), tol=1e-14)
    positive = np.array([0.4, 15.0])
    assert_close(positive + np.log(1 + np.exp(-positive)), np.log(1 + np.exp(positive)), tol=1e-14)


def test_eq_numpy_logits() -> None:
    for x in (0.0, 0.3, 1.0):
        for logit in (-3.0, 0.2, 1.9):
            cost = lambda t, x=x: float(np.log(1 + np.exp(t)) - x * t)  # noqa: E731
            assert_close(special.expit(logit) - x, slope(cost, logit), tol=1e-10)


def test_eq_numpy_sigmoid() -> None:
    logits = np.array([-800.0, -30.0, -1.3, 0.0, 0.6, 40.0, 800.0])
    assert_close(0.5 * (1 + np.tanh(logits / 2)), special.expit(logits), tol=1e-15)
    middle = logits[2:5]
    quotient = (1 - np.exp(-middle)) / (1 + np.exp(-middle))
    assert_close(quotient, np.tanh(middle / 2), tol=1e-14)
    assert_close(1 + np.tanh(middle / 2), 2 / (1 + np.exp(-middle)), tol=1e-14)


def test_eq_numpy_batch() -> None:
    rng = np.random.default_rng(1)
    x, logits = rng.random((3, 4)), rng.standard_normal((3, 4))

    def loss(t: torch.Tensor) -> torch.Tensor:
        p = torch.distributions.Bernoulli(logits=t, validate_args=False)
        return -p.log_prob(torch.tensor(x)).sum(dim=1).mean()

    assert_close((special.expit(logits) - x) / 3, autograd(loss, logits)[0], tol=1e-13)


def test_eq_numpy_noise() -> None:
    for mu, v, eps in ((0.3, -1.2, 0.8), (-0.5, 0.9, -1.7)):
        z = lambda m, w, e=eps: float(m + np.sqrt(np.exp(w)) * e)  # noqa: E731
        assert_close(1.0, slope(lambda m, v=v, z=z: z(m, v), mu))
        assert_close(0.5 * np.exp(v / 2) * eps, slope(lambda w, mu=mu, z=z: z(mu, w), v), tol=1e-10)


def kl_of(mu: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q = torch.distributions.Normal(mu, torch.exp(v).sqrt())
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=-1)


def test_eq_numpy_kl() -> None:
    mu, v = np.array([-1.3, 0.2, 2.0]), np.array([-2.0, 0.4, 1.1])
    d_mu, d_v = autograd(kl_of, mu, v)
    assert_close(mu, d_mu, tol=1e-13)
    assert_close(0.5 * (np.exp(v) - 1), d_v, tol=1e-13)


def test_eq_numpy_code() -> None:
    mu, v, eps, c = np.random.default_rng(2).standard_normal((4, 5, 3))

    def loss(m: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        z = m + torch.exp(w).sqrt() * torch.tensor(eps)
        return (torch.sin(torch.tensor(c) * z).sum(dim=1) + kl_of(m, w)).mean()

    sigma = np.exp(v / 2)
    d_z = c * np.cos(c * (mu + sigma * eps)) / 5
    d_mu, d_v = autograd(loss, mu, v)
    assert_close(d_z + mu / 5, d_mu, tol=1e-13)
    assert_close(d_z * sigma * eps / 2 + (np.exp(v) - 1) / (2 * 5), d_v, tol=1e-13)


def test_eq_numpy_heads() -> None:
    rng = np.random.default_rng(3)
    h, W_mu, W_v = rng.standard_normal((4, 6)), rng.standard_normal((6, 2)), rng.standard_normal((6, 2))

    def loss(t: torch.Tensor) -> torch.Tensor:
        return (torch.sin(t @ torch.tensor(W_mu)) * torch.exp(t @ torch.tensor(W_v))).sum()

    mu, v = h @ W_mu, h @ W_v
    d_mu, d_v = np.cos(mu) * np.exp(v), np.sin(mu) * np.exp(v)
    judged = autograd(loss, h)[0]
    np.testing.assert_allclose(d_mu @ W_mu.T + d_v @ W_v.T, judged, rtol=1e-12, atol=1e-12)


def test_eq_numpy_init() -> None:
    # Weights of +-1/sqrt(m) with equal chance have mean 0 and variance 1/m: enumerate all of them.
    x = np.array([0.3, -1.2, 2.0, 0.7, 1.1])
    m = len(x)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * m)).reshape(m, -1)
    y = x @ signs / np.sqrt(m)
    assert_close((x**2 / m).sum(), y.var(), tol=1e-13)
    assert_close((x**2 * (1 / m)).sum(), (x**2).mean(), tol=1e-13)


def make_vae(rng: np.random.Generator) -> tuple[Weights, np.ndarray, np.ndarray]:
    D, H, L, B = 7, 6, 3, 5
    shapes = {
        "W1": (D, H), "b1": (H,), "W_mu": (H, L), "b_mu": (L,), "W_v": (H, L), "b_v": (L,),
        "W2": (L, H), "b2": (H,), "W3": (H, D), "b3": (D,),
    }  # fmt: skip
    weights = {name: 0.6 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return weights, rng.random((B, D)), rng.standard_normal((B, L))


def torch_loss(w: dict[str, torch.Tensor], x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
    h = torch.relu(x @ w["W1"] + w["b1"])
    mu, v = h @ w["W_mu"] + w["b_mu"], h @ w["W_v"] + w["b_v"]
    u = torch.relu((mu + torch.exp(v).sqrt() * eps) @ w["W2"] + w["b2"])
    p = torch.distributions.Bernoulli(logits=u @ w["W3"] + w["b3"], validate_args=False)
    return (kl_of(mu, v) - p.log_prob(x).sum(dim=1)).mean()


def test_eq_numpy_backward() -> None:
    w, x, eps = make_vae(np.random.default_rng(4))
    B = len(x)
    a = x @ w["W1"] + w["b1"]
    h = np.maximum(a, 0)
    mu, v = h @ w["W_mu"] + w["b_mu"], h @ w["W_v"] + w["b_v"]
    sigma = np.exp(v / 2)
    z = mu + sigma * eps
    c = z @ w["W2"] + w["b2"]
    u = np.maximum(c, 0)
    d_logits = (special.expit(u @ w["W3"] + w["b3"]) - x) / B
    d_c = (d_logits @ w["W3"].T) * (u > 0)
    d_z = d_c @ w["W2"].T
    d_mu = d_z + mu / B
    d_v = d_z * sigma * eps / 2 + (np.exp(v) - 1) / (2 * B)
    d_a = (d_mu @ w["W_mu"].T + d_v @ w["W_v"].T) * (h > 0)
    inputs = {"1": (x, d_a), "_mu": (h, d_mu), "_v": (h, d_v), "2": (z, d_c), "3": (u, d_logits)}

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in w.items()}
    torch_loss(tensors, torch.tensor(x), torch.tensor(eps)).backward()
    for key, (value, d_out) in inputs.items():
        assert_close(value.T @ d_out, tensors["W" + key].grad.numpy(), tol=1e-12)
        assert_close(d_out.sum(axis=0), tensors["b" + key].grad.numpy(), tol=1e-12)


def test_eq_numpy_directional() -> None:
    # Gradient by hand of a function of three weights; the left side by a difference quotient.
    w, r = np.array([0.4, -0.8, 1.3]), np.array([0.9, 0.5, -1.1])
    gradient = np.array([w[1] * np.cos(w[0] * w[1]), w[0] * np.cos(w[0] * w[1]) + w[2], w[1] + 2 * w[2]])

    def loss(p: np.ndarray) -> float:
        return float(np.sin(p[0] * p[1]) + p[1] * p[2] + p[2] ** 2)

    assert_close((gradient * r).sum(), slope(lambda t: loss(w + t * r), 0.0), tol=1e-10)


def test_eq_numpy_adam_unrolled() -> None:
    g, beta = np.random.default_rng(5).standard_normal(9), 0.9
    m = 0.0
    for t in range(1, 10):
        m = beta * m + (1 - beta) * g[t - 1]
        assert_close((1 - beta) * sum(beta ** (t - i) * g[i - 1] for i in range(1, t + 1)), m, tol=1e-14)


def test_eq_numpy_adam_mean() -> None:
    # Gradients are 1 or 4 with chances 0.3 and 0.7: run the recursion on all 2^t histories.
    beta, values, chances = 0.8, (1.0, 4.0), (0.3, 0.7)
    states = [(0.0, 1.0)]
    for t in range(1, 7):
        states = [
            (beta * m + (1 - beta) * g, chance * p)
            for m, chance in states
            for g, p in zip(values, chances, strict=True)
        ]
        expected = sum(m * chance for m, chance in states)
        assert_close((1 - beta**t) * (0.3 * 1.0 + 0.7 * 4.0), expected, tol=1e-13)
        assert_close(sum(beta**k for k in range(t)), (1 - beta**t) / (1 - beta), tol=1e-13)


def test_eq_numpy_adam_first() -> None:
    g, eta, delta = np.array([3.0, -0.02, 1e-3, -1e-8]), 0.01, 1e-8
    w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], lr=eta, betas=(0.9, 0.999), eps=delta)
    w.grad = torch.tensor(g)
    optimizer.step()
    moved = w.detach().numpy()
    np.testing.assert_allclose(-eta * g / (np.abs(g) + delta), moved, rtol=1e-9)
    np.testing.assert_allclose(-eta * np.sign(g[:3]), moved[:3], rtol=2e-5)
