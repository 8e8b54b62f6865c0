"""What training makes large: functions of a model and a batch that return named terms per example.

Every term has shape (B,) and is in nats, summed over pixels and latents, never averaged over the batch. The
first field is the quantity to maximise. A field named `kl` is what beta weights during training.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lib.distributions import (
    gaussian_kl,
    gaussian_log_prob,
    reparameterize,
    standard_normal_log_prob,
)
from vae_lib.models import VAE, Autoencoder


class ElboTerms(NamedTuple):
    """elbo = log_p_x_given_z - kl, each (B,).

    Book: eq-elbo-reconstruction.
    """

    elbo: Tensor
    log_p_x_given_z: Tensor
    kl: Tensor


class ReconstructionTerms(NamedTuple):
    """The log-likelihood at the code, (B,)."""

    log_p_x_given_z: Tensor


class IwaeTerms(NamedTuple):
    """The importance-weighted bound, (B,)."""

    iwae_bound: Tensor


def elbo(model: VAE, x: Tensor) -> ElboTerms:
    r"""One-sample estimate of the evidence lower bound, per example.

    .. math:: \log p(x \mid z) - \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I)), \qquad z \sim q(z \mid x)

    The reconstruction term is estimated with one reparameterized sample, the KL is exact. Always the
    true bound: a weight beta is the business of `train`.

    Args:
        model: a VAE.
        x: examples, shape (B, D).
    Returns:
        ElboTerms, each field of shape (B,), in nats.

    Book: def-elbo-elbo, eq-elbo-reconstruction, eq-elbo-unbiased.  Source: Kingma & Welling (2014), eq. 10.

    >>> from vae_lib.models import dense_vae
    >>> terms = elbo(dense_vae(784, (400,), 20), torch.zeros(8, 784))
    >>> terms.elbo.shape
    torch.Size([8])
    """
    mu, logvar = model.encoder(x)
    z = reparameterize(mu, logvar)
    log_p_x_given_z = model.decoder.log_prob(x, z)
    kl = gaussian_kl(mu, logvar)
    return ElboTerms(log_p_x_given_z - kl, log_p_x_given_z, kl)


def reconstruction(model: Autoencoder, x: Tensor) -> ReconstructionTerms:
    """log p(x|z) at the one code z of a plain autoencoder, per example.

    On the scale of :func:`elbo`'s first part, so that the two can be compared.

    Args:
        model: an Autoencoder.
        x: examples, shape (B, D).
    Returns:
        ReconstructionTerms with a field of shape (B,), in nats.

    Book: def-likelihoods-product.
    """
    return ReconstructionTerms(model.decoder.log_prob(x, model.encoder(x)))


def iwae_bound(model: VAE, x: Tensor, n_samples: int = 50) -> IwaeTerms:
    r"""The importance-weighted bound with S samples, per example.

    .. math:: \log \frac1S \sum_{s=1}^S \frac{p(x \mid z_s)\, p(z_s)}{q(z_s \mid x)}, \qquad
        z_s \sim q(z \mid x)

    One sample gives the ELBO in expectation; in expectation the bound grows with S towards log p(x).

    Args:
        model: a VAE.
        x: examples, shape (B, D).
        n_samples: how many samples, S. Memory grows as S * B * D.
    Returns:
        IwaeTerms with a field of shape (B,), in nats.

    Book: def-elbo-iwae, eq-elbo-iwae.  Source: Burda, Grosse & Salakhutdinov (2016), eq. 8.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    mu, logvar = model.encoder(x)
    z = reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
    log_p_xz = model.decoder.log_prob(x, z) + standard_normal_log_prob(z)
    log_w = log_p_xz - gaussian_log_prob(z, mu, logvar)
    return IwaeTerms(torch.logsumexp(log_w, dim=0) - math.log(n_samples))
