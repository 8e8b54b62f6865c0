"""Equations of "From autoencoders to VAEs"."""

import numpy as np


def pull(mu: float, sigma: float) -> float:
    return 0.5 * (mu**2 + sigma**2 - np.log(sigma**2) - 1)


def test_eq_autoencoders_pull_gradient() -> None:
    """Both derivatives against central differences."""
    h = 1e-6
    for mu in (-2.0, 0.0, 0.7):
        for sigma in (0.2, 1.0, 2.5):
            by_mu = (pull(mu + h, sigma) - pull(mu - h, sigma)) / (2 * h)
            by_sigma = (pull(mu, sigma + h) - pull(mu, sigma - h)) / (2 * h)
            np.testing.assert_allclose(by_mu, mu, atol=1e-8)
            np.testing.assert_allclose(by_sigma, sigma - 1 / sigma, atol=1e-7)
