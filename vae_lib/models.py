"""Encoders, likelihood decoders and the two models that join them. No loss and no optimiser in here.

Images are flat vectors: x has shape (B, D), z has shape (..., L). A `hidden` argument is either the widths of
dense layers or a body of your own (see `networks`), which is how a model becomes convolutional.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_lib.distributions import bernoulli_log_prob, gaussian_log_prob, reparameterize
from vae_lib.networks import MLP, ConvDecoderBody, ConvEncoderBody

Hidden = Sequence[int] | nn.Module


class GaussianEncoder(nn.Module):
    r"""The approximate posterior q(z|x) = N(mu(x), diag exp(logvar(x))).

    Args:
        x_dim: width D of an example.
        z_dim: number L of latent coordinates.
        hidden: widths of the dense layers, or a body (..., D) -> (..., out_dim) with an attribute `out_dim`.

    Book: def-pytorch-encoder.

    >>> mu, logvar = GaussianEncoder(x_dim=784, z_dim=20)(torch.zeros(8, 784))
    >>> mu.shape, logvar.shape
    (torch.Size([8, 20]), torch.Size([8, 20]))
    """

    def __init__(self, x_dim: int, z_dim: int, hidden: Hidden = (400,)) -> None:
        super().__init__()
        self.x_dim, self.z_dim = x_dim, z_dim
        self.body = hidden if isinstance(hidden, nn.Module) else MLP(x_dim, hidden)
        self.fc_mu = nn.Linear(self.body.out_dim, z_dim)  # type: ignore[arg-type]
        self.fc_logvar = nn.Linear(self.body.out_dim, z_dim)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.fc_mu(h), self.fc_logvar(h)


class DeterministicEncoder(nn.Module):
    """The encoder of a plain autoencoder: one code z per x, no distribution.

    It takes the arguments of :class:`GaussianEncoder`, and has its body and, as `fc_z`, its `fc_mu`.

    >>> DeterministicEncoder(x_dim=784, z_dim=2)(torch.zeros(8, 784)).shape
    torch.Size([8, 2])
    """

    def __init__(self, x_dim: int, z_dim: int, hidden: Hidden = (400,)) -> None:
        super().__init__()
        self.x_dim, self.z_dim = x_dim, z_dim
        self.body = hidden if isinstance(hidden, nn.Module) else MLP(x_dim, hidden)
        self.fc_z = nn.Linear(self.body.out_dim, z_dim)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_z(self.body(x))


class BernoulliDecoder(nn.Module):
    r"""The likelihood p(x|z) = Bernoulli(sigmoid(logits(z))), pixels independent given z.

    Args:
        z_dim: number L of latent coordinates.
        x_dim: width D of an example.
        hidden: widths of the dense layers, or a network (..., L) -> (..., D) that returns the logits.

    Book: eq-likelihoods-bernoulli.

    >>> decoder = BernoulliDecoder(z_dim=20, x_dim=784)
    >>> z = torch.randn(5, 8, 20)  # five samples for each of eight examples
    >>> decoder.log_prob(torch.ones(8, 784), z).shape
    torch.Size([5, 8])
    """

    def __init__(self, z_dim: int, x_dim: int, hidden: Hidden = (400,)) -> None:
        super().__init__()
        self.z_dim, self.x_dim = z_dim, x_dim
        self.net = hidden if isinstance(hidden, nn.Module) else MLP(z_dim, hidden, x_dim)

    def forward(self, z: Tensor) -> Tensor:
        """Logits, shape (..., D)."""
        return self.net(z)

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, shape (...): summed over the pixels."""
        return bernoulli_log_prob(x, self(z))

    def mean(self, z: Tensor) -> Tensor:
        """E[x|z], the probability that each pixel is 1, shape (..., D)."""
        return torch.sigmoid(self(z))

    def sample(self, z: Tensor) -> Tensor:
        """Binary images x ~ p(x|z), shape (..., D)."""
        return torch.bernoulli(self.mean(z))

    def check_support(self, x: Tensor) -> None:
        """Raise ValueError unless every value of x is in [0, 1]."""
        low, high = (value.item() for value in torch.aminmax(x))
        if low < 0 or high > 1:
            raise ValueError(
                f"a Bernoulli decoder needs data in [0, 1], this reaches from {low:.4g} to {high:.4g}. "
                "Divide bytes by 255 or undo a normalisation; for real-valued data use GaussianDecoder."
            )


