"""The reparameterization trick: noise that stays, samples that follow, and the way of the gradient."""

import numpy as np
import torch
from matplotlib.figure import Figure

from vae_lib.live.base import LiveFigure
from vae_lib.plotting import COLORS


class Reparameterization(LiveFigure):
    """Dots of fixed noise and the samples made of them, which follow mean and width; the gradient as well.

    Args:
        mu: mean of the samples z.
        sigma: their width.
        dots: how many samples there are, up to 100.
        mode: "reparameterize", z = mu + sigma eps with noise that stays, or "sample", fresh draws each time.

    Book: eq-reparam-substitution, eq-reparam-pathwise.

    >>> figure = Reparameterization(mu=0.5)
    >>> figure.state = {"mode": "sample"}
    >>> figure.state["mu"], figure.state["mode"]
    (0.5, 'sample')
    """

    tag = "live-reparameterization"

    def __init__(
        self, mu: float = 1.0, sigma: float = 0.5, dots: int = 15, mode: str = "reparameterize"
    ) -> None:
        super().__init__(
            {"mode": mode, "mu": mu, "sigma": sigma, "dots": dots, "dot": min(4, dots), "step": 4, "seed": 1}
        )

    def draw_still(self, figure: Figure) -> None:
        mu, sigma, dots = (self.state[key] for key in ("mu", "sigma", "dots"))
        eps = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(dots) + 0.5) / dots).numpy()
        z = mu + sigma * eps
        ax = figure.subplots()
        x = np.linspace(-5, 5, 401)
        density = np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        ax.plot(x, density, color=COLORS["mu"])
        ax.plot([eps, z], [[-1] * dots, [0] * dots], color=COLORS["x"], alpha=0.3, lw=1)
        ax.plot(eps, [-1] * dots, "o", color="#6b7280", label=r"$\epsilon$")
        ax.plot(z, [0] * dots, "o", color=COLORS["z"], label=r"$z = \mu + \sigma\epsilon$")
        ax.set(yticks=[], xlim=(-5, 5))
        ax.legend()
