"""Writes a `Graph` as a TFLite file, node by node: NHWC, with the signature ``serving_default``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import (
    GELU,
    HARD_SIGMOID,
    MAXIMUM,
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
    Window,
)
from nagsdk.graph.tflite_file import FP32
from nagsdk.graph.tflite_schema import schema
from nagsdk.graph.tflite_tokens import TokenWriter

# A size that the runtime infers: no constant holds the number of images, so that the input can be resized to others.
_ANY = -1
_Op, _Fused = schema.BuiltinOperator, schema.ActivationFunctionType


def write_tflite(graph: Graph, path: Path, precision: str = FP32) -> None:
    """Writes a TFLite file with the input ``image`` (n, h, w, 3) and the output ``logits`` (n, classes).

    Equal graphs give equal bytes. Strided convolutions with equal sides get explicit padding, because TFLite's own
    padding adds zeros on other sides than torch. ReLU becomes part of the operation before it. The number of images of
    one inference is that of the graph, and the input can be resized to others.

    Args:
        graph: The network.
        path: File to write; an existing file is overwritten.
        precision: ``fp32``; ``fp16`` (weights only; a runtime on the CPU converts them to float32 when it loads the
            file); or ``int8-dynamic`` (weights only; activations are quantised at run time by their current range).

    Raises:
        UnsupportedLayerError: A node has no TFLite operator.
    """
    writer = Writer(graph, precision)
    for node in graph.nodes:
        writer.add(node)
    path.write_bytes(writer.finish())


class Writer(TokenWriter):
    """Writes nodes; see `TfliteFile` for its attributes."""

    def add(self, node: Node) -> None:
        """Writes one node."""
        if node.name in self.fused.values():
            self.place[node.name] = self.place[node.inputs[0]]
            return
        inputs = [self.place[name] for name in node.inputs]
        match node:
            case Conv():
                self._convolution(node, inputs[0])
            case Linear():
                # Runtimes before 2024 read one scale only, and would give the bias alone for several.
                weights = self._weights(node, node.weight, None)
                tokens = {"keepNumDims": True} if len(self.graph.shapes[node.name]) == 3 else {}
                self._operator(node, _Op.FULLY_CONNECTED, inputs + weights, "FullyConnectedOptions", **tokens)
            case Activation(function=function) if function == HARD_SIGMOID:
                shifted = self._scratch(self.graph.shapes[node.name], node.name)
                self._put(
                    _Op.ADD,
                    [*inputs, self._constant(np.float32(3))],
                    shifted,
                    "AddOptions",
                    fusedActivationFunction=_Fused.RELU6,
                )
                self._operator(node, _Op.MUL, [shifted, self._constant(np.float32(1 / 6))], "MulOptions")
            case Activation(function=function) if function == GELU:
                self._operator(node, _Op.GELU, inputs, "GeluOptions", approximate=False)
            case Activation(function=function):
                plain = {RELU: (_Op.RELU, ""), RELU6: (_Op.RELU6, "")}
                code, options = plain.get(function, (_Op.HARD_SWISH, "HardSwishOptions"))
                self._operator(node, code, inputs, options)
            case Binary(function=function):
                code, options = (_Op.MUL, "MulOptions") if function == MULTIPLY else (_Op.ADD, "AddOptions")
                self._operator(node, code, inputs, options)
            case Pool():
                self._operator(
                    node,
                    _Op.MEAN,
                    [*inputs, self._constant(np.array([1, 2], np.int32))],
                    "ReducerOptions",
                    keepDims=True,
                )
            case Window():
                self._window(node, inputs[0])
            case Pad(top=top, bottom=bottom, left=left, right=right):
                self._operator(node, _Op.PAD, [*inputs, self._padding((top, bottom), (left, right))], "PadOptions")
            case Rows() if self.graph.shapes[node.name] == self.graph.shapes[node.inputs[0]]:
                self.place[node.name] = inputs[0]
            case Rows(start=start):
                _, c, h, w = self.graph.shapes[node.name]
                corner, size = (self._constant(np.array(v, np.int32)) for v in ([0, start, 0, 0], [_ANY, h, w, c]))
                self._operator(node, _Op.SLICE, [*inputs, corner, size], "SliceOptions")
            case Flatten() if self.graph.shapes[node.inputs[0]][2:] in ((), (1, 1)):
                shape = [_ANY, *self.graph.shapes[node.name][1:]]
                self._operator(
                    node,
                    _Op.RESHAPE,
                    [*inputs, self._constant(np.array(shape, np.int32))],
                    "ReshapeOptions",
                    newShape=shape,
                )
            case _ if not self._tokens(node, inputs):
                raise _unsupported(node)

    def _convolution(self, node: Conv, source: int) -> None:
        if node.groups != 1 and not node.depthwise:
            raise _unsupported(node)
        n, c, h, w = self.graph.shapes[node.inputs[0]]
        same, around = node.is_same((h, w)), sum(node.sides)
        if around and not same:
            padded = self._scratch((n, c, h + around, w + around), node.inputs[0])
            self._put(_Op.PAD, [source, self._padding(node.sides, node.sides)], padded, "PadOptions")
            source = padded
        shared = {
            "strideH": node.stride,
            "strideW": node.stride,
            "padding": schema.Padding.SAME if same else schema.Padding.VALID,
        }
        shared |= {"dilationHFactor": 1, "dilationWFactor": 1}
        if node.depthwise:
            inputs = [source, *self._weights(node, node.weight.transpose(1, 2, 3, 0), 3)]
            self._operator(node, _Op.DEPTHWISE_CONV_2D, inputs, "DepthwiseConv2DOptions", depthMultiplier=1, **shared)
        else:
            inputs = [source, *self._weights(node, node.weight.transpose(0, 2, 3, 1), 0)]
            self._operator(node, _Op.CONV_2D, inputs, "Conv2DOptions", **shared)

    def _window(self, node: Window, source: int) -> None:
        n, c, *sizes = self.graph.shapes[node.inputs[0]]
        positions = self.graph.shapes[node.name][2:]
        # Rows, or columns, that the windows cover beyond the image. SAME puts the smaller half of them before it.
        beyond = [(p - 1) * node.stride + node.kernel - size for p, size in zip(positions, sizes, strict=True)]
        same = all(
            p == -(-size // node.stride) and max(over, 0) // 2 == node.padding
            for p, size, over in zip(positions, sizes, beyond, strict=True)
        )
        if not same and (node.padding or max(beyond) > 0):
            if node.function != MAXIMUM:
                raise _unsupported(node)
            before, after = node.padding, [max(over - node.padding, 0) for over in beyond]
            padded = self._scratch((n, c, *(before + s + a for s, a in zip(sizes, after, strict=True))), node.inputs[0])
            around = self._constant(np.array([[0, 0], *([before, a] for a in after), [0, 0]], np.int32))
            lowest = self._constant(np.finfo(np.float32).min)
            self._put(_Op.PADV2, [source, around, lowest], padded, "PadV2Options")
            source = padded
        self._operator(
            node,
            _Op.MAX_POOL_2D if node.function == MAXIMUM else _Op.AVERAGE_POOL_2D,
            [source],
            "Pool2DOptions",
            padding=schema.Padding.SAME if same else schema.Padding.VALID,
            strideH=node.stride,
            strideW=node.stride,
            filterHeight=node.kernel,
            filterWidth=node.kernel,
        )


def _unsupported(node: Node) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{node.name} ({type(node).__name__}) cannot be written as TFLite.",
        "Use ordinary or depthwise convolutions, and flatten only after global pooling.",
    )
