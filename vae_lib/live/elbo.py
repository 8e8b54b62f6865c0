"""The ELBO and its gap in a model whose posterior is known."""

import numpy as np
from matplotlib.figure import Figure

from vae_lib.live.base import LiveFigure
from vae_lib.plotting import COLORS


class ElboGap(LiveFigure):
    r"""Drag q over the posterior of a model with one latent coordinate; ELBO plus gap stays log p(x).

    .. math:: z \sim \mathcal N(0, 1), \qquad x \mid z \sim \mathcal N(1.2 z + a \sin 2.5 z, 0.5^2)

    Args:
        x: the observation.
        amplitude: a, the only parameter of the model.
        mu: mean of q.
        sigma: its width.

    Book: eq-elbo-identity.

    >>> ElboGap(x=0.2).state["x"]
    0.2
    """

    tag = "live-elbo"

    def __init__(self, x: float = 1.0, amplitude: float = 1.0, mu: float = 0.3, sigma: float = 0.5) -> None:
        super().__init__({"x": x, "amplitude": amplitude, "mu": mu, "sigma": sigma})

    def draw_still(self, figure: Figure) -> None:
        x, a, mu, sigma = self.state.values()
        z = np.linspace(-3, 3, 601)
        joint = np.exp(-0.5 * z**2 - 0.5 * ((x - 1.2 * z - a * np.sin(2.5 * z)) / 0.5) ** 2)
        ax = figure.subplots()
        ax.fill_between(
            z, joint / np.trapezoid(joint, z), color=COLORS["posterior"], alpha=0.45, label="$p(z|x)$"
        )
        q = np.exp(-0.5 * ((z - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        ax.plot(z, q, color=COLORS["encoder"], label="$q(z)$")
        ax.set(xlabel="$z$", ylabel="density")
        ax.legend()
