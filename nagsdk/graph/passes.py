"""Rewrites of a `Graph`: those with which a runtime is faster and computes the same, and a scaled output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

import numpy as np

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import ADD, Binary, Conv, Graph, Linear, Node, Pad, Rows

# Largest number of taps for which XNNPACK has a depthwise kernel; above it, XNNPACK is several times slower.
FAST_TAPS = 25


def split_large_depthwise(graph: Graph, most_taps: int = FAST_TAPS) -> Graph:
    """Replaces every depthwise convolution with many taps by a sum of convolutions with few taps.

    A 7x7 kernel becomes 3x7 + 3x7 + 1x7, each applied to the rows of the input that it covers. The sum is exact except
    for the order of its additions. The kernel is split by rows because rows are contiguous in the memory of a
    channels-last tensor, while columns are not. Padding that only one convolution reads costs nothing, because runtimes
    merge it into the convolution.

    Args:
        graph: The network; it is not changed.
        most_taps: Largest height times width of a kernel that is not split.
    """
    nodes = (
        part
        for node in graph.nodes
        for part in (_split(graph, node, most_taps) if _large(node, most_taps) else (node,))
    )
    return replace(graph, nodes=tuple(nodes))


def with_temperature(graph: Graph, temperature: float) -> Graph:
    """Divides the logits of a network by a temperature, which the weights and the bias of its last layer take up.

    Args:
        graph: The network; it is not changed.
        temperature: The temperature.

    Raises:
        UnsupportedLayerError: The network does not end with a linear layer.
    """
    last = next(node for node in graph.nodes if node.name == graph.output)
    if not isinstance(last, Conv | Linear):
        raise UnsupportedLayerError(
            f"The network ends with {last.name} ({type(last).__name__}), which has no weights to scale.",
            "Leave out the temperature scaling.",
        )
    divided = [(value / np.float32(temperature)).astype(np.float32) for value in (last.weight, last.bias)]
    scaled = replace(last, weight=divided[0], bias=divided[1])
    return replace(graph, nodes=tuple(scaled if node is last else node for node in graph.nodes))


def _large(node: Node, most_taps: int) -> TypeGuard[Conv]:
    return isinstance(node, Conv) and node.depthwise and node.kernel[0] * node.kernel[1] > most_taps


def _split(graph: Graph, conv: Conv, most_taps: int) -> Iterator[Node]:
    (source,) = conv.inputs
    height, out = graph.shapes[source][2], graph.shapes[conv.name][2]
    step = max(1, most_taps // conv.kernel[1])
    parts = []
    for start in range(0, conv.kernel[0], step):
        weight = conv.weight[:, :, start : start + step]
        first = start - conv.padding
        stop = first + (out - 1) * conv.stride + weight.shape[2]
        if max(first, 0) < min(stop, height):  # otherwise it covers only padding
            parts.append((weight, first, stop))
    total = ""
    for number, (weight, first, stop) in enumerate(parts):
        top, bottom = max(-first, 0), max(stop - height, 0)
        rows, padded, part = (f"{conv.name}.{what}{number}" for what in ("rows", "padded", "part"))
        yield Rows(rows, (source,), first + top, stop - bottom)
        yield Pad(padded, (rows,), top, bottom, *conv.sides)
        bias = np.zeros_like(conv.bias) if total else conv.bias
        name = conv.name if len(parts) == 1 else part
        yield replace(conv, name=name, inputs=(padded,), weight=weight, bias=bias, padding=0, extra=0)
        if total:
            sum_ = conv.name if number == len(parts) - 1 else f"{conv.name}.sum{number}"
            yield Binary(sum_, (total, part), ADD)
            total = sum_
        else:
            total = name
