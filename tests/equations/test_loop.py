"""Equations of the chapter "The training loop, opened", against enumeration, simulation or torch."""

import itertools
import math

import numpy as np
import torch
from torch import nn

import vae_lib as vl

RNG = np.random.default_rng(0)


def test_eq_loop_batch_variance():
    # Every batch without replacement is counted.
    for n, b in [(7, 3), (6, 1), (5, 5), (8, 6)]:
        a = RNG.normal(size=n) * 3
        means = [np.mean(batch) for batch in itertools.combinations(a, b)]
        formula = a.var() / b * (n - b) / (n - 1)
        np.testing.assert_allclose(np.var(means), formula, atol=1e-12)


def test_eq_loop_accumulate():
    # One backward pass through a mean over 10 examples, against parts of 4, 4 and 2.
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(10, 3, dtype=torch.float64)

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])

    whole = gradient((net(x) ** 2).mean())
    parts = sum(gradient((net(part) ** 2).sum() / len(x)) for part in x.split(4))
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-14)


def test_eq_loop_epoch_mean():
    # Batches of different sizes; and what `train` writes into its history.
    a = RNG.normal(size=23)
    batches = np.split(a, [5, 6, 18])
    weighted = sum(len(batch) / len(a) * batch.mean() for batch in batches)
    np.testing.assert_allclose(weighted, a.mean(), atol=1e-14)

    x = torch.rand(10, 6)
    model = vl.dense_vae(6, (4,), 2)
    seen = []

    def objective(model, batch):
        terms = vl.elbo(model, batch)
        seen.append(terms.elbo.detach().double())
        return terms

    history = vl.train(
        model, x, objective=objective, config=vl.TrainConfig(epochs=1, batch_size=4), progress=False
    )
    by_batch = sum(len(part) / 10 * part.mean().item() for part in seen)
    assert [len(part) for part in seen] == [4, 4, 2]
    assert math.isclose(history["train_elbo"][0], by_batch, rel_tol=1e-6)


H, S, ETA = 1.7, 0.6, 0.4


def settled_square():
    """The mean square of w as a sum over all past noise, w = -eta sum_k (1 - eta h)^k xi_k."""
    return sum((ETA * (1 - ETA * H) ** k * S) ** 2 for k in range(2000))


def test_eq_loop_recursion():
    # Noise of +-S with equal probability: all paths of five steps are enumerated.
    squares = {0: [2.0**2]}
    paths = [2.0]
    for t in range(1, 6):
        paths = [w - ETA * (H * w + sign * S) for w in paths for sign in (-1, 1)]
        squares[t] = [w**2 for w in paths]
    for t in range(5):
        formula = (1 - ETA * H) ** 2 * np.mean(squares[t]) + ETA**2 * S**2
        np.testing.assert_allclose(np.mean(squares[t + 1]), formula, rtol=1e-12)


def test_eq_loop_floor():
    formula = ETA * S**2 / (H * (2 - ETA * H))
    np.testing.assert_allclose(formula, settled_square(), rtol=1e-12)
    # The two lines before it.
    np.testing.assert_allclose(settled_square() * (1 - (1 - ETA * H) ** 2), ETA**2 * S**2, rtol=1e-12)
    np.testing.assert_allclose(settled_square() * ETA * H * (2 - ETA * H), ETA**2 * S**2, rtol=1e-12)


def test_eq_loop_cosine():
    config = vl.TrainConfig(epochs=4, lr=0.3, lr_schedule="cosine")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    for t in range(40):
        formula = 0.5 * 0.3 * (1 + math.cos(math.pi * t / 40))
        assert math.isclose(formula, optimizer.param_groups[0]["lr"], rel_tol=1e-9)
        assert math.isclose(formula, config.lr_at(t, 10), rel_tol=1e-12)
        optimizer.step()
        scheduler.step()


def test_eq_loop_cosine_mean():
    for epochs, per_epoch in [(1, 1), (2, 3), (7, 50)]:
        config = vl.TrainConfig(epochs=epochs, lr=0.3, lr_schedule="cosine")
        T = epochs * per_epoch
        mean = np.mean([config.lr_at(t, per_epoch) for t in range(T)])
        np.testing.assert_allclose(0.3 / 2 * (1 + 1 / T), mean, rtol=1e-12)
        # The step in the middle: only the cosine of t = 0 is left of the sum.
        assert math.isclose(sum(math.cos(math.pi * t / T) for t in range(T)), 1.0, abs_tol=1e-12)


def test_eq_loop_one_cycle():
    config = vl.TrainConfig(epochs=8, lr=0.3, lr_schedule="one-cycle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=20)
    down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60, eta_min=0.3 / 50)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[20])
    for t in range(80):
        s = t / 80
        rise = 0.3 * (1 / 10 + 9 / 10 * 4 * s)
        fall = 0.3 * (1 / 50 + 49 / 50 * (1 + math.cos(math.pi * (4 * s - 1) / 3)) / 2)
        formula = rise if s < 1 / 4 else fall
        assert math.isclose(formula, optimizer.param_groups[0]["lr"], rel_tol=1e-9)
        assert math.isclose(formula, config.lr_at(t, 10), rel_tol=1e-12)
        optimizer.step()
        scheduler.step()
    # The two pieces meet at the peak.
    assert math.isclose(config.lr_at(20, 10), 0.3, rel_tol=1e-12)


