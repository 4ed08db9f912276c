"""The parts of a TFLite file: tensors, constants and operators, and how they are packed.

The layout of the file is that of TensorFlow Lite's schema (version 3), whose classes come with ai-edge-litert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.graph.ir import RELU, RELU6, Activation, Conv, Graph, Linear, Node, Shape, Weights
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


class TfliteFile:
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
        return self._batched(name, _channels_last(shape))

    def _batched(self, name: str, shape: Shape) -> int:
        """A tensor for any number of images, in the order of dimensions of the file."""
        tensor = self._tensor(name, shape)
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
