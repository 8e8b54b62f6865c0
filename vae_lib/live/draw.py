"""A pad to draw on, and what a VAE makes of the drawing."""

import base64

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor, nn, no_grad

from vae_lib.distributions import gaussian_kl, reparameterize
from vae_lib.live.base import LiveFigure, pack, pack_network
from vae_lib.live.latent import check_model
from vae_lib.models import VAE
from vae_lib.plotting import CLASS_COLORS, COLORS, image_grid, latent_scatter

SIDE = 28


def pack_drawing(image: Tensor) -> str:
    """A picture with values in [0, 1] as the state holds it: a byte for each pixel, as base64."""
    levels = (image.detach().cpu().clip(0, 1) * 255).round().to(torch.uint8)
    return base64.b64encode(levels.numpy().tobytes()).decode()


class DrawDigit(LiveFigure):
    """Draw a digit; the encoder answers with its posterior, the decoder with a picture, the ELBO with nats.

    The page scales the drawing to 20 pixels and centres it by its mass, as the digits of MNIST are. Its
    expected log p(x|z) is a mean over 16 noise vectors that never change, and so are the ELBOs of x that
    it is compared with.

    Args:
        model: a `VAE` of 784 pixels with two latent coordinates and dense layers. Its weights travel with
            the page, two bytes each: keep it as small as 784-128-2-128-784.
        x: some hundred pictures that the model has not seen, shape (N, 784).
        labels: integers 0 to 9, shape (N,). The first picture of each label is an example to start from.
    Raises:
        ValueError: the latent space is no plane, the pictures have another size, or a layer is not dense.

    Book: eq-elbo-reconstruction.

    >>> import torch, vae_lib as vl
    >>> model = vl.dense_vae(784, (8,), 2)
    >>> draw = DrawDigit(model, torch.rand(5, 784), torch.arange(5))
    >>> draw.state = {"brush": 2.0, "drawing": pack_drawing(torch.zeros(784))}
    """

    tag = "live-draw"

    def __init__(self, model: VAE, x: Tensor, labels: Tensor) -> None:
        check_model(model)
        if model.encoder.x_dim != SIDE**2:
            raise ValueError(f"the pad has {SIDE} x {SIDE} pixels, the model takes {model.encoder.x_dim}")
        self.model, self.x, self.labels = model, x, labels
        noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0)).half().float()
        with no_grad():
            self.mu, self.logvar = model.encoder(x)
            z = reparameterize(self.mu, self.logvar, eps=noise[:, None].expand(-1, *self.mu.shape))
            elbos = model.decoder.log_prob(x, z).mean(dim=0) - gaussian_kl(self.mu, self.logvar)
        self.examples = [int((labels == label).nonzero()[0]) for label in labels.unique()]
        super().__init__(
            state={"drawing": pack_drawing(x[self.examples[0]]), "brush": 1.4}
            | {"pen": "down", "pen_x": SIDE / 2, "pen_y": SIDE / 2},
            config={
                "encoder": {
                    "body": pack_network(model.encoder.body),
                    "mu": pack_network(nn.Sequential(model.encoder.fc_mu)),
                    "logvar": pack_network(nn.Sequential(model.encoder.fc_logvar)),
                },
                "decoder": pack_network(model.decoder.net),
                "noise": pack(noise),
                "codes": pack(self.mu),
                "labels": labels.tolist(),
                "elbos": [round(value, 2) for value in elbos.sort().values.tolist()],
                "examples": [pack_drawing(x[index]) for index in self.examples],
                "class_colors": CLASS_COLORS,
                "reach": max(3.0, self.mu.abs().max().ceil().item()),
            },
        )

    def draw_still(self, figure: Figure) -> None:
        drawn, plane, decoded = figure.subplots(1, 3, width_ratios=[1, 2, 1])
        first = self.examples[0]
        image_grid(self.x[first : first + 1], ax=drawn, title="drawn")
        latent_scatter(self.mu, self.labels, ax=plane)
        width, height = (2 * torch.exp(0.5 * self.logvar[first])).tolist()
        x, y = self.mu[first].tolist()
        plane.add_patch(Ellipse((x, y), width, height, color=COLORS["encoder"], fill=False))
        image_grid(self.model.decoder.mean(self.mu[first : first + 1]), ax=decoded, title="decoded")
