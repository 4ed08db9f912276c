"""The lowered network: typed operations in order, with weights in numpy, layout NCHW and a fixed batch size."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import UnsupportedLayerError
from nagsdk.space.layer import same_sides

Weights = NDArray[np.float32]
Shape = tuple[int, ...]

# Backends of plugins read these names. A layer's activation calls the second one "hswish" (see nagsdk.space.layer).
RELU, HARD_SWISH, HARD_SIGMOID = "relu", "hardswish", "hardsigmoid"
# The second one is relu6(x + 3), only in graphs that are rewritten for integers (see nagsdk.graph.integer_passes).
RELU6, GATE = "relu6", "gate"
# The exact form, x · (1 + erf(x / √2)) / 2, and not the approximation by tanh.
GELU = "gelu"
ADD, MULTIPLY = "add", "multiply"
MAXIMUM, MEAN = "maximum", "mean"


@dataclass(frozen=True, eq=False)
class Node(ABC):
    """One operation.

    Attributes:
        name: Unique name within the graph, which is also the name of the tensor that the node writes.
        inputs: Names of the tensors that the node reads.
    """

    name: str
    inputs: tuple[str, ...]

    @abstractmethod
    def infer(self, *inputs: Shape) -> Shape | None:
        """Returns the output shape, or None if the input shapes do not fit."""


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Two-dimensional convolution with zero padding.

    Attributes:
        weight: Shape (out channels, in channels / groups, kernel height, kernel width).
        bias: Shape (out channels,).
        stride: Stride in both directions.
        padding: Number of rows of zeros above the image, and of columns on its left.
        groups: 1, or the number of channels for a depthwise convolution.
        extra: How many more rows there are below the image, and columns on its right; 0 for equal sides.
    """

    weight: Weights
    bias: Weights
    stride: int = 1
    padding: int = 0
    groups: int = 1
    extra: int = 0

    @property
    def sides(self) -> tuple[int, int]:
        """Number of rows of zeros above and below the image, which is also that of columns on its left and right."""
        return self.padding, self.padding + self.extra

    @property
    def kernel(self) -> tuple[int, int]:
        """Kernel height and width."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    def is_same(self, sizes: Shape) -> bool:
        """Whether TFLite computes it with its padding SAME, without zeros of its own around an image of these sizes.

        With equal sides only where the output is as large as the input: files with strides stay as they always were.
        """
        if not self.extra:
            return self.stride == 1 and self.kernel == (2 * self.padding + 1,) * 2
        kernels = zip(sizes, self.kernel, strict=True)
        return all(same_sides(size, kernel, self.stride) == self.sides for size, kernel in kernels)

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved separately."""
        return self.groups == int(self.weight.shape[0]) and int(self.weight.shape[1]) == 1

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, out channels, h', w')."""
        ((n, c, *sizes),) = inputs
        if len(sizes) != 2 or c != self.weight.shape[1] * self.groups:
            return None
        out = [
            (size + sum(self.sides) - kernel) // self.stride + 1
            for size, kernel in zip(sizes, self.kernel, strict=True)
        ]
        return (n, self.weight.shape[0], *out) if min(out) > 0 else None


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """Fully connected layer, applied to each token if there are tokens; weight (out, in), bias (out,)."""

    weight: Weights
    bias: Weights

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, in) → (n, out), or (n, t, in) → (n, t, out)."""
        (shape,) = inputs
        fits = len(shape) in (2, 3) and shape[-1:] == self.weight.shape[1:]
        return (*shape[:-1], self.weight.shape[0]) if fits else None


@dataclass(frozen=True, eq=False)
class Activation(Node):
    """Element-wise function.

    Attributes:
        function: ``relu``, ``relu6``, ``hardswish`` (x · relu6(x + 3) / 6), ``hardsigmoid`` (relu6(x + 3) / 6) or
            ``gelu`` (x · (1 + erf(x / √2)) / 2); in graphs that are rewritten for integers also ``gate``
            (relu6(x + 3)).
    """

    function: str

    def infer(self, *inputs: Shape) -> Shape | None:
        """Keeps the shape."""
        return inputs[0]


