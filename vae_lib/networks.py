"""Bodies of encoders and decoders: layers and shapes, no probability.

Every body maps vectors to vectors, (..., in_dim) to (..., out_dim), so that a dense one and a convolutional
one can take each other's place. Images are flat outside and are (C, H, W) inside a convolutional body only.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Sequential):
    """Dense layers with a ReLU after each hidden one: (..., in_dim) -> (..., out_dim).

    Args:
        in_dim: width of the input.
        hidden: widths of the hidden layers, in order; may be empty.
        out_dim: width of a last linear layer without activation. None ends after the last ReLU.
    Raises:
        ValueError: a width is not positive.

    Book: def-numpy-linear.

    >>> MLP(784, (400, 100)).out_dim
    100
    """

    def __init__(self, in_dim: int, hidden: Sequence[int], out_dim: int | None = None) -> None:
        widths = [in_dim, *hidden]
        if min([*widths, out_dim or 1]) < 1:
            raise ValueError(f"layer widths must be positive, got {in_dim}, {tuple(hidden)}, {out_dim}")
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        if out_dim is not None:
            layers.append(nn.Linear(widths[-1], out_dim))
        super().__init__(*layers)
        self.out_dim = widths[-1] if out_dim is None else out_dim


class ConvEncoderBody(nn.Module):
    """Strided 3x3 convolutions, each halving height and width: (..., C*H*W) -> (..., out_dim).

    Args:
        image_shape: (C, H, W) of the flat input.
        channels: output channels of each convolution.

    Book: def-conv-two, eq-conv-halve.

    >>> ConvEncoderBody((1, 28, 28), (32, 64)).out_dim      # 64 channels of 7 x 7
    3136
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: Sequence[int]) -> None:
        super().__init__()
        self.image_shape = image_shape
        layers: list[nn.Module] = []
        for n_in, n_out in zip([image_shape[0], *channels[:-1]], channels, strict=True):
            layers += [nn.Conv2d(n_in, n_out, kernel_size=3, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.out_dim = math.prod((channels[-1], *halved_sizes(image_shape, len(channels))[-1]))

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x.reshape(-1, *self.image_shape))
        return h.reshape(*x.shape[:-1], self.out_dim)


class ConvDecoderBody(nn.Module):
    """The mirror of :class:`ConvEncoderBody`: (..., z_dim) -> (..., C*H*W), last layer linear.

    Args:
        z_dim: width of the input.
        image_shape: (C, H, W) of the flat output.
        channels: channels of the mirrored encoder, in the encoder's order.

    Book: eq-conv-transposed, eq-conv-transposed-size.

    >>> import torch
    >>> ConvDecoderBody(20, (1, 28, 28), (32, 64))(torch.zeros(5, 20)).shape
    torch.Size([5, 784])
    """

    def __init__(self, z_dim: int, image_shape: tuple[int, int, int], channels: Sequence[int]) -> None:
        super().__init__()
        sizes = halved_sizes(image_shape, len(channels))
        self.first_shape = (channels[-1], *sizes[-1])
        self.out_dim = math.prod(image_shape)
        self.first = nn.Sequential(nn.Linear(z_dim, math.prod(self.first_shape)), nn.ReLU())
        layers: list[nn.Module] = []
        outs = [*reversed(channels[:-1]), image_shape[0]]
        for i, (n_in, n_out) in enumerate(zip(reversed(channels), outs, strict=True)):
            # A transposed convolution cannot know whether the size it undoes was even or odd:
            # output_padding says so.
            (h, w), (big_h, big_w) = sizes[-1 - i], sizes[-2 - i]
            padding = (big_h - (2 * h - 1), big_w - (2 * w - 1))
            layers += [
                nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=padding),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(z).reshape(-1, *self.first_shape)
        return self.layers(h).reshape(*z.shape[:-1], self.out_dim)


def halved_sizes(image_shape: tuple[int, int, int], n_halvings: int) -> list[tuple[int, int]]:
    """Height and width before and after each 3x3 convolution of stride 2 with padding 1.

    Book: eq-conv-halve.

    >>> halved_sizes((1, 28, 28), 3)
    [(28, 28), (14, 14), (7, 7), (4, 4)]
    """
    sizes = [image_shape[1:]]
    for _ in range(n_halvings):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes
