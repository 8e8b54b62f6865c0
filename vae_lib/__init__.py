"""vae_lib: the library of the book. Small enough to be read in one sitting, module by module:

distributions, networks, models, objectives, evaluation, training, each built on those before it, and
data and plotting beside them.
"""

from vae_lib import plotting
from vae_lib.data import DataError, Dataset, bernoulli_sample, binarize, draw_sprites, load
from vae_lib.distributions import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_kl_per_coordinate,
    gaussian_log_prob,
    reparameterize,
    standard_normal_log_prob,
)
from vae_lib.evaluation import evaluate
from vae_lib.models import (
    VAE,
    Autoencoder,
    BernoulliDecoder,
    DeterministicEncoder,
    GaussianDecoder,
    GaussianEncoder,
    conv_vae,
    dense_vae,
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
    "ElboTerms",
    "GaussianDecoder",
    "GaussianEncoder",
    "History",
    "IwaeTerms",
    "ReconstructionTerms",
    "TrainConfig",
    "bernoulli_log_prob",
    "bernoulli_sample",
    "binarize",
    "conv_vae",
    "dense_vae",
    "draw_sprites",
    "elbo",
    "evaluate",
    "gaussian_kl",
    "gaussian_kl_per_coordinate",
    "gaussian_log_prob",
    "iwae_bound",
    "load",
    "plotting",
    "read_checkpoint",
    "reconstruction",
    "reparameterize",
    "seed_everything",
    "standard_normal_log_prob",
    "train",
]
