"""Two latent spaces side by side: an autoencoder's and a VAE's."""

import math

from matplotlib.figure import Figure
from torch import Tensor

from vae_lib.live.base import LiveFigure, pack, pack_network
from vae_lib.live.latent import check_model, codes_of
from vae_lib.models import VAE, Autoencoder
from vae_lib.plotting import CLASS_COLORS, latent_scatter


class TwoSpaces(LiveFigure):
    """The same point z, decoded by an autoencoder and by a VAE.

    Args:
        autoencoder: a model with two latent coordinates and dense layers.
        vae: another one.
        x: some hundred examples, shape (N, D); their codes are the dots.
        labels: integers 0 to 9, shape (N,).
    Raises:
        ValueError: a latent space is no plane, or a decoder is not a dense Bernoulli decoder.

    >>> import torch, vae_lib as vl
    >>> vae = vl.dense_vae(x_dim=16, hidden=(8,), z_dim=2)
    >>> encoder = vl.DeterministicEncoder(16, 2, (8,))
    >>> ae = vl.Autoencoder(encoder, vl.BernoulliDecoder(2, 16, (8,)))
    >>> TwoSpaces(ae, vae, torch.rand(5, 16), torch.arange(5)).state["z1"]
    1.0
    """

    tag = "live-two-spaces"

    def __init__(self, autoencoder: Autoencoder, vae: VAE, x: Tensor, labels: Tensor) -> None:
        models: dict[str, VAE | Autoencoder] = {"Autoencoder": autoencoder, "VAE": vae}
        for model in models.values():
            check_model(model)
        self.labels = labels
        self.codes = {name: codes_of(model, x) for name, model in models.items()}
        reach = max(3.0, *(float(math.ceil(codes.abs().max())) for codes in self.codes.values()))
        super().__init__(
            state={"z1": 1.0, "z2": 1.0, "view": min(6.0, reach)},
            config={
                "spaces": {
                    name: {"decoder": pack_network(model.decoder.net), "codes": pack(self.codes[name])}
                    for name, model in models.items()
                },
                "labels": labels.tolist(),
                "class_colors": CLASS_COLORS,
                "reach": reach,
            },
        )

    def draw_still(self, figure: Figure) -> None:
        for ax, (name, codes) in zip(figure.subplots(1, 2), self.codes.items(), strict=True):
            latent_scatter(codes, self.labels, ax=ax, title=name)
