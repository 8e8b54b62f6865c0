"""Numbers about a trained model. Nothing here changes weights or the caller's random state."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_lib.distributions import (
    LOG_2PI,
    gaussian_kl,
    gaussian_log_prob,
    reparameterize,
    standard_normal_log_prob,
)
from vae_lib.models import VAE
from vae_lib.objectives import elbo


def evaluate(
    model: nn.Module,
    x: Tensor,
    objective: Callable[..., Any] = elbo,
    batch_size: int = 1000,
    seed: int = 0,
) -> Any:
    """Means of an objective's terms over the examples, in nats per example.

    Samples z as training does (decoding the posterior mean instead would not be a bound), with the same
    noise at every call, so that two epochs or two models differ by their weights only.

    Args:
        model: any module that the objective accepts.
        x: examples, shape (N, D). Moved to the model's device batch by batch.
        objective: objective(model, x) -> NamedTuple of tensors (B,).
        batch_size: examples at a time; changes memory and speed, and which noise an example gets.
        seed: of the noise.
    Returns:
        The objective's NamedTuple with a float in each field.
    Raises:
        ValueError, TypeError: x is empty, or does not fit the model: see its `check_data`.

    Book: def-elbo-dataset.

    >>> from vae_lib.models import dense_vae
    >>> terms = evaluate(dense_vae(784, (400,), 20), torch.zeros(100, 784))
    >>> abs(terms.elbo - (terms.log_p_x_given_z - terms.kl)) < 1e-3
    True
    """
    if len(x) == 0:
        raise ValueError("the data hold no example")
    if check := getattr(model, "check_data", None):
        check(x)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), isolated_rng(device, seed):
            batches = [objective(model, batch.to(device)) for batch in x.split(batch_size)]
    finally:
        model.train(was_training)
    # float64 on the CPU: a sum of 60,000 float32 values loses digits, and MPS has no float64.
    fields = zip(*batches, strict=True)
    means = [torch.cat(field).cpu().double().mean().item() for field in fields]
    return type(batches[0])(*means)


@contextmanager
def isolated_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Context in which torch's random numbers start from `seed`; the caller's state comes back after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


# Importance-sampled likelihood, rate, units and sample quality (chapter "Evaluating a VAE") ----------


class MarginalEstimate(NamedTuple):
    """What importance sampling says of each example, both (N,)."""

    log_p_x: Tensor
    effective_samples: Tensor


class RateTerms(NamedTuple):
    """rate = mutual_information + kl_to_prior, means over a data set, in nats."""

    rate: float
    mutual_information: float
    kl_to_prior: float


def log_importance_weights(
    model: VAE, x: Tensor, n_samples: int = 100, chunk: int = 1000, seed: int = 0
) -> Tensor:
    r"""The logarithms of S importance weights for each example, in nats.

    .. math:: \log w_s = \log p(x \mid z_s) + \log p(z_s) - \log q(z_s \mid x), \qquad z_s \sim q(z \mid x)

    Args:
        model: a VAE.
        x: examples, shape (N, D).
        n_samples: how many weights, S.
        chunk: codes decoded at a time, so that memory grows with chunk * D instead of S * N * D. On a CPU
            about a thousand is also the fastest, because the pictures stay in the cache. Another chunk
            gives the same codes to other examples.
        seed: of the noise. The caller's random state is left alone.
    Returns:
        Shape (S, N).
    Raises:
        ValueError: n_samples or chunk is less than 1, or x is empty.

    Book: def-elbo-weight.  Source: Burda, Grosse & Salakhutdinov (2016), section 3.

    >>> from vae_lib.models import dense_vae
    >>> model, x = dense_vae(12, (8,), 2), torch.rand(5, 12)
    >>> log_importance_weights(model, x, n_samples=7).shape
    torch.Size([7, 5])
    """
    if n_samples < 1 or chunk < 1:
        raise ValueError(f"n_samples and chunk must be at least 1, got {n_samples} and {chunk}")
    if len(x) == 0:
        raise ValueError("the data hold no example")
    device = next(model.parameters()).device
    samples_at_once = min(chunk, n_samples)
    columns = []
    with torch.no_grad(), isolated_rng(device, seed):
        for batch in x.split(max(1, chunk // samples_at_once)):
            batch = batch.to(device)
            mu, logvar = model.encoder(batch)
            rows = []
            for start in range(0, n_samples, samples_at_once):
                size = min(samples_at_once, n_samples - start)
                eps = torch.randn(size, *mu.shape, device=device, dtype=mu.dtype)
                z = reparameterize(mu, logvar, eps=eps)
                log_p_xz = model.decoder.log_prob(batch, z) + standard_normal_log_prob(z)
                rows.append(log_p_xz - gaussian_log_prob(z, mu, logvar))
            columns.append(torch.cat(rows))
    return torch.cat(columns, dim=1)


def log_marginal(
    model: VAE, x: Tensor, n_samples: int = 5000, chunk: int = 1000, seed: int = 0
) -> MarginalEstimate:
    r"""Importance-sampled log p(x) of each example, in nats, with the number of samples that did the work.

    .. math:: \widehat{\log p}(x) = \log \frac1S \sum_s w_s, \qquad
        S_{\text{eff}} = \frac{(\sum_s w_s)^2}{\sum_s w_s^2}

    The mean of the weights is unbiased for p(x), so its logarithm is a lower bound in expectation. Where the
    weights have a finite variance, its standard error is about sqrt(1 / S_eff - 1 / S).

    Args:
        model: a VAE.
        x: examples, shape (N, D). For a published number: binarised as the paper says.
        n_samples: how many weights, S; 5,000 is the custom.
        chunk: codes decoded at a time; see :func:`log_importance_weights`.
        seed: of the noise.
    Returns:
        MarginalEstimate, both fields of shape (N,).
    Raises:
        ValueError: n_samples or chunk is less than 1, or x is empty.

    Book: eq-evaluation-unbiased.  Source: Burda, Grosse & Salakhutdinov (2016), eq. 8.

    >>> from vae_lib.models import dense_vae
    >>> estimate = log_marginal(dense_vae(12, (8,), 2), torch.rand(5, 12), n_samples=50)
    >>> estimate.log_p_x.shape, bool((estimate.effective_samples <= 50.001).all())
    (torch.Size([5]), True)
    """
    log_w = log_importance_weights(model, x, n_samples, chunk, seed)
    log_sum = torch.logsumexp(log_w, dim=0)
    effective = torch.exp(2 * log_sum - torch.logsumexp(2 * log_w, dim=0))
    return MarginalEstimate(log_sum - math.log(n_samples), effective)


def rate_decomposition(mu: Tensor, logvar: Tensor, n_draws: int = 2000, seed: int = 0) -> RateTerms:
    r"""Split the mean KL to the prior of a data set into information and mismatch, in nats.

    .. math:: \frac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\|\, p(z)) = I
        + \mathrm{KL}(\bar q(z) \,\|\, p(z)), \qquad \bar q(z) = \frac1N \sum_n q(z \mid x_n)

    The rate is exact. The information is a Monte Carlo mean over draws from the aggregate posterior, whose
    density is summed over all N examples; it never exceeds log N, whatever the encoder knows. The second
    term is the difference of the two.

    Args:
        mu: means of q(z|x_n), shape (N, L).
        logvar: log-variances of q(z|x_n), shape (N, L).
        n_draws: draws from the aggregate posterior. Time grows as n_draws * N.
        seed: of the draws.
    Returns:
        RateTerms of floats.
    Raises:
        ValueError: the shapes differ or hold no example.

    Book: eq-evaluation-rate.  Source: Hoffman & Johnson (2016).

    >>> far_apart = torch.tensor([[-50.0], [50.0]])  # two clouds that never meet: log 2
    >>> round(rate_decomposition(far_apart, torch.zeros(2, 1)).mutual_information, 4)
    0.6931
    """
    if mu.ndim != 2 or len(mu) == 0:
        raise ValueError(f"mu must have shape (N, L) with at least one example, got {tuple(mu.shape)}")
    rate = gaussian_kl(mu, logvar).double().mean().item()
    mu, logvar = mu.detach().cpu().double(), logvar.detach().cpu().double()
    generator = torch.Generator().manual_seed(seed)
    n = torch.randint(len(mu), (n_draws,), generator=generator)
    eps = torch.randn(n_draws, mu.shape[1], generator=generator, dtype=mu.dtype)
    z = reparameterize(mu[n], logvar[n], eps=eps)
    # The square of z - mu_n multiplied out, so that all pairs are two matrix products.
    precision = torch.exp(-logvar)
    constant = (LOG_2PI + logvar + mu**2 * precision).sum(dim=1)
    log_sums = [
        torch.logsumexp(part @ (mu * precision).T - 0.5 * (part**2 @ precision.T + constant), dim=1)
        for part in z.split(max(1, 5_000_000 // len(mu)))
    ]
    log_aggregate = torch.cat(log_sums) - math.log(len(mu))
    information = (gaussian_log_prob(z, mu[n], logvar[n]) - log_aggregate).mean().item()
    return RateTerms(rate, information, rate - information)


def active_units(mu: Tensor, threshold: float = 0.01) -> Tensor:
    r"""Which latent coordinates move with the data?

    .. math:: A_j = \operatorname{Var}_{x} \bigl( \mathbb E_{q(z \mid x)}[z_j] \bigr) > \text{threshold}

    Args:
        mu: means of q(z|x_n), shape (N, L).
        threshold: in the units of the variance of the prior, which is 1.
    Returns:
        True for an active coordinate, shape (L,).
    Raises:
        ValueError: fewer than two examples.

    Book: def-evaluation-active.  Source: Burda, Grosse & Salakhutdinov (2016), section 5.

    >>> active_units(torch.tensor([[0.0, 0.01], [2.0, 0.02]]))
    tensor([ True, False])
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"mu must have shape (N, L) with at least two examples, got {tuple(mu.shape)}")
    return mu.var(dim=0) > threshold


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    r"""Fréchet distance of the Gaussians with the means and covariances of two sets of features.

    .. math:: d^2 = \lVert m_a - m_b \rVert^2
        + \operatorname{tr} \bigl( C_a + C_b - 2\, (C_a^{1/2} C_b\, C_a^{1/2})^{1/2} \bigr)

    In squared units of the features, so it depends on the network that made them. It is biased upwards by
    few examples: compare numbers with equal counts only.

    Args:
        features_a: shape (N, F).
        features_b: shape (M, F).
    Returns:
        The squared distance, at least 0.
    Raises:
        ValueError: fewer than two examples, or different numbers of features.

    Book: eq-evaluation-frechet.  Source: Dowson & Landau (1982); Heusel et al. (2017).

    >>> features = torch.randn(50, 3)
    >>> round(frechet_distance(features, features + 2.0), 4)
    12.0
    """
    a, b = features_a.detach().cpu().double(), features_b.detach().cpu().double()
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            "two sets of at least two examples with the same features are needed, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    cov_a, cov_b = torch.atleast_2d(torch.cov(a.T)), torch.atleast_2d(torch.cov(b.T))
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (means + cov_a.trace() + cov_b.trace() - 2 * cross).item())
