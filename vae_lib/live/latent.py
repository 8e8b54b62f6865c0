"""A two-dimensional latent space, to be walked in."""

from matplotlib.figure import Figure
from torch import Tensor, no_grad

from vae_lib.live.base import LiveFigure, pack, pack_images, pack_network
from vae_lib.models import VAE, Autoencoder, BernoulliDecoder
from vae_lib.plotting import CLASS_COLORS, image_grid, latent_scatter


def codes_of(model: VAE | Autoencoder, x: Tensor) -> Tensor:
    """Where the encoder puts each example: its code, or the mean of its q(z|x)."""
    with no_grad():
        code = model.encoder(x)
    return code[0] if isinstance(code, tuple) else code


def check_model(model: VAE | Autoencoder) -> None:
    """Raise ValueError unless the page can draw this model's latent space and run its decoder."""
    if not isinstance(model.decoder, BernoulliDecoder) or model.decoder.z_dim != 2:
        raise ValueError("a latent plane needs a BernoulliDecoder with z_dim=2")


class LatentExplorer(LiveFigure):
    """Drag a point through the latent plane; the decoder draws what it finds there.

    Args:
        model: a `VAE` or an `Autoencoder` with two latent coordinates and dense layers.
        x: some hundred examples, shape (N, D), D a square number. They travel with the page.
        labels: integers 0 to 9, shape (N,).
        path: numbers of two examples; the path of the path mode leads from one to the other.
    Raises:
        ValueError: the latent space is no plane, or the decoder is not a dense Bernoulli decoder.

    >>> import torch, vae_lib as vl
    >>> model = vl.dense_vae(x_dim=16, hidden=(8,), z_dim=2)
    >>> explorer = LatentExplorer(model, torch.rand(5, 16), torch.arange(5))
    >>> explorer.state = {"z1": 0.5, "z2": -1.0}
    """

    tag = "live-latent"

    def __init__(
        self, model: VAE | Autoencoder, x: Tensor, labels: Tensor, path: tuple[int, int] = (0, 1)
    ) -> None:
        check_model(model)
        self.model, self.labels = model, labels
        self.codes = codes_of(model, x)
        (a1, a2), (b1, b2) = self.codes[list(path)].tolist()
        super().__init__(
            state={"mode": "point", "z1": 0.0, "z2": 0.0}
            | {"a1": a1, "a2": a2, "b1": b1, "b2": b2, "t": 0.5},
            config={
                "decoder": pack_network(model.decoder.net),
                "codes": pack(self.codes),
                "labels": labels.tolist(),
                "images": pack_images(x),
                "class_colors": CLASS_COLORS,
                "reach": max(3.0, self.codes.abs().max().ceil().item()),
            },
        )

    def draw_still(self, figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        latent_scatter(self.codes, self.labels, ax=left)
        z = self.codes.new_tensor([[self.state["z1"], self.state["z2"]]])
        image_grid(self.model.decoder.mean(z), ax=right, title="decoded at the origin")
