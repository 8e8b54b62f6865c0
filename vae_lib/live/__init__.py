"""Figures to touch, on a page without a kernel as well as in a notebook: a class and a script each."""

from vae_lib.live.beta import BetaDial, record_betas
from vae_lib.live.draw import DrawDigit
from vae_lib.live.elbo import ElboGap
from vae_lib.live.kl import KLExplorer
from vae_lib.live.latent import LatentExplorer
from vae_lib.live.race import GradientRace
from vae_lib.live.reparam import Reparameterization
from vae_lib.live.replay import TrainingReplay, record_frame, record_run
from vae_lib.live.twospaces import TwoSpaces

__all__ = [
    "BetaDial",
    "DrawDigit",
    "ElboGap",
    "GradientRace",
    "KLExplorer",
    "LatentExplorer",
    "Reparameterization",
    "TrainingReplay",
    "TwoSpaces",
    "record_betas",
    "record_frame",
    "record_run",
]