def test_eq_loop_start():
    from scipy.optimize import minimize_scalar

    torch.manual_seed(0)
    x = torch.rand(50, 5, dtype=torch.float64) ** 3
    formula = torch.log(x.mean(0) / (1 - x.mean(0)))
    for d in range(5):  # the best constant logit, found by search
        best = minimize_scalar(
            lambda b, d=d: -vl.bernoulli_log_prob(x[:, d, None], torch.tensor([b])).sum().item(),
            bounds=(-20, 20),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert math.isclose(best.x, formula[d].item(), abs_tol=1e-5)
    model = vl.dense_vae(5, (4,), 2).double()
    vl.start_at_mean(model, torch.cat([x, torch.zeros(1, 5), torch.ones(1, 5)]))
    counted = (torch.cat([x, torch.zeros(2, 5), torch.ones(2, 5)])).mean(0)  # one more of each
    torch.testing.assert_close(list(model.decoder.net)[-1].bias.detach(), torch.logit(counted))


def test_eq_loop_warmup():
    config = vl.TrainConfig(beta=2.5, kl_warmup_epochs=3)
    points = np.interp(np.arange(60), [0, 30, 60], [0.0, 2.5, 2.5])  # straight up, then level
    for t in range(60):
        formula = 2.5 * min(1.0, t / 30)
        assert math.isclose(formula, points[t], abs_tol=1e-12)
        assert math.isclose(formula, config.beta_at(t, 10), abs_tol=1e-12)


def test_eq_loop_weighted():
    # log p(x|z) and the KL by torch.distributions; and the gradient that `train` follows.
    torch.manual_seed(0)
    x = torch.rand(5, 6)
    beta = 3.7
    model, copy = vl.dense_vae(6, (4,), 2), vl.dense_vae(6, (4,), 2)
    copy.load_state_dict(model.state_dict())

    def loss_by_torch(model):
        mu, logvar = model.encoder(x)
        q = torch.distributions.Normal(mu, torch.exp(logvar / 2))
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        torch.manual_seed(1)
        z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
        bce = nn.functional.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="none").sum(1)
        return bce + beta * kl

    def weighted(model):
        torch.manual_seed(1)
        terms = vl.elbo(model, x)
        return -(terms.elbo - (beta - 1) * terms.kl)

    torch.testing.assert_close(weighted(model), loss_by_torch(model), rtol=1e-5, atol=1e-5)
    ours = torch.autograd.grad(weighted(model).mean(), list(model.parameters()))
    theirs = torch.autograd.grad(loss_by_torch(copy).mean(), list(copy.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_eq_loop_clip():
    # Over two tensors of weights, so that a norm for each of them would fail.
    for c in (0.7, 50.0):
        gradients = [torch.tensor([3.0, -4.0]).double(), torch.tensor([[12.0]]).double()]
        weights = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
        for weight, g in zip(weights, gradients, strict=True):
            weight.grad = g.clone()
        nn.utils.clip_grad_norm_(weights, c)
        theirs = torch.cat([w.grad.flatten() for w in weights])
        g = torch.cat([g.flatten() for g in gradients])
        ours = min(1.0, c / 13.0) * g
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)
        assert math.isclose(theirs.norm().item(), min(13.0, c), rel_tol=1e-6)


def test_eq_loop_fresh_step():
    # Ten weights with gradients of all sizes and two without any.
    gradient = torch.tensor([1e-3, -2.0, 5.0, 0.1, -7e2, 3.0, 1.0, -1.0, 0.5, 8.0, 0.0, 0.0]).double()
    weight = nn.Parameter(torch.zeros(12, dtype=torch.float64))
    weight.grad = gradient
    torch.optim.Adam([weight], lr=0.02).step()
    assert math.isclose(weight.detach().norm().item(), 0.02 * math.sqrt(10), rel_tol=1e-4)


def test_eq_loop_noise_step():
    # Gradients +-1 with equal probability: the mean of m^2 over all sequences of t gradients.
    b1 = 0.9
    for t in (1, 2, 5, 10):
        squares = []
        for gradients in itertools.product((-1.0, 1.0), repeat=t):
            m = 0.0
            for g in gradients:
                m = b1 * m + (1 - b1) * g
            squares.append(m**2)
        formula = (1 - b1) / (1 + b1) * (1 - b1 ** (2 * t))
        np.testing.assert_allclose(np.mean(squares), formula, rtol=1e-12)
        second = (1 - b1) ** 2 * (1 - b1 ** (2 * t)) / (1 - b1**2)
        np.testing.assert_allclose(np.mean(squares), second, rtol=1e-12)


def test_eq_loop_memory():
    # Bytes counted tensor by tensor after one step.
    model = vl.dense_vae(50, (40,), 3)
    optimizer = torch.optim.Adam(model.parameters())
    vl.elbo(model, torch.rand(4, 50)).elbo.mean().backward()
    optimizer.step()
    weights = list(model.parameters())
    P = sum(w.numel() for w in weights)

    def bytes_of(tensors):
        return sum(t.numel() * t.element_size() for t in tensors)

    moments = [t for s in optimizer.state.values() for name, t in s.items() if name != "step"]
    stored = bytes_of(weights) + bytes_of(moments)
    assert stored == 12 * P
    assert stored + bytes_of(w.grad for w in weights) == 16 * P


def test_eq_loop_speedup():
    # T_M by laying out the work of M processes and one message after it.
    for t1 in (1.0, 10.0):
        for c in (0.0, 0.3, 4.9, 5.1, 9.95, 12.0):
            for m in (1, 2, 3, 16):
                work = np.zeros(m)
                for piece in range(48):
                    work[piece % m] += t1 / 48
                finished = work.max() + c
                np.testing.assert_allclose(finished, t1 / m + c, rtol=1e-12)
                if abs(finished - t1) > 1e-9:
                    assert (finished < t1) == (c < t1 * (1 - 1 / m))
