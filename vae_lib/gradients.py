"""The ELBO of a dense Bernoulli VAE together with its gradient, written out line by line.

PyTorch finds the gradient of any objective by itself. To do so it keeps a record of every operation, and
for small dense networks that takes a tenth of the time of a step. So `train` comes here for the model that is
trained most often. The operations and their order are the same both ways, and so is every bit of the result.
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_lib.distributions import bernoulli_log_prob, gaussian_kl
from vae_lib.models import VAE, BernoulliDecoder, GaussianEncoder
from vae_lib.networks import MLP
from vae_lib.objectives import ElboTerms

Layer = tuple[Tensor, Tensor]  # weight (out, in) and bias (out,)


class DenseElbo:
    r"""The two passes of a training step: `forward` is `objectives.elbo`, `backward` is its gradient.

    Args:
        model: one for which `can_write_out` is true.

    Book: eq-numpy-backward, eq-numpy-linear-weights, eq-numpy-linear-input, eq-numpy-logits, eq-numpy-code.

    >>> from vae_lib.models import dense_vae
    >>> model = dense_vae(784, (400,), 20)
    >>> passes = DenseElbo(model)
    >>> passes.forward(torch.zeros(8, 784)).kl.shape
    torch.Size([8])
    >>> passes.backward(beta=1.0, n=8)
    >>> model.encoder.fc_mu.weight.grad.shape
    torch.Size([20, 400])
    """

    def __init__(self, model: VAE) -> None:
        self.encoder, self.decoder = _layers(model.encoder.body), _layers(model.decoder.net)
        (self.to_mu,), (self.to_logvar,) = _layers(model.encoder.fc_mu), _layers(model.encoder.fc_logvar)

    @torch.no_grad()
    def forward(self, x: Tensor) -> ElboTerms:
        """The terms for examples (B, D): each (B,), in nats, without a graph."""
        *inputs, a = _through(self.encoder, x)
        h = a.relu_()
        mu, logvar = F.linear(h, *self.to_mu), F.linear(h, *self.to_logvar)
        sigma, eps = torch.exp(0.5 * logvar), torch.randn_like(mu)
        *decoder_inputs, logits = _through(self.decoder, mu + sigma * eps)

        self.kept = x, inputs, h, mu, logvar, sigma, eps, decoder_inputs, logits
        log_p_x_given_z = bernoulli_log_prob(x, logits)
        kl = gaussian_kl(mu, logvar)
        return ElboTerms(log_p_x_given_z - kl, log_p_x_given_z, kl)

    @torch.no_grad()
    def backward(self, beta: float, n: int) -> None:
        r"""Put the gradient of the loss into the `.grad` of every weight, in the place of what was there.

        .. math:: -\frac1n \sum_b \bigl[ \log p(x_b \mid z_b) - \beta \, \mathrm{KL}_b \bigr]

        The sum is over the examples of the last `forward`; n may be larger, where they are part of a batch.

        Book: eq-numpy-backward, eq-loop-weighted.
        """
        x, inputs, h, mu, logvar, sigma, eps, decoder_inputs, logits = self.kept
        # d_y is the derivative of the loss by y. These two are tensors, to be rounded as autograd's are.
        d_elbo = torch.ones((), dtype=x.dtype) / -n
        d_kl = -d_elbo - d_elbo * (beta - 1.0)

        d_logits = torch.sigmoid(logits).sub_(x).mul_(-d_elbo)
        d_c = _back_through(self.decoder, decoder_inputs, d_logits)
        d_z = d_c @ self.decoder[0][0]

        half = 0.5 * d_kl
        d_mu = d_z + half * (2 * mu)
        d_logvar = (half * logvar.exp() - half) + d_z * eps * sigma * 0.5

        d_h = _back_through([self.to_mu], [h], d_mu) @ self.to_mu[0]
        d_h += _back_through([self.to_logvar], [h], d_logvar) @ self.to_logvar[0]
        _back_through(self.encoder, inputs, _relu_backward(d_h, h))


def can_write_out(model: nn.Module) -> TypeGuard[VAE]:
    """Whether `DenseElbo` is this model's ELBO, with nothing of the user's own in its way.

    False for every other model, on another device than the CPU, under autocast or anomaly detection, and for
    a model with a layer exchanged, a weight frozen or shared, or a hook.

    >>> from vae_lib.models import conv_vae, dense_vae
    >>> can_write_out(dense_vae(784, (400, 100), 20))
    True
    >>> can_write_out(conv_vae((1, 28, 28), (32,), 20))
    False
    """
    if type(model) is not VAE:
        return False
    encoder, decoder = model.encoder, model.decoder
    if type(encoder) is not GaussianEncoder or type(decoder) is not BernoulliDecoder:
        return False
    body, net = _kinds(encoder.body), _kinds(decoder.net)
    if body != [MLP, *[nn.Linear, nn.ReLU] * max(1, len(body) // 2)]:
        return False
    if net != [MLP, *[nn.Linear, nn.ReLU] * (len(net) // 2 - 1), nn.Linear]:
        return False
    if _kinds(encoder.fc_mu) + _kinds(encoder.fc_logvar) != [nn.Linear, nn.Linear]:
        return False
    modules, weights = list(model.modules()), list(model.parameters())
    return (
        # Each layer has a bias, and no weight is another's too.
        len(weights) == 2 * sum(isinstance(m, nn.Linear) for m in modules)
        and all(w.requires_grad and w.device.type == "cpu" for w in weights)
        and not any(w._backward_hooks or w._post_accumulate_grad_hooks for w in weights)
        # A module keeps its hooks in attributes; a function in the place of a method is one as well.
        and not any(callable(v) or ("hook" in k and v) for m in modules for k, v in vars(m).items())
        and not nn.modules.module._has_any_global_hook()
        and not torch.is_anomaly_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _kinds(net: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in net.modules()]


def _layers(net: nn.Module) -> list[Layer]:
    return [(layer.weight, layer.bias) for layer in net.modules() if isinstance(layer, nn.Linear)]


def _through(layers: list[Layer], x: Tensor) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last one. A ReLU is between any two."""
    values = [x]
    for i, layer in enumerate(layers):
        # In place: on the way back it is enough to know what came out of it.
        values.append(F.linear(values[-1].relu_() if i else x, *layer))
    return values


def _back_through(layers: list[Layer], inputs: list[Tensor], d: Tensor) -> Tensor:
    """Set the gradients of the layers. `d` is the derivative by what came out of the last one; returns the
    derivative by what came out of the first.
    """
    for i in reversed(range(len(layers))):
        weight, bias = layers[i]
        weight.grad, bias.grad = d.T @ inputs[i], d.sum(dim=0)
        if i:
            d = _relu_backward(d @ weight, inputs[i])
    return d


def _relu_backward(d: Tensor, output: Tensor) -> Tensor:
    """d where the ReLU let something through, else 0: autograd's own kernel, quicker than a mask."""
    return torch.ops.aten.threshold_backward(d, output, 0)
