"""Equations of the chapter on convolutional VAEs, each against PyTorch, brute force or enumeration."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import vae_lib as vl

# Kernel size, stride, padding: stride does and does not divide the kernel, and stride beyond it.
LAYERS = ((1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 2, 1), (5, 2, 2), (5, 3, 2), (2, 3, 1), (7, 4, 3))


def conv(x: Tensor, w: Tensor, s: int, p: int) -> Tensor:
    return F.conv1d(x[None, None], w[None, None], stride=s, padding=p)[0, 0]


def transposed(y: Tensor, w: Tensor, s: int, p: int, o: int = 0) -> Tensor:
    return F.conv_transpose1d(y[None, None], w[None, None], stride=s, padding=p, output_padding=o)[0, 0]


def out_size(n: int, k: int, s: int, p: int) -> int:
    return (n + 2 * p - k) // s + 1


def sizes() -> Iterator[tuple[int, int, int, int]]:
    """Every layer with every length up to 24 on which its kernel fits."""
    for k, s, p in LAYERS:
        for n in range(max(1, k - 2 * p), 25):
            yield n, k, s, p


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(math.prod(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def test_eq_conv_matrix() -> None:
    for n, k, s, p in sizes():
        w = noise(k)
        # Column t of the true matrix is the convolution of the unit vector t.
        true = torch.stack([conv(unit, w, s, p) for unit in torch.eye(n, dtype=torch.float64)], dim=1)
        matrix = torch.zeros_like(true)
        for i in range(len(true)):
            for t in range(n):
                if 0 <= t - s * i + p <= k - 1:
                    matrix[i, t] = w[t - s * i + p]
        torch.testing.assert_close(matrix, true)


def test_eq_conv_starts() -> None:
    # The windows that unfold finds at stride 1 in the padded row, named by their first place.
    for n, k, _, p in sizes():
        found = torch.arange(n + 2 * p).unfold(0, k, 1)[:, 0].tolist()
        by_end = [a for a in range(n + 2 * p + 5) if a + k - 1 <= n + 2 * p - 1]
        by_start = [a for a in range(n + 2 * p + 5) if 0 <= a <= n + 2 * p - k]
        assert found == by_end == by_start


def test_eq_conv_size() -> None:
    for n, k, s, p in sizes():
        assert math.floor((n + 2 * p - k) / s) + 1 == len(conv(torch.zeros(n), torch.zeros(k), s, p))


def test_eq_conv_halve() -> None:
    for n in range(1, 65):
        assert math.ceil(n / 2) == len(conv(torch.zeros(n), torch.zeros(3), 2, 1))


def test_eq_conv_count() -> None:
    for c_in, c_out, k, s, p in ((1, 8, 3, 2, 1), (8, 16, 3, 2, 1), (3, 5, 4, 1, 0)):
        layer = nn.Conv2d(c_in, c_out, k, stride=s, padding=p)
        with FlopCounterMode(display=False) as counter:
            _, _, m_h, m_w = layer(torch.zeros(1, c_in, 14, 11)).shape
        assert c_out * (c_in * k**2 + 1) == sum(q.numel() for q in layer.parameters())
        assert 2 * (c_out * c_in * k**2 * m_h * m_w) == counter.get_total_flops()


def test_eq_conv_receptive() -> None:
    # Positive weights: a pixel matters to an output exactly if its gradient is positive.
    for stack in (((3, 2), (3, 2), (3, 2)), ((3, 1), (5, 1)), ((4, 2), (3, 1), (5, 3)), ((2, 2), (2, 2))):
        x = torch.zeros(400, dtype=torch.float64, requires_grad=True)
        h: Tensor = x
        r, j = 1, 1
        for k, s in stack:
            h = conv(h, torch.ones(k, dtype=torch.float64), s, 0)
            middle = len(h) // 2
            (here,) = torch.autograd.grad(h[middle], x, retain_graph=True)
            (next_one,) = torch.autograd.grad(h[middle + 1], x, retain_graph=True)
            r, j = r + (k - 1) * j, s * j
            assert r == int((here > 0).sum())
            assert j == int(next_one.nonzero()[0, 0] - here.nonzero()[0, 0])


def test_eq_conv_transposed() -> None:
    for m, k, s, p in sizes():
        n = (m - 1) * s - 2 * p + k
        if n < 1:
            continue
        y, w = noise(m), noise(k)
        inside = [[i for i in range(m) if 0 <= t - s * i + p <= k - 1] for t in range(n)]
        ours = [sum((w[t - s * i + p] * y[i]).item() for i in rows) for t, rows in enumerate(inside)]
        np.testing.assert_allclose(ours, transposed(y, w, s, p).numpy(), rtol=1e-12, atol=1e-12)


def test_eq_conv_adjoint() -> None:
    for n, k, s, p in sizes():
        m = out_size(n, k, s, p)
        x, y, w = noise(n), noise(m), noise(k)
        o = n - ((m - 1) * s - 2 * p + k)
        torch.testing.assert_close(conv(x, w, s, p) @ y, x @ transposed(y, w, s, p, o))


def test_eq_conv_transposed_size() -> None:
    for k, s, p in LAYERS:
        for m in range(4, 12):
            # All lengths that shrink to m, found by trying, and the lengths of the formula.
            lengths = range(max(1, k - 2 * p), 80)
            tried = [n for n in lengths if len(conv(torch.zeros(n), torch.zeros(k), s, p)) == m]
            assert tried == [(m - 1) * s - 2 * p + k + o for o in range(s)]
            for o in range(s):
                grown = transposed(torch.zeros(m), torch.zeros(k), s, p, o)
                assert len(grown) == (m - 1) * s - 2 * p + k + o


def test_eq_conv_shift() -> None:
    # A row with wide zeros around it stands for the endless one.
    for k, s, p in LAYERS:
        x = torch.cat([torch.zeros(30), noise(12), torch.zeros(30)])
        w = noise(k)
        before, after = conv(x.roll(s), w, s, p), conv(x, w, s, p)
        torch.testing.assert_close(before[1:], after[:-1])
        assert after.abs().sum() > 0.1
        if s > 1 and k > 1:
            assert (conv(x.roll(1), w, s, p)[1:] - after[:-1]).abs().max() > 1e-3


def test_eq_conv_overlap() -> None:
    for m, k, s, p in sizes():
        if m < 20 or s > k:
            continue
        counts = transposed(torch.ones(m), torch.ones(k), s, p)
        for t in range(2 * k, len(counts) - 2 * k):
            copies = math.floor((t + p) / s) - math.ceil((t + p - k + 1) / s) + 1
            assert copies == round(counts[t].item())


def test_eq_conv_checkerboard() -> None:
    for k in range(1, 13):
        for s in range(1, 7):
            counts = transposed(torch.ones(80), torch.ones(k), s, 0)
            middle = counts[2 * (k + s) : len(counts) - 2 * (k + s)]
            assert (middle.unique().numel() == 1) == (k % s == 0)
            whole = middle[: len(middle) // s * s]
            assert abs(whole.mean().item() - k / s) < 1e-5


def test_eq_conv_dense_parameters() -> None:
    for D, h, L in ((784, 17, 10), (1024, 13, 7), (30, 5, 2)):
        model = vl.dense_vae(D, (h,), L)
        assert h * (2 * D + 3 * L + 2) + D + 2 * L == sum(q.numel() for q in model.parameters())


def test_eq_conv_permute() -> None:
    W, x = noise(4, 7), noise(7)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    P = torch.eye(7, dtype=torch.float64)[order]
    torch.testing.assert_close(P @ x, x[order])
    torch.testing.assert_close(P.T @ P, torch.eye(7, dtype=torch.float64))
    torch.testing.assert_close((W @ P.T) @ (P @ x), W @ x)
    # As the check cell does it: exchanged columns.
    torch.testing.assert_close(W @ P.T, W[:, order])
    assert (W @ P @ P @ x - W @ x).abs().max() > 1e-3
