"""What Vela estimates for single layers, from which costs are predicted before any network is compiled."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nagsdk.common.folders import cache_folder
from nagsdk.graph.integers import integer_graph
from nagsdk.graph.ir import (
    ADD,
    GATE,
    MULTIPLY,
    RELU,
    RELU6,
    Activation,
    Binary,
    Conv,
    Graph,
    Linear,
    Node,
    Pool,
    Shape,
    Weights,
)
from nagsdk.graph.numbers import INT8
from nagsdk.graph.tflite_int8 import write_integer_tflite
from nagsdk.space.layer import LayerSpec
from nagsdk_vela.compiler import Figures, Vela
from nagsdk_vela.settings import VelaSettings

_SWISH = "hswish"


class Estimates:
    """Estimates of layers on one accelerator, kept in the cache folder, since a space has hundreds of them.

    Args:
        settings: The accelerator and its system.
        file: Where they are kept, one in a line.
    """

    def __init__(self, settings: VelaSettings, file: Path) -> None:
        self._settings, self._file = settings, file
        self._known: dict[str, Figures] = {}
        self._vela: Vela | None = None
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    key, figures = json.loads(line)
                    self._known[key] = Figures(**{name: float(value) for name, value in figures.items()})
                except (ValueError, TypeError, AttributeError):
                    continue  # the end of a line that another process, or a full disk, left unfinished

    def of(self, layer: LayerSpec) -> Figures:
        """The estimate of a layer; Vela compiles it if it is not known yet."""
        key = json.dumps(list(asdict(replace(layer, name="")).values()))
        if key not in self._known:
            self._known[key] = self._compiled(layer)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, asdict(self._known[key])]) + "\n")
        return self._known[key]

    def _compiled(self, layer: LayerSpec) -> Figures:
        if self._vela is None:
            self._vela = Vela(self._settings)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "layer.tflite"
            write_integer_tflite(integer_graph(graph_of(layer)), path, INT8)
            return self._vela.compile(path)[0]


@lru_cache(maxsize=4)
def estimates_of(settings: VelaSettings) -> Estimates | None:
    """The estimates of an accelerator; None if Vela is not installed."""
    if importlib.util.find_spec("ethosu") is None:
        return None
    name = f"{settings.accelerator}-{settings.system}-{settings.memory}-{version('ethos-u-vela')}.jsonl"
    return Estimates(settings, cache_folder() / "vela" / name)


def graph_of(layer: LayerSpec) -> Graph:
    """A network of one layer, in the operations that integer files have.

    Raises:
        UnsupportedLayerError: nagsdk does not know the layer's kind.
    """
    size: Shape = (1, layer.in_channels, layer.in_size, layer.in_size)
    channels, image = layer.in_channels, (Graph.INPUT,)
    makers: dict[str, Callable[[], tuple[Node, ...]]] = {
        "conv": lambda: (_conv(layer, 1),),
        "pointwise": lambda: (_conv(layer, 1),),
        "depthwise": lambda: (_conv(layer, channels),),
        "se": lambda: _gated(layer),
        "add": lambda: (Binary("layer", image * 2, ADD),),
        "pool": lambda: (Pool("layer", image),),
        "linear": lambda: (Linear("layer", image, *_weights((layer.out_channels, channels))),),
    }
    nodes = layer.by_kind(makers)()
    if layer.kind == "linear":
        size = size[:2]
    if layer.activation == _SWISH:
        nodes += Activation("gate", ("layer",), GATE), Binary("swish", ("layer", "gate"), MULTIPLY)
    elif layer.activation == "relu":
        nodes += (Activation("relu", ("layer",), RELU),)
    return Graph(size, nodes, nodes[-1].name)


def _weights(shape: Shape) -> tuple[Weights, Weights]:
    """Random weights, which Vela compresses about as it does trained ones, and a bias of zeros."""
    return np.random.default_rng(0).standard_normal(shape, np.float32), np.zeros(shape[0], np.float32)


def _conv(layer: LayerSpec, groups: int) -> Conv:
    weights = _weights((layer.out_channels, layer.in_channels // groups, layer.kernel, layer.kernel))
    return Conv("layer", (Graph.INPUT,), *weights, layer.stride, layer.kernel // 2, groups)


def _gated(layer: LayerSpec) -> tuple[Node, ...]:
    channels, middle = layer.in_channels, layer.se_channels
    return (
        Pool("mean", (Graph.INPUT,)),
        Conv("reduce", ("mean",), *_weights((middle, channels, 1, 1))),
        Activation("relu", ("reduce",), RELU),
        Conv("expand", ("relu",), *_weights((channels, middle, 1, 1))),
        Activation("gate", ("expand",), RELU6),
        Binary("layer", (Graph.INPUT, "gate"), MULTIPLY),
    )
