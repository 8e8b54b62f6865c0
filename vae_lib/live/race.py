"""Two estimators of the same gradient, dropping their estimates side by side."""

import numpy as np
from matplotlib.figure import Figure

from vae_lib.live.base import LiveFigure
from vae_lib.plotting import COLORS


class GradientRace(LiveFigure):
    r"""Score function against path: estimates of the same derivative rain onto an axis.

    .. math:: \partial\, \mathbb E[f(z)] / \partial \mu_1, \qquad f(z) = \sum_j z_j^2, \qquad
        z_j \sim \mathcal N(\mu, \sigma^2)

    Args:
        mu: mean of every coordinate of z.
        sigma: its width.
        samples: how many samples of z go into one estimate, up to 32.
        coordinates: how many coordinates z has, up to 32.
        baseline: what the score function subtracts from f, "none" or "best", the best constant.
        drops: number of estimates by each estimator, up to 1000.

    Book: eq-reparam-score, eq-reparam-pathwise.

    >>> race = GradientRace(coordinates=8)
    >>> race.state = {"baseline": "best"}
    >>> race.state["coordinates"], race.state["baseline"]
    (8, 'best')
    """

    tag = "live-gradient-race"

    def __init__(
        self,
        mu: float = 1.0,
        sigma: float = 0.5,
        samples: int = 1,
        coordinates: int = 1,
        baseline: str = "none",
        drops: int = 100,
    ) -> None:
        super().__init__(
            {
                "mu": mu,
                "sigma": sigma,
                "samples": samples,
                "coordinates": coordinates,
                "baseline": baseline,
                "drops": drops,
                "zoom": 1,
                "seed": 1,
            }
        )

    def draw_still(self, figure: Figure) -> None:
        mu, sigma, L, S = (self.state[key] for key in ("mu", "sigma", "coordinates", "samples"))
        eps = np.random.default_rng(0).standard_normal((400, S, L))
        z = mu + sigma * eps
        shift = L * (mu**2 + sigma**2) + 2 * sigma**2 if self.state["baseline"] == "best" else 0
        estimates = {
            "score function": ((z**2).sum(2) - shift) * eps[..., 0] / sigma,
            "pathwise": 2 * z[..., 0],
        }
        for ax, (name, values) in zip(figure.subplots(2, 1, sharex=True), estimates.items(), strict=True):
            ax.hist(values.mean(1), bins=40, color=COLORS["z" if name == "pathwise" else "prior"])
            ax.axvline(2 * mu, color=COLORS["x"], ls="--")
            ax.set(title=name, yticks=[])
