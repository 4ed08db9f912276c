"""Collects the operations of a foreign network as nodes of a `Graph`, whatever kind of file they were read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import MAXIMUM, Activation, Binary, Conv, Flatten, Graph, Linear, Node, Pool, Shape, Window

Numbers = NDArray[np.float32]
Pair = Sequence[int]

NEXT_STEP = (
    "Networks are converted that consist of square convolutions, batch normalisation, linear layers, ReLU, ReLU6, hard "
    "swish, hard sigmoid, sums, products, maxima and means of windows, and the global mean. A device that takes ONNX "
    "files, such as cpu, measures any ONNX file as it is."
)


def unsupported(what: str) -> UnsupportedLayerError:
    """The error that names an operation which cannot be converted."""
    return UnsupportedLayerError(f"The network cannot be converted: {what} is not supported.", NEXT_STEP)


class Lowering:
    """A graph in the making.

    Values have the names that they have in the file. A value that a node does not change is only another name.

    Args:
        input_name: Name of the input in the file.
        input_shape: Shape of the input, (n, 3, h, w).
    """

    def __init__(self, input_name: str, input_shape: Shape) -> None:
        self.input_shape = input_shape
        self.nodes: dict[str, Node] = {}
        self.place = {input_name: Graph.INPUT}
        self.shapes: dict[str, Shape] = {Graph.INPUT: input_shape}
        self.readers: dict[str, int] = {}

    def shape(self, value: str) -> Shape:
        """Shape of a value.

        Raises:
            UnsupportedLayerError: No node has this value.
        """
        if value not in self.place:
            raise unsupported(f"reading {value}, which is a constant or is read before its batch normalisation too,")
        return self.shapes[self.place[value]]

    def _put(self, node: Node, output: str) -> None:
        shape = node.infer(*(self.shapes[name] for name in node.inputs))
        if shape is None or node.name in self.shapes:
            raise unsupported(f"{node.name} ({type(node).__name__} of {[self.shapes[n] for n in node.inputs]})")
        for name in node.inputs:
            self.readers[name] = self.readers.get(name, 0) + 1
        self.nodes[node.name], self.shapes[node.name], self.place[output] = node, shape, node.name

    def _names(self, output: str, *inputs: str) -> tuple[str, tuple[str, ...]]:
        for value in inputs:
            self.shape(value)
        # The input of a graph has a name of its own, which a value of the file may have too.
        name = f"{output}_" if output == Graph.INPUT else output
        return name, tuple(self.place[value] for value in inputs)

    def same(self, output: str, value: str) -> None:
        """A value that is another one under a new name."""
        self.shape(value)
        self.place[output] = self.place[value]

    def conv(
        self,
        output: str,
        value: str,
        weight: Numbers,
        bias: Numbers | None,
        strides: Pair,
        padding: Pair,
        dilations: Pair,
        groups: int,
    ) -> None:
        """A convolution; padding is that of all sides."""
        alike = len(set(strides)) == 1 and len(set(padding)) == 1 and set(dilations) == {1}
        if weight.ndim != 4 or not alike or weight.shape[2] != weight.shape[3]:
            raise unsupported(
                f"{output} (a convolution with the kernel {weight.shape[2:]}, strides {list(strides)}, padding "
                f"{list(padding)} and dilations {list(dilations)})"
            )
        bias = np.zeros(len(weight), np.float32) if bias is None else bias
        self._put(Conv(*self._names(output, value), weight, bias, strides[0], padding[0], groups), output)

    def norm(
        self,
        output: str,
        value: str,
        scale: Numbers | None,
        shift: Numbers | None,
        mean: Numbers,
        variance: Numbers,
        epsilon: float,
    ) -> None:
        """Batch normalisation, which becomes a part of the convolution before it."""
        name = self.place.get(value, "")
        conv = self.nodes.get(name)
        if not isinstance(conv, Conv) or self.readers.get(name):
            raise unsupported(f"{output} (batch normalisation that does not follow a convolution)")
        self.nodes[name] = folded(conv, scale, shift, mean, variance, epsilon)
        # What the convolution alone gives is not there any more: nothing else may read it.
        self.place = {value: node for value, node in self.place.items() if node != name}
        self.place[output] = name

    def linear(self, output: str, value: str, weight: Numbers, bias: Numbers | None) -> None:
        """A fully connected layer; weight (out, in)."""
        bias = np.zeros(len(weight), np.float32) if bias is None else bias
        self._put(Linear(*self._names(output, value), weight, bias), output)

    def activation(self, output: str, value: str, function: str) -> None:
        """An element-wise function of `nagsdk.graph.ir`."""
        self._put(Activation(*self._names(output, value), function), output)

    def binary(self, output: str, first: str, second: str, function: str) -> None:
        """A sum or a product."""
        self._put(Binary(*self._names(output, first, second), function), output)

    def mean(self, output: str, value: str) -> None:
        """The mean over height and width, which remain."""
        self._put(Pool(*self._names(output, value)), output)

    def window(
        self, output: str, value: str, function: str, kernel: Pair, strides: Pair, padding: Pair, partial: bool
    ) -> None:
        """Maxima or means of windows; padding is that of all sides."""
        alike = all(len(set(pair)) == 1 for pair in (kernel, strides, padding))
        if not alike or (function != MAXIMUM and any(padding)):
            raise unsupported(f"{output} (windows {list(kernel)}, strides {list(strides)}, padding {list(padding)})")
        self._put(
            Window(*self._names(output, value), function, kernel[0], strides[0], padding[0], partial),
            output,
        )

    def flatten(self, output: str, value: str) -> None:
        """Merges all dimensions but the first; (n, c) stays as it is."""
        if len(self.shape(value)) == 2:
            self.same(output, value)
        else:
            self._put(Flatten(*self._names(output, value)), output)

    def reshape(self, output: str, value: str, shape: Sequence[int]) -> None:
        """A new shape, which must merge all dimensions but the first."""
        read = self.shape(value)
        rest = int(np.prod(read[1:]))
        if len(shape) != 2 or shape[0] not in (read[0], -1, 0) or shape[1] not in (rest, -1) or shape[0] == shape[1]:
            raise unsupported(f"{output} (the shape {list(read)} becomes {list(shape)})")
        self.flatten(output, value)

    def finish(self, output: str) -> Graph:
        """The graph whose output is a value of the shape (n, classes).

        Raises:
            UnsupportedLayerError: The output has another shape, or is not computed from the image.
        """
        if len(self.shape(output)) != 2:
            raise unsupported(f"the output {output} of the shape {list(self.shape(output))}")
        needed, nodes = {self.place[output]}, []
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed |= set(node.inputs)
                nodes.append(node)
        return Graph(self.input_shape, tuple(reversed(nodes)), self.place[output])


def folded(
    conv: Conv, scale: Numbers | None, shift: Numbers | None, mean: Numbers, variance: Numbers, epsilon: float
) -> Conv:
    """A convolution with the batch normalisation behind it, computed in float64 and rounded once.

    Args:
        conv: The convolution.
        scale: Factors of the normalisation, shape (out channels,); None for 1.
        shift: Summands of the normalisation, shape (out channels,); None for 0.
        mean: Means, shape (out channels,).
        variance: Variances, shape (out channels,).
        epsilon: Added to the variances.
    """
    factor = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
    factor = factor if scale is None else factor * scale.astype(np.float64)
    added = 0.0 if shift is None else shift.astype(np.float64)
    weight = (conv.weight * factor[:, None, None, None]).astype(np.float32)
    bias = ((conv.bias - mean.astype(np.float64)) * factor + added).astype(np.float32)
    return replace(conv, weight=weight, bias=bias)
