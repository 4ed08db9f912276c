"""Writes a `Graph` as a TFLite file, node by node: NHWC, with the signature ``serving_default``.

The layout of the file is that of TensorFlow Lite's schema (version 3), whose classes come with ai-edge-litert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.ir import (
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
    Shape,
    Weights,
    Window,
)
from nagsdk.graph.quantize import quantised
from nagsdk.graph.tflite_schema import Buffer, flatbuffers, named_tensor, schema

INPUT, OUTPUT = "image", "logits"
SIGNATURE = "serving_default"
# Key in files; it does not follow the name of the module.
ARCHITECTURE_KEY = "nagsdk.architecture"
IDENTIFIER = b"TFL3"
_VERSION = 3
# A size that the runtime infers: no constant holds the number of images, so that the input can be resized to others.
_ANY = -1
# Largest size in bytes of constants that are written once although they occur several times.
_SHARED_BYTES = 4096

_Numbers = Sequence[float] | NDArray[Any]
_Op, _Options, _Fused = schema.BuiltinOperator, schema.BuiltinOptions, schema.ActivationFunctionType
_KINDS = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}


FP32, FP16, INT8_DYNAMIC = "fp32", "fp16", "int8-dynamic"
# Versions of operators that are not the first; older runtimes then refuse a file instead of computing something else.
_VERSIONS: dict[str, dict[int, int]] = {
    FP32: {},
    FP16: {_Op.DEQUANTIZE: 3},
    INT8_DYNAMIC: {_Op.CONV_2D: 5, _Op.DEPTHWISE_CONV_2D: 6, _Op.FULLY_CONNECTED: 3},
}


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


class Writer:
    """Collects tensors and operators; `place` maps the name of a node to the index of its tensor."""

    def __init__(self, graph: Graph, precision: str) -> None:
        self.graph, self.precision = graph, precision
        self.versions = _VERSIONS.get(precision, {})
        self.fused: Mapping[str, str] = graph.fusible(RELU, RELU6)
        self.functions = {node.name: node.function for node in graph.nodes if isinstance(node, Activation)}
        self.model, self.body = schema.ModelT(), schema.SubGraphT()
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.body.tensors, self.body.operators, self.body.name = [], [], "main"
        self.codes: dict[int, int] = {}
        self.constants: dict[tuple[str, Shape, bytes], int] = {}
        self.widened: dict[int, int] = {}
        self.input = self._images(INPUT, graph.input_shape)
        self.place = {graph.INPUT: self.input}

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
                self._operator(node, _Op.FULLY_CONNECTED, inputs + weights, "FullyConnectedOptions")
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
            case _:
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

    def _operator(self, node: Node, code: int, inputs: Sequence[int], options: str, **values: Any) -> None:
        if node.name in self.fused:
            values["fusedActivationFunction"] = self._function(self.fused[node.name])
        target = self._target(node)
        self._put(code, inputs, target, options, **values)
        self.place[node.name] = target

    def _function(self, activation: str) -> int:
        return int(_Fused.RELU6 if self.functions[activation] == RELU6 else _Fused.RELU)

    def _target(self, node: Node) -> int:
        shape, name = self.graph.shapes[node.name], self.fused.get(node.name, node.name)
        return self._images(OUTPUT, shape) if name == self.graph.output else self._scratch(shape, name)

    def _put(self, code: int, inputs: Sequence[int], output: int, options: str, **values: Any) -> None:
        if code not in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = self.versions.get(code, 1)
            self.codes[code] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes[code], list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(_Options, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(operator.builtinOptions, name, value)
        self.body.operators.append(operator)

    def _padding(self, rows: tuple[int, int], columns: tuple[int, int]) -> int:
        return self._constant(np.array([[0, 0], rows, columns, [0, 0]], np.int32))

    def _weights(self, node: Conv | Linear, weight: Weights, axis: int | None) -> list[int]:
        """Weights, in the order of dimensions of the file, and bias; `axis` is the dimension of the scales."""
        if self.precision != INT8_DYNAMIC:
            return [self._bias(weight), self._bias(node.bias)]
        content, scales = quantised(weight, axis)
        return [self._scaled(content, scales, axis or 0), self._bias(node.bias)]

    def _scaled(self, content: NDArray[Any], scales: _Numbers, axis: int) -> int:
        constant = self._filled(content, content.tobytes())
        self._set_scales(constant, scales, np.zeros(len(scales), np.int64), axis)
        return constant

    def _set_scales(self, tensor: int, scales: _Numbers, zero_points: _Numbers, axis: int = 0) -> None:
        quantization = self.body.tensors[tensor].quantization = schema.QuantizationParametersT()
        # Arrays are packed at once, lists number by number.
        quantization.scale = np.asarray(scales, np.float32)
        quantization.zeroPoint = np.asarray(zero_points, np.int64)
        quantization.quantizedDimension = axis

    def _bias(self, values: Weights) -> int:
        if self.precision != FP16:
            return self._constant(values)
        # Some versions of XNNPACK read the bias as float16 wherever the weights are.
        narrow = self._constant(values.astype(np.float16))
        if narrow not in self.widened:
            self.widened[narrow] = self._tensor(f"w{len(self.body.tensors):04d}", values.shape)
            self._put(_Op.DEQUANTIZE, [narrow], self.widened[narrow], "DequantizeOptions")
        return self.widened[narrow]

    def _constant(self, values: NDArray[Any] | np.float32) -> int:
        array = np.asarray(values)
        content = array.tobytes()
        if len(content) > _SHARED_BYTES:
            return self._filled(array, content)
        key = (array.dtype.str, array.shape, content)
        if key not in self.constants:
            self.constants[key] = self._filled(array, content)
        return self.constants[key]

    def _filled(self, array: NDArray[Any], content: bytes) -> int:
        return self._tensor(f"c{len(self.body.tensors):04d}", array.shape, _KINDS[array.dtype], self._buffer(content))

    def _buffer(self, content: bytes) -> int:
        buffer = Buffer()
        buffer.data = content
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _scratch(self, shape: Shape, name: str) -> int:
        """A tensor for values of the graph's tensor `name`, in the numbers of the file."""
        return self._images(f"t{len(self.body.tensors):04d}", shape)

    def _images(self, name: str, shape: Shape) -> int:
        tensor = self._tensor(name, _channels_last(shape))
        self.body.tensors[tensor].shapeSignature = [_ANY, *self.body.tensors[tensor].shape[1:]]
        return tensor

    def _tensor(self, name: str, shape: Shape, kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [int(size) for size in shape], kind, buffer
        self.body.tensors.append(tensor)
        return len(self.body.tensors) - 1

    def finish(self) -> memoryview:
        """Returns the content of the file."""
        first, last = self.input, self.place[self.graph.output]
        self.body.inputs, self.body.outputs = [first], [last]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs, signature.outputs = [named_tensor(INPUT, first)], [named_tensor(OUTPUT, last)]
        if self.graph.architecture:
            metadata = schema.MetadataT()
            metadata.name, metadata.buffer = ARCHITECTURE_KEY, self._buffer(self.graph.architecture.encode())
            self.model.metadata = [metadata]
        self.model.version, self.model.description = _VERSION, "nagsdk"
        self.model.subgraphs, self.model.signatureDefs = [self.body], [signature]
        builder = flatbuffers.Builder(sum(len(b.data) for b in self.model.buffers if b.data is not None) + (1 << 18))
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return memoryview(builder.Bytes)[builder.Head() :]


def _channels_last(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _unsupported(node: Node) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{node.name} ({type(node).__name__}) cannot be written as TFLite.",
        "Use ordinary or depthwise convolutions, and flatten only after global pooling.",
    )
