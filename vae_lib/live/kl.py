"""The KL divergence between two Gaussians, to be dragged."""

import numpy as np
from matplotlib.figure import Figure

from vae_lib.live.base import LiveFigure
from vae_lib.plotting import COLORS


class KLExplorer(LiveFigure):
    """Two Gaussians to drag: densities, the integrand, both divergences, an estimate from samples.

    Args:
        mu_q: mean of q.
        sigma_q: its width.
        mu_p: mean of p.
        sigma_p: its width.
        direction: which divergence is drawn and sampled, "q to p" or "p to q".
        draws: number of samples in the estimate, up to 1000.

    Book: eq-kl-univariate.

    >>> explorer = KLExplorer(mu_q=1.0, sigma_q=0.5)
    >>> explorer.state = {"mu_q": 0.0}
    >>> explorer.state["mu_q"], explorer.state["sigma_q"]
    (0.0, 0.5)
    """

    tag = "live-kl"

    def __init__(
        self,
        mu_q: float = 1.0,
        sigma_q: float = 0.5,
        mu_p: float = 0.0,
        sigma_p: float = 1.0,
        direction: str = "q to p",
        draws: int = 30,
    ) -> None:
        super().__init__(
            {
                "mu_q": mu_q,
                "sigma_q": sigma_q,
                "mu_p": mu_p,
                "sigma_p": sigma_p,
                "direction": direction,
                "draws": draws,
                "seed": 1,
            }
        )

    def draw_still(self, figure: Figure) -> None:
        ax = figure.subplots()
        x = np.linspace(-6, 6, 481)
        for name, color in (("q", COLORS["posterior"]), ("p", COLORS["prior"])):
            mu, sigma = self.state[f"mu_{name}"], self.state[f"sigma_{name}"]
            density = np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
            ax.plot(x, density, color=color, label=f"${name}$")
        ax.set(xlabel="$x$", ylabel="density")
        ax.legend()