class GaussianDecoder(nn.Module):
    r"""The likelihood p(x|z) = N(mu(z), sigma^2 I) with one sigma for all pixels.

    Args:
        z_dim: number L of latent coordinates.
        x_dim: width D of an example.
        hidden: widths of the dense layers, or a network (..., L) -> (..., D) that returns the means.
        std: the standard deviation sigma, in the units of x.
        learn_std: train sigma along with the weights, starting from `std`.
    Raises:
        ValueError: std is not positive.

    Book: eq-likelihoods-gaussian.

    >>> round(GaussianDecoder(z_dim=2, x_dim=3, hidden=(), std=0.5).std, 4)
    0.5
    """

    def __init__(
        self,
        z_dim: int,
        x_dim: int,
        hidden: Hidden = (400,),
        std: float = 1.0,
        learn_std: bool = False,
    ) -> None:
        super().__init__()
        if std <= 0:
            raise ValueError(f"std must be positive, got {std}")
        self.z_dim, self.x_dim = z_dim, x_dim
        self.net = hidden if isinstance(hidden, nn.Module) else MLP(z_dim, hidden, x_dim)
        self.logvar = nn.Parameter(torch.tensor(2 * math.log(std)), requires_grad=learn_std)

    @property
    def std(self) -> float:
        """The standard deviation as it stands."""
        return math.exp(0.5 * self.logvar.item())

    def forward(self, z: Tensor) -> Tensor:
        """Means, shape (..., D)."""
        return self.net(z)

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, shape (...): summed over the pixels. A density, so it may be positive."""
        return gaussian_log_prob(x, self(z), self.logvar)

    def mean(self, z: Tensor) -> Tensor:
        """E[x|z], shape (..., D)."""
        return self(z)

    def sample(self, z: Tensor) -> Tensor:
        """x ~ p(x|z), shape (..., D), the noise included."""
        mu = self(z)
        return reparameterize(mu, self.logvar.expand_as(mu))

    def check_support(self, x: Tensor) -> None:
        """A Gaussian takes every finite x."""


Decoder = BernoulliDecoder | GaussianDecoder


class Autoencoder(nn.Module):
    """Squeeze x through a code z and back: encoder and decoder, no distribution over z.

    Args:
        encoder: a :class:`DeterministicEncoder`.
        decoder: a likelihood decoder, so that its reconstruction is scored on the scale of a VAE's.
    Raises:
        ValueError: encoder and decoder disagree on the shape of x or z.

    >>> model = Autoencoder(DeterministicEncoder(784, 2), BernoulliDecoder(2, 784))
    >>> model.reconstruct(torch.zeros(8, 784)).shape
    torch.Size([8, 784])
    """

    def __init__(self, encoder: DeterministicEncoder, decoder: Decoder) -> None:
        super().__init__()
        _check_fit(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """The decoder's raw output (logits of a Bernoulli, means of a Gaussian), shape (B, D)."""
        return self.decoder(self.encoder(x))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's mean at the code of x, shape (B, D)."""
        return self.decoder.mean(self.encoder(x))

    def check_data(self, x: Tensor) -> None:
        """Raise ValueError or TypeError if x cannot be an input of this model."""
        check_data(x, self.encoder.x_dim, self.decoder)


class VAE(nn.Module):
    """p(z) p(x|z) with prior N(0, I), and the encoder q(z|x) that makes it trainable.

    Args:
        encoder: q(z|x), a :class:`GaussianEncoder`.
        decoder: p(x|z), a likelihood decoder.
    Raises:
        ValueError: encoder and decoder disagree on the shape of x or z.

    Book: def-latent-joint, eq-pytorch-loss.
    Source: Kingma & Welling (2014); Rezende, Mohamed & Wierstra (2014).

    >>> model = VAE(GaussianEncoder(784, 20), BernoulliDecoder(20, 784))
    >>> model.sample(64).shape
    torch.Size([64, 784])
    """

    def __init__(self, encoder: GaussianEncoder, decoder: Decoder) -> None:
        super().__init__()
        _check_fit(encoder, decoder)
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decoder output at one sampled z, with mu and logvar: the triple most programs return."""
        mu, logvar = self.encoder(x)
        return self.decoder(reparameterize(mu, logvar)), mu, logvar

    @torch.no_grad()
    def sample(self, n: int, observation_noise: bool = False) -> Tensor:
        """Draw n codes from the prior and decode them.

        Args:
            n: how many.
            observation_noise: draw x ~ p(x|z). By default the mean E[x|z] is returned, the picture that
                papers show; it is smoother than a sample of the model.
        Returns:
            Shape (n, D).
        """
        like = next(self.parameters())
        z = torch.randn(n, self.encoder.z_dim, device=like.device, dtype=like.dtype)
        return self.decoder.sample(z) if observation_noise else self.decoder.mean(z)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, sample_z: bool = False) -> Tensor:
        """The decoder's mean at the posterior mean of x, or at a posterior sample: shape (B, D)."""
        mu, logvar = self.encoder(x)
        return self.decoder.mean(reparameterize(mu, logvar) if sample_z else mu)

    def check_data(self, x: Tensor) -> None:
        """Raise ValueError or TypeError if x cannot be an input of this model."""
        check_data(x, self.encoder.x_dim, self.decoder)


