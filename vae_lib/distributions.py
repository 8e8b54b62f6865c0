"""Log-densities, KL divergences and the reparameterization: pure functions that read like the formula.

Everything is in nats. The last dimension of a tensor holds the coordinates of one example and is summed
over; all leading dimensions (samples S, batch B) broadcast and are kept. Nothing is averaged here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_prob(x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Log-density of a Gaussian with independent coordinates, in nats.

    .. math:: \log \mathcal N(x; \mu, \operatorname{diag} \sigma^2)
        = -\tfrac12 \sum_d \bigl[ \log 2\pi + \log \sigma_d^2 + (x_d - \mu_d)^2 / \sigma_d^2 \bigr]

    A density is not a probability: with a small variance the result is positive.

    Args:
        x: points, shape (..., D).
        mu: means, broadcastable to x.
        logvar: log-variances (not standard deviations), broadcastable to x.
    Returns:
        One value per example, shape (...): summed over the D coordinates.
    Raises:
        ValueError: the shapes do not broadcast.

    Book: eq-probability-diagonal-gaussian.  Source: Bishop (2006), eq. 2.43.

    >>> gaussian_log_prob(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    tensor(-0.9189)
    """
    _check_broadcast("gaussian_log_prob", x=x, mu=mu, logvar=logvar)
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 * torch.exp(-logvar)).sum(dim=-1)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    r"""Log-density of the prior N(0, I), in nats.

    .. math:: \log \mathcal N(z; 0, I) = -\tfrac12 \sum_j \bigl[ \log 2\pi + z_j^2 \bigr]

    Args:
        z: latent codes, shape (..., L).
    Returns:
        One value per code, shape (...).

    Book: def-probability-standard-normal.

    >>> standard_normal_log_prob(torch.zeros(3, 2))
    tensor([-1.8379, -1.8379, -1.8379])
    """
    return -0.5 * (LOG_2PI + z**2).sum(dim=-1)


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log-probability of independent Bernoulli pixels given their logits, in nats.

    .. math:: \log p(x) = \sum_d \bigl[ x_d \ell_d - \log(1 + e^{\ell_d}) \bigr],
        \qquad \ell_d = \log \frac{p_d}{1 - p_d}

    It is minus the binary cross-entropy, summed. Logits, not probabilities: the logarithm of a sigmoid that
    was rounded to 0 or 1 is infinite, this form is not. For grey x between 0 and 1 the formula still
    has a value, the expected log-probability of a binary image with those means, but it is no density of x.

    Args:
        x: values in [0, 1], shape (..., D). Not checked here: this runs in every step.
        logits: log-odds of a pixel being 1, broadcastable to x.
    Returns:
        One value per example, shape (...): summed over the D pixels.
    Raises:
        ValueError: the shapes do not broadcast.

    Book: eq-likelihoods-bernoulli, eq-likelihoods-grey.  Source: Kingma & Welling (2014), appendix C.1.

    >>> bernoulli_log_prob(torch.tensor([1.0, 0.0]), torch.zeros(2))
    tensor(-1.3863)
    """
    _check_broadcast("bernoulli_log_prob", x=x, logits=logits)
    # torch's own binary cross-entropy makes fewer passes than the formula spelled out, there and back, but
    # wants one shape and one type.
    if x.shape != logits.shape or x.dtype != logits.dtype:
        dtype = torch.result_type(x, logits)
        x, logits = torch.broadcast_tensors(x.to(dtype), logits.to(dtype))
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=-1)


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL divergence from N(mu, diag exp(logvar)) to the prior N(0, I), in nats.

    .. math:: \tfrac12 \sum_j \bigl( \mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1 \bigr)

    Args:
        mu: mean of q(z|x), shape (..., L).
        logvar: log-variance of q(z|x), shape (..., L).
    Returns:
        One value per example, shape (...): summed over latents, never averaged.
    Raises:
        ValueError: the shapes differ.

    Book: eq-kl-gaussian.  Source: Kingma & Welling (2014), appendix B.

    >>> gaussian_kl(torch.ones(2, 3), torch.zeros(2, 3))
    tensor([1.5000, 1.5000])
    """
    return gaussian_kl_per_coordinate(mu, logvar).sum(dim=-1)


def gaussian_kl_per_coordinate(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""The terms of :func:`gaussian_kl` before they are summed: which latent coordinates are used?

    Args:
        mu: mean of q(z|x), shape (..., L).
        logvar: log-variance of q(z|x), shape (..., L).
    Returns:
        Nats per coordinate, shape (..., L).
    Raises:
        ValueError: the shapes differ.

    Book: eq-kl-standard.

    >>> gaussian_kl_per_coordinate(torch.tensor([0.0, 2.0]), torch.zeros(2))
    tensor([0., 2.])
    """
    if mu.shape != logvar.shape:
        raise ValueError(
            f"mu {tuple(mu.shape)} and logvar {tuple(logvar.shape)} must have the same shape (..., L)"
        )
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor | None = None) -> Tensor:
    r"""Sample from N(mu, diag exp(logvar)) so that gradients reach mu and logvar.

    .. math:: z = \mu + \sigma \odot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I)

    Args:
        mu: mean, shape (..., L).
        logvar: log-variance, shape (..., L); sigma is exp(logvar / 2).
        eps: noise. Drawn afresh for every example and coordinate when not given. Pass a tensor of shape
            (S, B, L) for S samples per example, or the same tensor twice to compare on equal noise.
    Returns:
        Samples, the broadcast shape of the arguments.
    Raises:
        ValueError: the shapes do not broadcast.

    Book: eq-pytorch-reparameterize, eq-reparam-substitution.
    Source: Kingma & Welling (2014), section 2.4; Rezende, Mohamed & Wierstra (2014).

    >>> mu, logvar = torch.zeros(2, 3), torch.full((2, 3), 2 * math.log(0.5))
    >>> reparameterize(mu, logvar, eps=torch.ones(2, 3))
    tensor([[0.5000, 0.5000, 0.5000],
            [0.5000, 0.5000, 0.5000]])
    """
    if eps is None:
        _check_broadcast("reparameterize", mu=mu, logvar=logvar)
        eps = torch.randn_like(mu)
    else:
        _check_broadcast("reparameterize", mu=mu, logvar=logvar, eps=eps)
    return mu + torch.exp(0.5 * logvar) * eps


def _check_broadcast(name: str, **tensors: Tensor) -> None:
    first, *others = (t.shape for t in tensors.values())
    if all(shape == first for shape in others):
        return  # every training step comes by here, and `broadcast_shapes` takes as long as a small product
    try:
        torch.broadcast_shapes(*(t.shape for t in tensors.values()))
    except RuntimeError:
        shapes = ", ".join(f"{key} {tuple(t.shape)}" for key, t in tensors.items())
        raise ValueError(f"{name}: these shapes do not broadcast: {shapes}") from None
