"""Writes an `IntegerGraph` as an ONNX file with QuantizeLinear and DequantizeLinear around every operation (QDQ)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from nagsdk.errors import UnsupportedLayerError
from nagsdk.graph.integers import HIGHEST, LOWEST, Affine, IntegerGraph
from nagsdk.graph.ir import GATE, HARD_SWISH, RELU, RELU6, Activation, Conv, Linear, Node
from nagsdk.graph.onnx import OPSET, OUTPUT, model_of, operator_of
from nagsdk.graph.simulate import THREE

# DequantizeLinear has a scale per channel since then.
LEAST_OPSET = 13
_HARD_SWISH_SINCE = 14
_KINDS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int32): TensorProto.INT32,
}


def write_integer_onnx(graph: IntegerGraph, path: Path, opset: int = OPSET) -> None:
    """Writes an ONNX file with the input ``image`` (n, 3, h, w) and the output ``logits`` (n, classes), both float32.

    Activations are uint8, because ONNX Runtime's kernels on x86-64 are twice as fast with them. Equal graphs give equal
    bytes.

    Args:
        graph: The network.
        path: File to write; an existing file is overwritten.
        opset: Version of ONNX's operators, `LEAST_OPSET` or later; `nagsdk.graph.onnx.IR_VERSIONS` has them.

    Raises:
        UnsupportedLayerError: A node has no ONNX operator, or not in this version.
    """
    if opset < LEAST_OPSET:
        raise UnsupportedLayerError(
            f"ONNX's operators of version {opset} have no int8 with a scale per channel.",
            f"Use the option opset with {LEAST_OPSET} or more, or another precision, such as fp32.",
        )
    writer = _QdqWriter(graph, opset)
    for node in graph.nodes:
        writer.add(node)
    path.write_bytes(writer.finish())


class _QdqWriter:
    """Collects nodes and constants; `quantised` has the uint8 tensor of a node, its scale and its zero point."""

    def __init__(self, graph: IntegerGraph, opset: int) -> None:
        self.graph, self.opset = graph, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.quantised: dict[str, list[str]] = {}
        self.functions = {node.name: node.function for node in graph.nodes if isinstance(node, Activation)}
        self._quantise(graph.INPUT, graph.INPUT)

    def add(self, node: Node) -> None:
        """Writes one node."""
        if node.name in self.graph.fused.values():
            self.quantised[node.name] = self.quantised[node.inputs[0]]
            return
        inputs = [self._dequantised(name) for name in node.inputs]
        if isinstance(node, (Conv, Linear)):
            inputs += self._weights(node)
        if isinstance(node, Activation) and node.function in (GATE, RELU6):
            # The limits of relu6 are those of uint8.
            three = self._constant("three", np.uint8(HIGHEST - LOWEST))
            inputs.append(self._node("DequantizeLinear", [three, *self._mapping("three", THREE)]))
            result = self._node("Add", inputs)
        else:
            operator, attributes = operator_of(node)
            result = self._node(operator, inputs, **attributes)
        fused = self.functions.get(self.graph.fused.get(node.name, ""), RELU)
        if HARD_SWISH in (fused, self.functions.get(node.name)) and self.opset < _HARD_SWISH_SINCE:
            raise UnsupportedLayerError(
                f"ONNX's operators of version {self.opset} have no hard swish.", f"Use the opset {OPSET}."
            )
        if fused == HARD_SWISH:
            result = self._node("HardSwish", [result])
        self._quantise(node.name, result)

    def finish(self) -> bytes:
        """Returns the content of the file."""
        self._dequantised(self.graph.output)
        self.nodes[-1].output[0] = OUTPUT
        return model_of(self.graph, self.nodes, list(self.constants.values()), self.opset)

    def _quantise(self, name: str, result: str) -> None:
        mapping = self._mapping(f"q{len(self.quantised):04d}", self.graph.affine(name))
        self.quantised[name] = [self._node("QuantizeLinear", [result, *mapping]), *mapping]

    def _dequantised(self, name: str) -> str:
        """The float32 of a tensor, by an operator of its own for every reader, as runtimes expect it."""
        return self._node("DequantizeLinear", self.quantised[name])

    def _weights(self, node: Conv | Linear) -> list[str]:
        made, name = self.graph.weights[node.name], f"w{len(self.nodes):04d}"
        parts = (("w", made.values, made.scales), ("b", made.bias, self.graph.steps(node)))
        return [
            self._node(
                "DequantizeLinear",
                [
                    self._constant(f"{name}.{part}", values),
                    self._constant(f"{name}.{part}.s", scales.astype(np.float32)),
                    self._constant(f"{name}.{part}.z", np.zeros(len(scales), values.dtype)),
                ],
                axis=0,
            )
            for part, values, scales in parts
        ]

    def _mapping(self, name: str, affine: Affine) -> list[str]:
        zero_point = np.uint8(affine.zero_point - LOWEST)
        return [self._constant(f"{name}.s", np.float32(affine.scale)), self._constant(f"{name}.z", zero_point)]

    def _constant(self, name: str, values: NDArray[Any] | np.generic) -> str:
        array = np.asarray(values)
        tensor = TensorProto(name=name, data_type=_KINDS[array.dtype], dims=array.shape)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        self.constants[name] = tensor
        return name

    def _node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        output = f"t{len(self.nodes):04d}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
