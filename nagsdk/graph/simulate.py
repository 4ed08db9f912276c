"""Computes an `IntegerGraph` in integers, as XNNPACK does it on x86-64, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.graph.integers import HIGHEST, LOWEST, Affine, IntegerGraph
from nagsdk.graph.interpret import last_readers, not_in_integers
from nagsdk.graph.ir import (
    ADD,
    GATE,
    HARD_SWISH,
    MULTIPLY,
    RELU,
    Activation,
    Binary,
    Conv,
    Flatten,
    Linear,
    Node,
    Pad,
    Pool,
    Rows,
    Weights,
)

Integers = NDArray[np.int32]
# x + 3 is limited to 0–6 by the numbers of its result; the constant 3 is 255 steps.
THREE = Affine(float(np.float32(3 / 255)), LOWEST)
# XNNPACK adds multiples of its inputs with so many bits.
_ADDED_BITS = 20
_BATCH = 16
_ONE = np.float32(1)


def simulated(graph: IntegerGraph, images: Weights, *, saturating: bool = False) -> Weights:
    """Returns the logits, shape (n, classes).

    Args:
        graph: The network.
        images: Normalised images, float32, shape (n, 3, h, w); n may differ from the graph's batch.
        saturating: Whether pairs of products of uint8 and int8 are added in 16 bits, as ONNX Runtime and OpenVINO do it
            on x86-64 without VNNI; with weights of 8 bits, such sums saturate.
    """
    starts = range(0, len(images), _BATCH)
    return np.concatenate([_simulated(graph, images[start : start + _BATCH], saturating) for start in starts])


def _simulated(graph: IntegerGraph, images: Weights, saturating: bool) -> Weights:
    values = {graph.INPUT: _quantised(images, graph.tensors[graph.INPUT])}
    over = last_readers(graph)
    for node in graph.nodes:
        if node.name in graph.fused.values():
            values[node.name] = values[node.inputs[0]]
        else:
            values[node.name] = _computed(graph, node, [values[name] for name in node.inputs], saturating)
        for name in over.get(node.name, ()):
            del values[name]
    return _real(values[graph.output], graph.affine(graph.output))


def _computed(graph: IntegerGraph, node: Node, inputs: list[Integers], saturating: bool) -> Integers:
    sources, target = [graph.affine(name) for name in node.inputs], graph.affine(node.name)
    swish = _fused_swish(graph, node)
    match node:
        case Conv() | Linear():
            weights = graph.weights[node.name]
            shifted, bias = inputs[0] - sources[0].zero_point, weights.bias
            if saturating and not (isinstance(node, Conv) and node.depthwise):
                sums = _saturated(shifted, node, weights.values, sources[0].zero_point - LOWEST)
            elif isinstance(node, Conv):
                sums = _convolved(shifted, node, weights.values)
            else:  # float64 has BLAS and is exact here
                sums = (shifted.astype(np.float64) @ weights.values.astype(np.float64).T).astype(np.int32)
            columns = (1, -1, *[1] * (sums.ndim - 2))
            sums = sums + bias.reshape(columns)
            scales = graph.steps(node)
            if swish:
                return _quantised(_hard_swish(sums.astype(np.float32) * scales.reshape(columns)), target)
            return _scaled(sums, (scales / np.float32(target.scale)).reshape(columns), target)
        case Binary(function=function) if swish:
            real = [_real(values, affine) for values, affine in zip(inputs, sources, strict=True)]
            return _quantised(_hard_swish(real[0] * real[1] if function == MULTIPLY else real[0] + real[1]), target)
        case Binary(function=function) if function == ADD:
            return _sum(inputs[0], sources[0], inputs[1], sources[1], target)
        case Binary():
            product = (inputs[0] - sources[0].zero_point) * (inputs[1] - sources[1].zero_point)
            return _scaled(
                product, np.float32(sources[0].scale) * np.float32(sources[1].scale) / np.float32(target.scale), target
            )
        case Activation(function=function) if function == GATE:
            return _sum(inputs[0], sources[0], np.full((1,) * inputs[0].ndim, HIGHEST, np.int32), THREE, target)
        case Activation(function=function) if function == HARD_SWISH:
            return _quantised(_hard_swish(_real(inputs[0], sources[0])), target)
        case Activation(function=function) if function == RELU:  # the range of a ReLU of its own is that of its input
            return np.maximum(inputs[0], sources[0].zero_point)
        case Pool():
            return _mean(inputs[0], sources[0], target)
        case Pad(top=top, bottom=bottom, left=left, right=right):
            around = ((0, 0), (0, 0), (top, bottom), (left, right))
            return np.pad(inputs[0], around, constant_values=sources[0].zero_point)
        case Rows(start=start, stop=stop):
            return inputs[0][:, :, start:stop]
        case Flatten():
            return inputs[0].reshape(len(inputs[0]), -1)
        case _:
            raise not_in_integers(node)


def _fused_swish(graph: IntegerGraph, node: Node) -> bool:
    reader = graph.readers.get(node.name, ())
    return node.name in graph.fused and isinstance(reader[0], Activation) and reader[0].function == HARD_SWISH


def _convolved(inputs: Integers, conv: Conv, weight: NDArray[np.int8]) -> Integers:
    """Exact sums of a convolution whose padding is 0, tap by tap."""
    around, stride = conv.sides, conv.stride
    padded = np.pad(inputs, ((0, 0), (0, 0), around, around))
    height, width = ((padded.shape[2 + i] - conv.kernel[i]) // stride + 1 for i in range(2))
    wide: NDArray[Any] = padded if conv.depthwise else padded.astype(np.float64)
    sums: NDArray[Any] = np.zeros(1, wide.dtype)
    for row in range(conv.kernel[0]):
        for column in range(conv.kernel[1]):
            taps = weight[:, :, row, column]
            part = wide[:, :, row : row + stride * height : stride, column : column + stride * width : stride]
            part = part[:, :, :height, :width]
            if conv.depthwise:
                sums = sums + part * taps.astype(np.int32)[None, :, :, None]
            else:
                flat = part.reshape(*part.shape[:2], -1)
                sums = sums + (taps.astype(np.float64) @ flat).reshape(len(part), -1, height, width)
    exact: Integers = sums.astype(np.int32)
    return exact


def _saturated(inputs: Integers, node: Conv | Linear, weight: NDArray[np.int8], zero_point: int) -> Integers:
    """Sums of products of uint8 and int8, two of which are added in 16 bits: those of neighbouring channels."""
    if isinstance(node, Conv):
        around = node.sides
        padded = np.pad(inputs, ((0, 0), (0, 0), around, around))
        taps = np.lib.stride_tricks.sliding_window_view(padded, node.kernel, (2, 3))[
            :, :, :: node.stride, :: node.stride
        ]
        columns, size = taps.transpose(0, 2, 3, 4, 5, 1).reshape(-1, weight[0].size), taps.shape[2:4]
        rows = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(np.int32)
    else:
        columns, size, rows = inputs, (), weight.astype(np.int32)
    unsigned = columns + zero_point
    sums = np.zeros((len(columns), len(rows)), np.int32) - zero_point * rows.sum(1)
    for start in range(0, rows.shape[1], 2):
        pair = unsigned[:, start : start + 2] @ rows[:, start : start + 2].T
        sums += pair.clip(np.iinfo(np.int16).min, np.iinfo(np.int16).max)
    return np.ascontiguousarray(np.moveaxis(sums.reshape(len(inputs), *size, -1), -1, 1))


def _scaled(sums: Integers, scale: Weights | np.float32, target: Affine) -> Integers:
    """Integers of another scale: multiplied in float32, rounded half to even, and limited."""
    return _limited(np.rint(sums.astype(np.float32) * scale), target)


def _quantised(values: Weights, target: Affine) -> Integers:
    return _limited(np.rint(values * (_ONE / np.float32(target.scale))), target)


def _limited(steps: Weights, target: Affine) -> Integers:
    low, high = LOWEST - target.zero_point, HIGHEST - target.zero_point
    limited: Integers = steps.clip(low, high).astype(np.int32) + target.zero_point
    return limited


def _real(values: Integers, affine: Affine) -> Weights:
    real: Weights = (values - affine.zero_point).astype(np.float32) * np.float32(affine.scale)
    return real


def _sum(first: Integers, first_affine: Affine, second: Integers, second_affine: Affine, target: Affine) -> Integers:
    """The sum as XNNPACK adds: multipliers with a common shift, rounded half up."""
    ratios = [np.float32(affine.scale) / np.float32(target.scale) for affine in (first_affine, second_affine)]
    exponent = int(np.frexp(max(ratios))[1]) - 1
    shift = _ADDED_BITS - exponent
    multipliers = [int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios]
    total = (first - first_affine.zero_point).astype(np.int64) * multipliers[0]
    total = total + (second - second_affine.zero_point).astype(np.int64) * multipliers[1]
    return _limited(((total + (1 << (shift - 1))) >> shift).astype(np.float32), target)


def _mean(values: Integers, source: Affine, target: Affine) -> Integers:
    """The mean as XNNPACK computes it: the zero points are taken off in float32, before anything is rounded."""
    pixels = values.shape[2] * values.shape[3]
    scale = np.float32(source.scale) / np.float32(target.scale) * (_ONE / np.float32(pixels))
    shift = np.float32(target.zero_point) - np.float32(pixels * source.zero_point) * scale
    sums = values.sum((2, 3), keepdims=True, dtype=np.int32)
    steps: Weights = np.rint(sums.astype(np.float32) * scale + shift)
    return _limited(steps - np.float32(target.zero_point), target)


def _hard_swish(values: Weights) -> Weights:
    gate = np.clip(values + np.float32(3), np.float32(0), np.float32(6))
    swish: Weights = values * gate * np.float32(1 / 6)
    return swish