@dataclass(frozen=True, eq=False)
class Binary(Node):
    """``add`` or ``multiply`` of two tensors; sizes of 1 are broadcast."""

    function: str

    def infer(self, *inputs: Shape) -> Shape | None:
        """Returns the broadcast shape."""
        first, second = inputs
        fits = len(first) == len(second) and all(a == b or 1 in (a, b) for a, b in zip(first, second, strict=True))
        return tuple(max(pair) for pair in zip(first, second, strict=True)) if fits else None


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """Mean over height and width, which remain as dimensions of size 1."""

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, c, 1, 1)."""
        (shape,) = inputs
        return (*shape[:2], 1, 1) if len(shape) == 4 else None


@dataclass(frozen=True, eq=False)
class Window(Node):
    """``maximum`` or ``mean`` of square windows; positions beyond the image do not count.

    Attributes:
        function: The function.
        kernel: Height and width of a window.
        stride: Stride in both directions.
        padding: Number of positions beyond the image on every side where windows begin.
        partial: Whether a last window that ends beyond the padding counts (torch's `ceil_mode`).
    """

    function: str
    kernel: int
    stride: int
    padding: int = 0
    partial: bool = False

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, c, h', w')."""
        ((n, c, *sizes),) = inputs
        out = [self._positions(size) for size in sizes]
        return (n, c, *out) if len(out) == 2 and min(out) > 0 else None

    def _positions(self, size: int) -> int:
        room = size + 2 * self.padding - self.kernel
        out = (-(-room // self.stride) if self.partial else room // self.stride) + 1
        # A window that would begin in the padding after the image does not count.
        return out - (self.partial and (out - 1) * self.stride >= size + self.padding)


@dataclass(frozen=True, eq=False)
class Pad(Node):
    """Zeros around height and width.

    Attributes:
        top: Number of rows of zeros above the image.
        bottom: Number of rows of zeros below the image.
        left: Number of columns of zeros on its left.
        right: Number of columns of zeros on its right.
    """

    top: int
    bottom: int
    left: int
    right: int

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, c, top + h + bottom, left + w + right)."""
        ((n, c, *sizes),) = inputs
        if len(sizes) != 2:
            return None
        return (n, c, self.top + sizes[0] + self.bottom, self.left + sizes[1] + self.right)


@dataclass(frozen=True, eq=False)
class Rows(Node):
    """Some rows of an image.

    Attributes:
        start: Index of the first row.
        stop: Index after the last row.
    """

    start: int
    stop: int

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, c, stop − start, w)."""
        (shape,) = inputs
        fits = len(shape) == 4 and 0 <= self.start < self.stop <= shape[2]
        return (*shape[:2], self.stop - self.start, shape[3]) if fits else None


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """Merges all dimensions but the first."""

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, …) → (n, product)."""
        (shape,) = inputs
        return (shape[0], math.prod(shape[1:]))


@dataclass(frozen=True, eq=False)
class Graph:
    """A network with one input and one output.

    Attributes:
        input_shape: Shape of the input, (n, 3, h, w).
        nodes: The operations, in an order in which they can be executed.
        output: Name of the node whose tensor is the logits (n, classes).
        architecture: Text form of the architecture that it was made from; empty if unknown.
        input_range: Smallest and largest value of the input, if they are known, as those of pixels are.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str
    architecture: str = ""
    input_range: tuple[float, float] | None = field(default=None, kw_only=True)

    INPUT = "image"

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of every tensor by name, including that of the input.

        Raises:
            UnsupportedLayerError: A node cannot read its inputs.
        """
        shapes: dict[str, Shape] = {self.INPUT: self.input_shape}
        for node in self.nodes:
            inputs = [shapes[name] for name in node.inputs]
            shape = node.infer(*inputs)
            if shape is None:
                raise UnsupportedLayerError(
                    f"{node.name} ({type(node).__name__}) cannot read inputs of the shape "
                    f"{' and '.join(map(str, inputs))}.",
                    "Use an input size that the network was made for.",
                )
            shapes[node.name] = shape
        return MappingProxyType(shapes)

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each tensor, by its name; one that reads it twice is listed twice."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return MappingProxyType({name: tuple(nodes) for name, nodes in found.items()})

    def fusible(self, *functions: str) -> dict[str, str]:
        """Finds operations that only one activation reads, so that it can become a part of them.

        Args:
            *functions: The functions of such activations.

        Returns:
            The name of the activation by the name of the operation.
        """
        found = {}
        for node in self.nodes:
            match self.readers.get(node.name, ()):
                case (Activation(name=name, function=function),) if function in functions and node.name != self.output:
                    if isinstance(node, (Conv, Linear, Binary)):
                        found[node.name] = name
        return found
