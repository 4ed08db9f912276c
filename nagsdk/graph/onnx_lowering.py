"""Converts a network in an ONNX file to a `Graph`, so that it can be written for devices that take other files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from nagsdk.graph.ir import ADD, HARD_SIGMOID, HARD_SWISH, MAXIMUM, MEAN, MULTIPLY, RELU, RELU6, Graph
from nagsdk.graph.lowering import Lowering, unsupported

_OWN_DOMAINS = ("", "ai.onnx")
_AXES = [2, 3]


def graph_of(model: onnx.ModelProto) -> Graph:
    """Converts a network.

    Args:
        model: A checked model with one input of a fixed shape (n, 3, size, size), one output, and all weights inside.

    Raises:
        UnsupportedLayerError: It has an operator that cannot be converted; the message names it.
    """
    body = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    (value,) = (v for v in body.input if v.name not in constants)
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    reader = _Reader(Lowering(value.name, shape), constants)
    for node in body.node:
        reader.add(node)
    return reader.lowering.finish(body.output[0].name)


class _Reader:
    def __init__(self, lowering: Lowering, constants: dict[str, NDArray[Any]]) -> None:
        self.lowering, self.constants = lowering, constants

    def add(self, node: onnx.NodeProto) -> None:
        """Converts one operator."""
        method: Callable[[onnx.NodeProto, Mapping[str, Any]], None] | None = getattr(self, f"_{node.op_type}", None)
        if node.domain not in _OWN_DOMAINS or method is None or len([o for o in node.output if o]) != 1:
            raise unsupported(f"{node.output[0] if node.output else node.name} (the operator {node.op_type[:60]})")
        method(node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute})

    def _constant(self, node: onnx.NodeProto, number: int) -> NDArray[Any] | None:
        """A constant input; None if it is left out."""
        name = node.input[number] if number < len(node.input) else ""
        if name and name not in self.constants:
            raise unsupported(f"{node.output[0]} ({node.op_type} whose input {name} is computed)")
        return self.constants[name] if name else None

    def _weights(self, node: onnx.NodeProto, number: int) -> NDArray[np.float32] | None:
        values = self._constant(node, number)
        if values is not None and values.dtype != np.float32:
            raise unsupported(f"{node.output[0]} ({node.op_type} with {values.dtype} weights)")
        return None if values is None else np.array(values)  # a copy that may be written to

    def _needed(self, node: onnx.NodeProto, number: int) -> NDArray[np.float32]:
        found = self._weights(node, number)
        if found is None:
            raise unsupported(f"{node.output[0]} ({node.op_type} without its input {number})")
        return found

    def _Constant(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802 — names of operators
        if "value" not in given:
            raise unsupported(f"{node.output[0]} (a constant that is no tensor)")
        self.constants[node.output[0]] = numpy_helper.to_array(given["value"])

    def _Identity(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if node.input[0] in self.constants:
            self.constants[node.output[0]] = self.constants[node.input[0]]
        else:
            self.lowering.same(node.output[0], node.input[0])

    def _Dropout(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        training = self._constant(node, 2)
        if training is not None and training.any():
            raise unsupported(f"{node.output[0]} (a dropout in training mode)")
        self.lowering.same(node.output[0], node.input[0])

    def _Conv(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        size = len(self.lowering.shape(node.input[0])) - 2
        _explicit(node, given)
        self.lowering.conv(
            node.output[0],
            node.input[0],
            self._needed(node, 1),
            self._weights(node, 2),
            given.get("strides", [1] * size),
            given.get("pads", [0] * 2 * size),
            given.get("dilations", [1] * size),
            given.get("group", 1),
        )

    def _BatchNormalization(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if given.get("training_mode"):
            raise unsupported(f"{node.output[0]} (batch normalisation in training mode)")
        scale, shift, mean, variance = (self._needed(node, number) for number in range(1, 5))
        self.lowering.norm(
            node.output[0], node.input[0], scale, shift, mean, variance, float(given.get("epsilon", 1e-5))
        )

    def _Relu(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.activation(node.output[0], node.input[0], RELU)

    def _Clip(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        limits = [given.get(name, self._constant(node, n)) for n, name in enumerate(("min", "max"), 1)]
        if [None if limit is None else float(limit) for limit in limits] != [0.0, 6.0]:
            raise unsupported(f"{node.output[0]} (a clip to other limits than 0 and 6)")
        self.lowering.activation(node.output[0], node.input[0], RELU6)

    def _HardSwish(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.activation(node.output[0], node.input[0], HARD_SWISH)

    def _HardSigmoid(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        slope, offset = float(given.get("alpha", 0.2)), float(given.get("beta", 0.5))
        if abs(slope - 1 / 6) > 1e-6 or offset != 0.5:
            raise unsupported(f"{node.output[0]} (a hard sigmoid with the slope {slope:g} and the offset {offset:g})")
        self.lowering.activation(node.output[0], node.input[0], HARD_SIGMOID)

    def _Add(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.binary(node.output[0], node.input[0], node.input[1], ADD)

    def _Mul(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.binary(node.output[0], node.input[0], node.input[1], MULTIPLY)

    def _GlobalAveragePool(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.mean(node.output[0], node.input[0])

    def _ReduceMean(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        axes = given.get("axes", self._constant(node, 1))
        shape = self.lowering.shape(node.input[0])
        if axes is None or len(shape) != 4 or sorted(int(axis) % 4 for axis in axes) != _AXES:
            raise unsupported(f"{node.output[0]} (a mean that is not over height and width)")
        kept = bool(given.get("keepdims", 1))
        means = node.output[0] if kept else f"{node.output[0]}/mean"
        self.lowering.mean(means, node.input[0])
        if not kept:
            self.lowering.flatten(node.output[0], means)

    def _MaxPool(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if set(given.get("dilations", [1])) != {1} or given.get("storage_order"):
            raise unsupported(f"{node.output[0]} (maxima of windows with gaps)")
        self._window(node, given, MAXIMUM)

    def _AveragePool(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if set(given.get("dilations", [1])) != {1}:
            raise unsupported(f"{node.output[0]} (means of windows with gaps)")
        self._window(node, given, MEAN)

    def _window(self, node: onnx.NodeProto, given: Mapping[str, Any], function: str) -> None:
        _explicit(node, given)
        kernel = given["kernel_shape"]
        strides, pads = given.get("strides", [1] * len(kernel)), given.get("pads", [0] * 2 * len(kernel))
        partial = bool(given.get("ceil_mode", 0))
        self.lowering.window(node.output[0], node.input[0], function, kernel, strides, pads, partial)

    def _Flatten(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if given.get("axis", 1) != 1:
            raise unsupported(f"{node.output[0]} (a flatten that does not start at dimension 1)")
        self.lowering.flatten(node.output[0], node.input[0])

    def _Reshape(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        wanted = self._constant(node, 1)
        if wanted is None or (given.get("allowzero") and 0 in wanted):
            raise unsupported(f"{node.output[0]} (a reshape)")
        self.lowering.reshape(node.output[0], node.input[0], [int(n) for n in wanted])

    def _Squeeze(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        axes: Sequence[int] | NDArray[Any] | None = given.get("axes", self._constant(node, 1))
        shape = self.lowering.shape(node.input[0])
        if axes is None or len(shape) != 4 or sorted(int(axis) % 4 for axis in axes) != _AXES or shape[2:] != (1, 1):
            raise unsupported(f"{node.output[0]} (a squeeze that is not of height and width)")
        self.lowering.flatten(node.output[0], node.input[0])

    def _Gemm(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        if given.get("transA") or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
            raise unsupported(f"{node.output[0]} (a matrix product with factors or a transposed input)")
        weight, bias = self._needed(node, 1), self._weights(node, 2)
        weight = weight if given.get("transB") else np.ascontiguousarray(weight.T)
        if bias is not None:
            bias = np.array(np.broadcast_to(bias.reshape(-1), (len(weight),)))
        self.lowering.linear(node.output[0], node.input[0], weight, bias)

    def _MatMul(self, node: onnx.NodeProto, given: Mapping[str, Any]) -> None:  # noqa: N802
        self.lowering.linear(node.output[0], node.input[0], np.ascontiguousarray(self._needed(node, 1).T), None)


def _explicit(node: onnx.NodeProto, given: Mapping[str, Any]) -> None:
    padding = given.get("auto_pad", b"NOTSET")
    if padding not in (b"NOTSET", b"VALID"):
        raise unsupported(f"{node.output[0]} (the padding {padding.decode(errors='replace')[:20]})")
