"""Checks that teach: what was expected, what came, and which mistake gives just that value."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def expect(
    got: Any,
    expected: Any,
    *,
    what: str = "the result",
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Raise an AssertionError that a learner can act on unless ``got`` equals ``expected``.

    Args:
        got: what the answer returned: a number, an array or a tensor.
        expected: the true value, of the same shape.
        what: how to name the value in the message.
        mistakes: message -> the value which that mistake gives. The messages of all mistakes that
            explain ``got`` are shown. Values that equal ``expected`` here explain nothing and are left out.
        rtol: relative tolerance.
        atol: absolute tolerance.
    Raises:
        AssertionError: the answer is missing, not a number, of another shape, not finite, or wrong.

    >>> expect(torch.ones(2), [1.0, 1.0])
    >>> expect(1.5, 3.0, mistakes={"is the one half in it twice?": 1.5})
    Traceback (most recent call last):
        ...
    AssertionError: the result should be 3, and yours is 1.5.
    Just that comes of: is the one half in it twice?
    """
    value, truth = _as_array(got, what), _as_array(expected, "the expected value")
    if value.shape != truth.shape:
        raise AssertionError(
            f"{what} should have the shape {truth.shape}, and yours has {value.shape}: "
            "look at the axes you sum or average over."
        )
    if _close(value, truth, rtol, atol):
        return
    if np.isnan(value).any() and not np.isnan(truth).any():
        raise AssertionError(f"{what} should be {_show(truth)}, and yours holds NaN: {_show(value)}.")
    message = f"{what} should be {_show(truth)}, and yours is {_show(value)}."
    reasons = [
        reason
        for reason, wrong in (mistakes or {}).items()
        if _explains(value, truth, _as_array(wrong, "the value of a mistake"), rtol, atol)
    ]
    if not reasons and _close(value, -truth, rtol, atol):
        reasons = ["the sign is turned round."]
    if reasons:
        message += " Just that comes of: " + " Or: ".join(reasons)
    raise AssertionError(message)


def _as_array(value: Any, what: str) -> np.ndarray:
    if value is None:
        raise AssertionError(f"{what} is None: does every path of your function end in a return?")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"{what} should be numbers, and yours is a {type(value).__name__}: {value!r:.200}"
        ) from error


def _close(a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> bool:
    return bool(np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True))


def _explains(value: np.ndarray, truth: np.ndarray, wrong: np.ndarray, rtol: float, atol: float) -> bool:
    try:
        wrong = np.broadcast_to(wrong, truth.shape)
    except ValueError:
        return False
    return _close(value, wrong, rtol, atol) and not _close(wrong, truth, rtol, atol)


def _show(value: np.ndarray) -> str:
    """A number as it is, the first few of many."""
    if value.ndim == 0:
        return f"{float(value):.6g}"
    flat = value.ravel()
    shown = ", ".join(f"{number:.6g}" for number in flat[:4])
    return f"[{shown}{', ...' if flat.size > 4 else ''}]"