def dense_vae(x_dim: int, hidden: Sequence[int], z_dim: int) -> VAE:
    """A Bernoulli VAE whose decoder mirrors its encoder: x_dim-hidden-z_dim-reversed hidden-x_dim.

    >>> dense_vae(784, (128, 64), 20).decoder.net.out_dim  # 784-128-64-20-64-128-784
    784
    """
    return VAE(
        GaussianEncoder(x_dim, z_dim, hidden),
        BernoulliDecoder(z_dim, x_dim, tuple(reversed(hidden))),
    )


def conv_vae(image_shape: tuple[int, int, int], channels: Sequence[int], z_dim: int) -> VAE:
    """A Bernoulli VAE with strided convolutions, mirrored in the decoder. Images stay flat outside.

    >>> conv_vae((1, 28, 28), (32, 64), 20).sample(3).shape
    torch.Size([3, 784])
    """
    x_dim = math.prod(image_shape)
    return VAE(
        GaussianEncoder(x_dim, z_dim, ConvEncoderBody(image_shape, channels)),
        BernoulliDecoder(z_dim, x_dim, ConvDecoderBody(z_dim, image_shape, channels)),
    )


@torch.no_grad()
def start_at_mean(model: VAE | Autoencoder, x: Tensor) -> None:
    r"""Give a Bernoulli decoder the biases with which it draws the mean picture before it is trained.

    .. math:: b_d = \log \frac{\bar x_d}{1 - \bar x_d}

    They are the best biases for a decoder that does not use its code. Training need not spend its first
    steps on them. A picture of zeros and one of ones are counted along, so that no bias is infinite.

    Args:
        model: its decoder is a BernoulliDecoder that ends in a dense layer. Changed in place.
        x: the training examples, shape (N, D).
    Raises:
        TypeError: the decoder has no such last layer.
        ValueError: the data do not fit the model.

    Book: eq-loop-start.

    >>> x = torch.tensor([[0.0, 0.5, 1.0, 0.9]]).repeat(98, 1)
    >>> model = dense_vae(4, (8,), 2)
    >>> start_at_mean(model, x)
    >>> list(model.decoder.net)[-1].bias.detach().sigmoid()
    tensor([0.0100, 0.5000, 0.9900, 0.8920])
    """
    *_, last = model.decoder.modules()
    if not isinstance(model.decoder, BernoulliDecoder) or not isinstance(last, nn.Linear):
        raise TypeError(
            "start_at_mean needs a BernoulliDecoder whose last layer is an nn.Linear, this one is a "
            f"{type(model.decoder).__name__} that ends in {type(last).__name__}"
        )
    model.check_data(x)
    last.bias.copy_(torch.logit((x.sum(dim=0) + 1) / (len(x) + 2)))


def check_data(x: Tensor, x_dim: int, decoder: Decoder) -> None:
    """Raise an error that says what to do unless x is a finite float tensor (N, x_dim) that fits the decoder.

    >>> check_data(torch.zeros(3, 28, 28), 784, BernoulliDecoder(2, 784))
    Traceback (most recent call last):
    ValueError: expected data of shape (N, 784), got (3, 28, 28).
    Flatten images with x.flatten(1).
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a torch tensor, got {type(x).__name__}. Use torch.as_tensor(x).")
    if not x.is_floating_point():
        raise TypeError(f"expected floating-point data, got {x.dtype}. For bytes use x.float() / 255.")
    if x.ndim != 2 or x.shape[1] != x_dim:
        hint = " Flatten images with x.flatten(1)." if x.ndim > 2 else ""
        raise ValueError(f"expected data of shape (N, {x_dim}), got {tuple(x.shape)}.{hint}")
    if len(x) == 0:
        raise ValueError("the data hold no example")
    # One pass over the data: a NaN or an infinity would be the smallest or the largest value.
    if not torch.isfinite(torch.stack(torch.aminmax(x))).all():
        bad = (~torch.isfinite(x)).any(dim=1)
        first = int(bad.nonzero()[0])
        raise ValueError(
            f"{int(bad.sum())} of {len(x)} examples hold NaN or infinite values, the first is "
            f"number {first}. Drop them: x[torch.isfinite(x).all(dim=1)]."
        )
    decoder.check_support(x)


def _check_fit(encoder: GaussianEncoder | DeterministicEncoder, decoder: Decoder) -> None:
    for name in ("x_dim", "z_dim"):
        ours, theirs = getattr(encoder, name), getattr(decoder, name)
        if ours != theirs:
            raise ValueError(f"the encoder has {name}={ours}, the decoder {name}={theirs}")
