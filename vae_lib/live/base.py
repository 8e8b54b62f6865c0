"""What all live figures share: one script, one custom element each, and a way into notebook and page.

A live figure computes in the reader's browser, so it also works where no Python runs. On a page it is a
custom element with its numbers inside, for which the page loads the script once (`page_script`). In
Jupyter the same script is an anywidget, and Python can read and set the figure's state.
"""

import base64
import hashlib
import html
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor, nn

from vae_lib import plotting

FOLDER = Path(__file__).parent
#: Set while the book is built: figures are then plain HTML, which needs no kernel.
STATIC = "VAE_LIB_STATIC"
#: Letters from which on a piece of numbers stands in an element of its own, which figures can share.
LARGE = 20_000

State = dict[str, Any]


def page_script() -> str:
    """The script that brings every live figure on a page to life; to be loaded once, as a classic script."""
    figures = sorted(path for path in FOLDER.glob("*.js") if path.stem not in ("core", "widget"))
    parts = [path.read_text(encoding="utf-8") for path in (FOLDER / "core.js", *figures)]
    return '(() => {\n"use strict";\n\n' + "\n".join(parts) + "})();\n"


class LiveFigure:
    """A figure that the reader can touch. Each kind of figure is a subclass.

    Args:
        state: what the reader can change; numbers and short words.
        config: what the figure needs besides: data, weights, settings.
    """

    #: Name of the custom element.
    tag: ClassVar[str]

    def __init__(self, state: State, config: Mapping[str, Any] | None = None) -> None:
        self._state = state
        self._config = dict(config or {})
        self._widget: _Widget | None = None

    @property
    def state(self) -> State:
        """What the reader has set. Assign a dict, complete or not, to move the figure."""
        return dict(self._widget.state if self._widget else self._state)

    @state.setter
    def state(self, changes: Mapping[str, Any]) -> None:
        if unknown := set(changes) - set(self._state):
            raise ValueError(f"{type(self).__name__} has no {sorted(unknown)}, only {sorted(self._state)}")
        self._state = self.state | dict(changes)
        if self._widget:
            self._widget.state = self._state

    @property
    def values(self) -> dict[str, float]:
        """The numbers that the figure shows; an empty dictionary until the browser has drawn it."""
        return dict(self._widget.values) if self._widget else {}

    def draw_still(self, figure: Figure) -> None:
        """Draw the figure as it is for a reader whose device runs no script."""
        raise NotImplementedError

    def still(self) -> bytes:
        """That picture, as PNG."""
        with plt.style.context(FOLDER.parent / "vae_lib.mplstyle"), io.BytesIO() as file:
            figure = Figure(figsize=(6.2, 3.0))
            self.draw_still(figure)
            figure.savefig(file, format="png", dpi=200)
            return file.getvalue()

    def html(self) -> str:
        """The custom element, with everything that it needs but the script.

        Weights stand before it under an id that is their hash, so that a page needs them once only.
        """
        pieces: dict[str, str] = {}
        config = _without_large(self._config | {"state": self.state, "colors": plotting.COLORS}, pieces)
        numbers = "".join(
            f'<script type="text/plain" id="live-{key}">{text}</script>' for key, text in pieces.items()
        )
        still = base64.b64encode(self.still()).decode()
        return (
            f'{numbers}<{self.tag} config="{html.escape(json.dumps(config))}"><noscript>'
            f'<img src="data:image/png;base64,{still}" alt="A still picture of a figure that moves where'
            f' scripts may run."></noscript></{self.tag}>'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        if os.environ.get(STATIC):
            return {"text/html": self.html(), "image/png": base64.b64encode(self.still()).decode()}
        if self._widget is None:
            self._widget = _Widget(html=self.html(), state=self._state)
        return self._widget._repr_mimebundle_(**kwargs)


class _Widget(anywidget.AnyWidget):
    """The figure in Jupyter. Made when it is first displayed, because it opens a line to the browser."""

    _esm = page_script() + (FOLDER / "widget.js").read_text(encoding="utf-8")
    html = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)


# Numbers for the browser ---------------------------------------------------------------------------


def _without_large(value: Any, pieces: dict[str, str]) -> Any:
    """A copy of `value` with every long text replaced by the key under which `pieces` now holds it."""
    if isinstance(value, Mapping):
        return {key: _without_large(item, pieces) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_large(item, pieces) for item in value]
    if isinstance(value, str) and len(value) >= LARGE:
        key = hashlib.sha256(value.encode()).hexdigest()[:16]
        pieces[key] = value
        return {"piece": key}
    return value


def pack(values: Tensor) -> str:
    """Any tensor as base64 of float16, which keeps three digits in a quarter of the letters of a list."""
    return base64.b64encode(values.detach().cpu().numpy().astype("<f2").tobytes()).decode()


def pack_images(images: Tensor) -> str:
    """Images with values in [0, 1] as base64, sixteen grey levels, two pixels to a byte."""
    levels = (images.detach().cpu().clip(0, 1) * 15).round().to(torch.uint8).numpy().reshape(-1, 2)
    return base64.b64encode((levels[:, 0] * 16 + levels[:, 1]).astype(np.uint8).tobytes()).decode()


def pack_network(network: nn.Module) -> list[dict[str, Any]]:
    """Weights of a dense network, layer by layer.

    Raises:
        ValueError: a layer is neither `Linear` nor `ReLU`.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    >>> [layer["relu"] for layer in pack_network(network)]
    [True, False]
    """
    layers: list[dict[str, Any]] = []
    for module in network.children():
        if isinstance(module, nn.Linear):
            layers.append({"weight": pack(module.weight), "bias": pack(module.bias), "relu": False})
        elif isinstance(module, nn.ReLU) and layers:
            layers[-1]["relu"] = True
        else:
            raise ValueError(f"a live figure runs Linear and ReLU layers, not {type(module).__name__}")
    return layers
