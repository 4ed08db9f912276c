"""The memory that a runtime needs for the tensors of a `Graph`, as TensorFlow Lite plans it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nagsdk.graph.integers import IntegerGraph
from nagsdk.graph.ir import HARD_SIGMOID, RELU, RELU6, Activation, Conv, Graph, Rows, Shape
from nagsdk.graph.numbers import FLOAT, INT8, SHIFTS
from nagsdk.graph.tokens import Attention, LayerNorm

# Places of tensors are multiples of this, as in TensorFlow Lite for Microcontrollers.
_ALIGNMENT = 16
_FLOAT_BYTES = 4
# Writes a tensor of so many numbers from others, and returns its number.
Operation = Callable[[Sequence[int], int], int]


@dataclass(frozen=True)
class Tenancy:
    """How long a tensor is kept: from one operation to another, both included."""

    size: int
    first: int
    last: int


def peak_activations(graph: Graph, io: str = FLOAT) -> int:
    """Bytes of the memory into which all tensors fit that are needed at the same time; weights are not among them.

    Tensors are placed as TensorFlow Lite places them: the largest first, each at the lowest free place.

    Args:
        graph: The network as it is written: in integers with one byte for each number, else in float32.
        io: Numbers of input and output of a network in integers; see `nagsdk.graph.tflite_int8.write_integer_tflite`.
    """
    return planned(tenancies(graph, io))


def tenancies(graph: Graph, io: str = FLOAT) -> list[Tenancy]:
    """The tensors of the written network, in the order in which operations write them."""
    integer = isinstance(graph, IntegerGraph)
    width = 1 if integer else _FLOAT_BYTES
    fused = graph.fused if isinstance(graph, IntegerGraph) else graph.fusible(RELU, RELU6)
    place: dict[str, int] = {}
    sizes, first, last = list[int](), list[int](), list[int]()
    now = 0

    def tensor(count: int, each: int) -> int:
        sizes.append(count * each)
        first.append(now)
        last.append(now)
        return len(sizes) - 1

    def operation(inputs: Sequence[int], count: int, each: int = width) -> int:
        nonlocal now
        for one in inputs:
            last[one] = now
        written = tensor(count, each)
        now += 1
        return written

    count_of = {name: math.prod(shape) for name, shape in graph.shapes.items()}
    outside = 1 if integer and io in SHIFTS else _FLOAT_BYTES
    place[graph.INPUT] = tensor(count_of[graph.INPUT], outside)
    if integer and io != INT8:
        place[graph.INPUT] = operation([place[graph.INPUT]], count_of[graph.INPUT])
    for node in graph.nodes:
        inputs = [place[name] for name in node.inputs]
        moved = isinstance(node, Rows) and graph.shapes[node.name] == graph.shapes[node.inputs[0]]
        if node.name in fused.values() or moved:
            place[node.name] = inputs[0]
            continue
        if isinstance(node, Conv) and any(node.sides) and not node.is_same(graph.shapes[node.inputs[0]][2:]):
            n, c, h, w = graph.shapes[node.inputs[0]]
            around = sum(node.sides)
            inputs = [operation(inputs, n * c * (h + around) * (w + around))]
        if isinstance(node, Activation) and node.function == HARD_SIGMOID:
            inputs = [operation(inputs, count_of[node.name])]
        if isinstance(node, LayerNorm):
            inputs = _normalised(operation, inputs, count_of[node.name], len(node.weight))
        if isinstance(node, Attention):
            inputs = _attended(operation, inputs, graph.shapes[node.name], node.heads)
        place[node.name] = operation(inputs, count_of[node.name])
    output = place[graph.output]
    if integer and io != INT8:
        output = operation([output], count_of[graph.output], outside)
    last[output] = max(last[output], now - 1)
    return [Tenancy(*values) for values in zip(sizes, first, last, strict=True)]


def _normalised(operation: Operation, inputs: Sequence[int], count: int, channels: int) -> list[int]:
    """The operations of a layer normalisation (`nagsdk.graph.tflite_tokens`) but the last one."""
    centred = operation([*inputs, operation(inputs, count // channels)], count)
    spread = operation([operation([centred], count)], count // channels)
    root = operation([operation([spread], count // channels)], count // channels)
    return [operation([operation([centred, root], count)], count)]


def _attended(operation: Operation, inputs: Sequence[int], shape: Shape, heads: int) -> list[int]:
    """The operations of an attention (`nagsdk.graph.tflite_tokens`) but the last one."""
    count, pairs = math.prod(shape), shape[0] * heads * shape[1] ** 2
    queries, keys, values = (operation([operation([one], count)], count) for one in inputs)
    scores = operation([operation([queries], count), keys], pairs)
    return [operation([operation([operation([scores], pairs), values], count)], count)]


def planned(tensors: Sequence[Tenancy]) -> int:
    """Bytes of the memory into which the tensors fit, each at the lowest place that is free while it is kept."""
    placed: list[tuple[int, int, Tenancy]] = []  # start, end, tensor
    for tensor in sorted(tensors, key=lambda t: -t.size):
        size = -(-tensor.size // _ALIGNMENT) * _ALIGNMENT
        start = 0
        for begin, end, other in sorted(placed, key=lambda p: p[:2]):
            if other.last < tensor.first or tensor.last < other.first:
                continue
            if start + size <= begin:
                break
            start = max(start, end)
        placed.append((start, start + size, tensor))
    return max((end for _, end, _ in placed), default=0)
