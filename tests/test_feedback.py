"""`expect` passes what is right, and names the mistake in what is wrong."""

import numpy as np
import pytest
import torch

import vae_lib as vl


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.0, 1),
        (torch.tensor(2.0, requires_grad=True), 2.0),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (torch.ones(2, 3), np.ones((2, 3))),
        (float("inf"), float("inf")),
        (1.0 + 1e-7, 1.0),
    ],
)
def test_a_right_answer_passes(got, expected):
    assert vl.expect(got, expected) is None


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        (None, 1.0, "return"),
        ("one", 1.0, "str"),
        (torch.ones(3), 1.0, r"shape \(\), and yours has \(3,\)"),
        (torch.ones(1), torch.ones(2), "axes"),
        (float("nan"), 1.0, "NaN"),
        (float("inf"), 1.0, "yours is inf"),
        (-3.0, 3.0, "sign"),
        (1.001, 1.0, "should be 1, and yours is 1.001"),
        ([1.0, 2.0, 3.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0, 5.0], r"1, 2, 3, 4, \.\.\."),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong_with_it(got, expected, message):
    with pytest.raises(AssertionError, match=message):
        vl.expect(got, expected)


def explain(got, expected, mistakes):
    with pytest.raises(AssertionError) as caught:
        vl.expect(got, expected, what="the KL", mistakes=mistakes)
    return str(caught.value)


def test_the_mistake_that_gives_the_value_is_named_and_no_other():
    mistakes = {"did it lose a half?": 6.0, "is a half in it twice?": 1.5}
    assert "twice" in explain(1.5, 3.0, mistakes)
    assert "lose" not in explain(1.5, 3.0, mistakes)
    assert "comes of" not in explain(2.9, 3.0, mistakes)
    assert explain(2.9, 3.0, mistakes).startswith("the KL should be 3")


def test_mistakes_that_cannot_be_told_apart_are_all_named():
    message = explain(6.0, 3.0, {"first": 6.0, "second": 6.0})
    assert "first Or: second" in message


def test_a_mistake_that_gives_the_right_value_here_is_not_blamed():
    # At zero every sign is right, so a wrong sign explains nothing.
    assert "sign of" not in explain(1.0, 0.0, {"sign of the mean": -0.0})


def test_mistakes_may_be_arrays_or_one_number_for_all():
    assert "constant" in explain(np.zeros(2), np.array([1.0, 2.0]), {"a constant": 0.0})
    assert "swapped" in explain([2.0, 1.0], [1.0, 2.0], {"swapped": [2.0, 1.0]})
    assert "other shape" not in explain([2.0, 1.0], [1.0, 2.0], {"other shape": [1.0, 2.0, 3.0]})
