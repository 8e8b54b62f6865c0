"""vae_lib: the library of the book. Small enough to be read in one sitting, module by module:

distributions, networks, models, objectives, gradients, evaluation, diagnosis, processes, training: each is
built on those before it. data, plotting and feedback (checks of exercises) stand beside them, and the live
figures apart: `from vae_lib import live`.
"""

from vae_lib import plotting
from vae_lib.data import DataError, Dataset, bernoulli_sample, binarize, draw_sprites, load
from vae_lib.diagnosis import Diagnosis, diagnose
from vae_lib.distributions import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_kl_per_coordinate,
    gaussian_log_prob,
    reparameterize,
    standard_normal_log_prob,
)
from vae_lib.evaluation import (
    active_units,
    evaluate,
    frechet_distance,
    log_importance_weights,
    log_marginal,
    rate_decomposition,
)
from vae_lib.feedback import expect
from vae_lib.models import (
    VAE,
    Autoencoder,
    BernoulliDecoder,
    DeterministicEncoder,
    GaussianDecoder,
    GaussianEncoder,
    conv_vae,
    dense_vae,
    start_at_mean,
)
from vae_lib.networks import MLP, ConvDecoderBody, ConvEncoderBody
from vae_lib.objectives import (
    ElboTerms,
    IwaeTerms,
    ReconstructionTerms,
    elbo,
    iwae_bound,
    reconstruction,
)
from vae_lib.training import (
    CheckpointError,
    History,
    TrainConfig,
    read_checkpoint,
    seed_everything,
    train,
)

__all__ = [
    "MLP",
    "VAE",
    "Autoencoder",
    "BernoulliDecoder",
    "CheckpointError",
    "ConvDecoderBody",
    "ConvEncoderBody",
    "DataError",
    "Dataset",
    "DeterministicEncoder",
    "Diagnosis",
    "ElboTerms",
    "GaussianDecoder",
    "GaussianEncoder",
    "History",
    "IwaeTerms",
    "ReconstructionTerms",
    "TrainConfig",
    "active_units",
    "bernoulli_log_prob",
    "bernoulli_sample",
    "binarize",
    "conv_vae",
    "dense_vae",
    "diagnose",
    "draw_sprites",
    "elbo",
    "evaluate",
    "expect",
    "frechet_distance",
    "gaussian_kl",
    "gaussian_kl_per_coordinate",
    "gaussian_log_prob",
    "iwae_bound",
    "load",
    "log_importance_weights",
    "log_marginal",
    "plotting",
    "rate_decomposition",
    "read_checkpoint",
    "reconstruction",
    "reparameterize",
    "seed_everything",
    "standard_normal_log_prob",
    "start_at_mean",
    "train",
]
