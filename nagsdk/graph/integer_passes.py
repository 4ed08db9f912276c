"""Rewrites of a `Graph` after which its nonlinear functions are cheap and exact in integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nagsdk.graph.ir import (
    ADD,
    GATE,
    HARD_SIGMOID,
    HARD_SWISH,
    MULTIPLY,
    RELU,
    RELU6,
    Activation,
    Binary,
    Conv,
    Flatten,
    Graph,
    Linear,
    Node,
    Pad,
    Pool,
    Rows,
    Weights,
)
from nagsdk.graph.numbers import UINT8

_NORMALISE = "normalise"


def without_hard_functions(graph: Graph, *, keep_hard_swish: bool = False) -> Graph:
    """Replaces hard swish and hard sigmoid, for which runtimes have no or slow integer kernels.

    Hard swish becomes x · relu6(x + 3), and hard sigmoid relu6(x + 3), whose 3 goes into the bias where only it reads a
    convolution. Both are 6 times as large as before; the 6 is divided out of the weights that read them. In integers,
    the limits of relu6 are those of the number format, so that nothing remains of it.

    Args:
        graph: The network; it is not changed.
        keep_hard_swish: Whether hard swish stays, for runtimes that make it part of a convolution.

    Returns:
        A network that computes the same, except for rounding.
    """
    writer = _Rewriter(graph, keep_hard_swish)
    for node in graph.nodes:
        writer.add(node)
    output = writer.plain(graph.output)
    return replace(graph, nodes=tuple(writer.nodes.values()), output=output)


def fed_with(graph: Graph, io: str, mean: Sequence[float] = (0.5,) * 3, std: Sequence[float] = (0.25,) * 3) -> Graph:
    """The network as it is fed: with pixels from 0 to 255, which it normalises itself, where the input is uint8.

    Args:
        graph: The network, which reads normalised images.
        io: Numbers of input and output; see `nagsdk.graph.numbers`.
        mean: Mean of each channel, for pixels in 0–1; made up for networks that are only timed.
        std: Standard deviation of each channel.
    """
    if io != UINT8:
        return graph
    means, deviations = np.array(mean, np.float32), np.array(std, np.float32)
    weight = (1 / (255 * deviations)).astype(np.float32).reshape(3, 1, 1, 1)
    normalise = Conv(_NORMALISE, (graph.INPUT,), weight, -means / deviations, groups=3)
    names = {graph.INPUT: _NORMALISE}
    nodes = [replace(node, inputs=tuple(names.get(name, name) for name in node.inputs)) for node in graph.nodes]
    return replace(graph, nodes=(normalise, *nodes), input_range=(0.0, 255.0))


class _Rewriter:
    """Collects nodes; `factors` says how many times larger than in the original network a tensor is."""

    def __init__(self, graph: Graph, keep_hard_swish: bool) -> None:
        self.graph, self.keep_hard_swish = graph, keep_hard_swish
        self.nodes: dict[str, Node] = {}
        self.factors: dict[str, float] = {}

    def add(self, node: Node) -> None:
        """Rewrites one node."""
        factors = [self.factors.get(name, 1.0) for name in node.inputs]
        match node:
            case Conv() | Linear():
                self._put(node if factors[0] == 1 else replace(node, weight=_times(node.weight, 1 / factors[0])))
            case Activation(function=function) if function == HARD_SWISH and not self.keep_hard_swish:
                source = self.plain(node.inputs[0])
                gate = Activation(f"{node.name}.gate", (source,), GATE)
                self._put(gate)
                self._put(Binary(node.name, (source, gate.name), MULTIPLY), 6.0)
            case Activation(function=function) if function == HARD_SIGMOID:
                self._sigmoid(node)
            case Activation(function=function) if function != RELU:
                self._put(replace(node, inputs=(self.plain(node.inputs[0]),)))
            case Binary(function=function) if function == ADD:
                most = max(factors)
                inputs = tuple(
                    self._scaled(name, most / factor) for name, factor in zip(node.inputs, factors, strict=True)
                )
                self._put(replace(node, inputs=inputs), most)
            case Binary():
                self._put(node, factors[0] * factors[1])
            case Activation() | Pool() | Flatten() | Pad() | Rows():
                self._put(node, factors[0])
            case _:  # the writer of the file knows it, or refuses it
                self._put(replace(node, inputs=tuple(map(self.plain, node.inputs))))

    def plain(self, name: str) -> str:
        """A tensor that is as large as in the original network: this one, or one that is computed from it."""
        return self._scaled(name, 1 / self.factors.get(name, 1.0))

    def _put(self, node: Node, factor: float = 1.0) -> None:
        self.nodes[node.name] = node
        if factor != 1:
            self.factors[node.name] = factor

    def _sigmoid(self, node: Activation) -> None:
        source = self.plain(node.inputs[0])
        conv = self.nodes.get(source)
        if isinstance(conv, (Conv, Linear)) and self._alone(source):
            self.nodes[source] = replace(conv, bias=(conv.bias + np.float32(3)).astype(np.float32))
            self._put(replace(node, inputs=(source,), function=RELU6), 6.0)
        else:
            self._put(replace(node, inputs=(source,), function=GATE), 6.0)

    def _alone(self, name: str) -> bool:
        """Whether a tensor has one reader, so that it may change as that one needs it."""
        return len(self.graph.readers.get(name, (None, None))) == 1 and name != self.graph.output

    def _scaled(self, name: str, by: float) -> str:
        """The name of a tensor that is so many times as large."""
        if by == 1:
            return name
        source = self.nodes.get(name)
        if isinstance(source, (Conv, Linear)) and self._alone(name):
            self.nodes[name] = replace(source, weight=_times(source.weight, by), bias=_times(source.bias, by))
            return name
        _, channels, *sizes = self.graph.shapes[name]
        scaled, bias = f"{name}.scaled{len(self.nodes)}", np.zeros(channels, np.float32)
        if sizes:
            weight = np.full((channels, 1, 1, 1), by, np.float32)
            self._put(Conv(scaled, (name,), weight, bias, groups=channels))
        else:
            self._put(Linear(scaled, (name,), np.diag(np.full(channels, by, np.float32)), bias))
        return scaled


def _times(weights: Weights, factor: float) -> Weights:
    return (weights * np.float32(factor)).astype(np.float32)
