"""The integer form of a `Graph`: int8 activations with a zero point, int8 weights with a scale per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import DataError, UnsupportedLayerError
from nagsdk.graph.interpret import computed, last_readers
from nagsdk.graph.ir import (
    GELU,
    HARD_SWISH,
    RELU,
    RELU6,
    Activation,
    Conv,
    Flatten,
    Graph,
    Linear,
    Node,
    Pad,
    Rows,
    Weights,
)
from nagsdk.graph.numbers import SHIFTS
from nagsdk.graph.quantize import MOST, quantised
from nagsdk.graph.ranges import Ranges, made_up_ranges, observed_ranges, spread
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

if TYPE_CHECKING:
    from torch import Tensor

LOWEST, HIGHEST = -128, 127
# Largest magnitude of weights in 7 bits: two products with 8-bit activations fit into 16 bits. Processors of x86-64
# without VNNI add pairs of products in 16 bits, and saturate.
MOST_OF_7_BITS = 63
# Largest magnitude of a bias; the products fit into the other half of 32 bits. A layer whose weights or inputs are as
# good as 0 would need more to keep its bias, so its scales grow.
MOST_OF_BIASES = 1 << 30
# Most numbers of the largest tensor, over all images, while biases are corrected; keeps memory below 1 GB.
_MOST_NUMBERS, _MOST_CORRECTING = 1 << 25, 64
_FLOAT_ONLY = {LayerNorm: "layer normalisation", Attention: "attention", Tokens: "tokens", TokenMean: "tokens"}


@dataclass(frozen=True)
class Affine:
    """How the integers of a tensor stand for real numbers: scale · (q − zero_point), with q from -128 to 127."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, low: float, high: float) -> Affine:
        """The mapping of a range, which is widened to contain 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        if low == high:  # always 0: any scale will do
            high = 1.0
        scale = np.float32((high - low) / (HIGHEST - LOWEST))
        if not (np.isfinite(scale) and scale > np.finfo(np.float32).tiny):
            raise DataError(
                f"The range of a tensor, {low:g} to {high:g}, cannot be expressed in int8.",
                "Check the images and the weights, or use another precision, such as fp32.",
            )
        return cls(float(scale), int(np.clip(np.rint(LOWEST - low / float(scale)), LOWEST, HIGHEST)))


@dataclass(frozen=True, eq=False)
class IntegerWeights:
    """Weights of a convolution or linear layer.

    Attributes:
        values: Multiples of the scales, int8, in the shape of the weights.
        scales: Scale of each output channel.
        bias: Bias as multiples of the input's scale times `scales`, int32.
    """

    values: NDArray[np.int8]
    scales: Weights
    bias: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class IntegerGraph(Graph):
    """A network whose tensors are integers, except input and output.

    Attributes:
        tensors: Mapping of each tensor that exists; activations that are part of another operation have only one.
        weights: Weights by the name of their node.
        fused: Name of the activation that is a part of an operation, by the name of the operation.
        ranges: What the integers were made from.
        most: Largest magnitude of a weight.
    """

    tensors: Mapping[str, Affine] = field(default_factory=dict)
    weights: Mapping[str, IntegerWeights] = field(default_factory=dict)
    fused: Mapping[str, str] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=lambda: Ranges({}))
    most: int = MOST

    def affine(self, name: str) -> Affine:
        """The mapping of the tensor that holds the value of a node, after its activation."""
        return self.tensors[self.fused.get(name, name)]

    def steps(self, node: Conv | Linear) -> Weights:
        """What one step of the sums and of the bias of a layer stands for, by output channel."""
        return np.float32(self.affine(node.inputs[0]).scale) * self.weights[node.name].scales


def numbers_of(graph: IntegerGraph, name: str, io: str) -> dict[str, Any]:
    """How the numbers of input or output of a file are to be read: type, scale and zero point.

    Args:
        graph: The network.
        name: The name of its input or output.
        io: Numbers of input and output; see `nagsdk.graph.numbers`.
    """
    if io not in SHIFTS:
        return {"type": "float32", "scale": None, "zero_point": None}
    affine = graph.affine(name)
    return {"type": io, "scale": affine.scale, "zero_point": affine.zero_point + SHIFTS[io]}


def integer_graph(
    graph: Graph,
    images: Weights | None = None,
    kept: Mapping[str, bytes] | None = None,
    *,
    most: int = MOST,
) -> IntegerGraph:
    """Quantises a network.

    Args:
        graph: The network, rewritten for integers; see `nagsdk.graph.integer_passes`.
        images: Normalised images to take ranges from, shape (n, 3, h, w). With None, the ranges are made up, which is
            enough for networks that are only timed.
        kept: Statistics of an earlier call (`Ranges.to_statistics`); used instead of images.
        most: Largest magnitude of a weight: 127, or `MOST_OF_7_BITS`.

    Raises:
        DataError: There is no image, or a tensor has values that are not finite.
        UnsupportedLayerError: The network has layers without an integer form; the message names them.
    """
    _check_forms(graph)
    if kept is not None:
        return with_ranges(graph, Ranges.from_statistics(kept, graph), most)
    if images is None:
        return with_ranges(graph, made_up_ranges(graph), most)
    if not len(images):
        raise DataError(
            "There are no images to take the ranges for int8 from.", "Give some, or deploy for timing only."
        )
    chosen = spread(images)
    made = with_ranges(graph, observed_ranges(graph, chosen), most)
    largest = max(int(np.prod(shape[1:])) for shape in graph.shapes.values())
    few = spread(chosen, max(1, min(_MOST_CORRECTING, _MOST_NUMBERS // largest)))
    return with_ranges(graph, replace(made.ranges, corrections=_corrections(made, few)), most)


def with_ranges(graph: Graph, ranges: Ranges, most: int) -> IntegerGraph:
    """The integers of a network that follow from known ranges; see `integer_graph`."""
    fused = graph.fusible(RELU, RELU6, HARD_SWISH)
    tensors = {graph.INPUT: Affine.of(*ranges.limits[graph.INPUT])}
    weights = {}
    for node in graph.nodes:
        source = fused.get(node.inputs[0], node.inputs[0])
        if _same_numbers(node, fused):
            tensors[node.name] = tensors[source]
        elif node.name not in fused:
            tensors[node.name] = Affine.of(*ranges.limits[node.name])
        if isinstance(node, (Conv, Linear)):
            weights[node.name] = _weights(node, tensors[source], ranges.corrections.get(node.name), most)
    known = (graph.input_shape, graph.nodes, graph.output, graph.architecture)
    return IntegerGraph(*known, tensors, weights, fused, ranges, most, input_range=graph.input_range)


def _check_forms(graph: Graph) -> None:
    missing = {_FLOAT_ONLY[type(node)] for node in graph.nodes if type(node) in _FLOAT_ONLY}
    missing |= {"GELU" for node in graph.nodes if isinstance(node, Activation) and node.function == GELU}
    if missing:
        raise UnsupportedLayerError(
            f"The network has layers that have no integer form yet: {', '.join(sorted(missing))}.",
            "Use another precision, such as fp32.",
        )


def _same_numbers(node: Node, fused: Mapping[str, str]) -> bool:
    """Whether a node only moves numbers, or cuts them off at zero, so that its output has the mapping of its input."""
    cut = isinstance(node, Activation) and node.function == RELU and node.name not in fused.values()
    return cut or isinstance(node, (Flatten, Rows, Pad))


def _weights(node: Conv | Linear, source: Affine, correction: Weights | None, most: int) -> IntegerWeights:
    if not (np.isfinite(node.weight).all() and np.isfinite(node.bias).all()):
        raise DataError(f"{node.name} has weights that are not finite.", "Check the weights of the bundle.")
    bias = node.bias if correction is None else node.bias + correction
    least = (np.abs(bias) / np.float32(source.scale * MOST_OF_BIASES)).astype(np.float32)
    values, scales = quantised(node.weight, 0, most, least)
    steps = np.maximum(np.float32(source.scale) * scales, np.finfo(np.float32).tiny)
    return IntegerWeights(values, scales, np.rint(bias.astype(np.float64) / steps).astype(np.int32))


def approximated(graph: IntegerGraph, images: Tensor) -> Tensor:
    """Computes the logits in float32, with every tensor rounded as its integers round it.

    It is faster than `nagsdk.graph.simulate.simulated`, and differs from it by single steps.

    Args:
        graph: The network.
        images: Normalised images, shape (n, 3, h, w).
    """
    import torch

    values = {graph.INPUT: _rounded(images.clone(), graph.tensors[graph.INPUT])}
    over = last_readers(graph)
    with torch.no_grad():
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            if isinstance(node, (Conv, Linear)):
                weight, bias = _real_weights(graph, node)
                result = computed(node, inputs, weight, bias)
            else:
                result = computed(node, inputs)
            values[node.name] = _rounded(result, graph.tensors[node.name]) if node.name in graph.tensors else result
            for name in over.get(node.name, ()):
                del values[name]
    return values[graph.output]


def _real_weights(graph: IntegerGraph, node: Conv | Linear) -> tuple[Tensor, Tensor]:
    import torch

    made = graph.weights[node.name]
    scales = made.scales.reshape(-1, *[1] * (made.values.ndim - 1))
    bias = (made.bias * graph.steps(node)).astype(np.float32)
    return torch.from_numpy(made.values * scales), torch.from_numpy(bias)


def _corrections(graph: IntegerGraph, images: Weights) -> dict[str, Weights]:
    """The mean error of every channel of every layer, which its bias can take back, in the order of the network."""
    import torch

    real, rounded = {graph.INPUT: torch.from_numpy(images)}, {}
    rounded[graph.INPUT] = _rounded(real[graph.INPUT].clone(), graph.tensors[graph.INPUT])
    found, over = {}, last_readers(graph)
    with torch.no_grad():
        for node in graph.nodes:
            exact = computed(node, [real[name] for name in node.inputs])
            inputs = [rounded[name] for name in node.inputs]
            if isinstance(node, (Conv, Linear)):
                weight, _ = _real_weights(graph, node)
                result = computed(node, inputs, weight, torch.from_numpy(node.bias))
                missing = (exact - result).mean((0, *range(2, exact.ndim)))
                found[node.name] = missing.numpy()
                result += missing.reshape(1, -1, *[1] * (exact.ndim - 2))
            else:
                result = computed(node, inputs)
            real[node.name] = exact
            rounded[node.name] = _rounded(result, graph.tensors[node.name]) if node.name in graph.tensors else result
            for name in over.get(node.name, ()):
                del real[name], rounded[name]
    return found


def _rounded(tensor: Tensor, affine: Affine) -> Tensor:
    """Rounds a tensor in place. A part of a tensor that is rounded already does not change by it."""
    low, high = LOWEST - affine.zero_point, HIGHEST - affine.zero_point
    return tensor.div_(affine.scale).round_().clamp_(low, high).mul_(affine.scale)
