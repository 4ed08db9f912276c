"""Writes an `IntegerGraph` as a TFLite file whose operators all compute in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nagsdk.graph.integers import HIGHEST, IntegerGraph, numbers_of
from nagsdk.graph.ir import GATE, Activation, Conv, Linear, Node, Shape, Weights
from nagsdk.graph.numbers import FLOAT, INT8, UINT8
from nagsdk.graph.simulate import THREE
from nagsdk.graph.tflite import Writer
from nagsdk.graph.tflite_file import OUTPUT
from nagsdk.graph.tflite_schema import schema

_Op, _Fused = schema.BuiltinOperator, schema.ActivationFunctionType
# The first versions of the operators that take int8; older runtimes then refuse the file.
_VERSIONS = {
    _Op.CONV_2D: 3,
    _Op.DEPTHWISE_CONV_2D: 3,
    _Op.FULLY_CONNECTED: 5,  # the first one with a scale per channel
    _Op.ADD: 2,
    _Op.MUL: 2,
    _Op.MEAN: 2,
    _Op.PAD: 2,
    _Op.SLICE: 2,
    _Op.RELU: 2,
    _Op.DEQUANTIZE: 2,
}
_TYPES = {INT8: schema.TensorType.INT8, UINT8: schema.TensorType.UINT8}


def write_integer_tflite(graph: IntegerGraph, path: Path, io: str = FLOAT) -> None:
    """Writes a TFLite file that computes in int8.

    Equal graphs give equal bytes; see `nagsdk.graph.tflite.write_tflite`.

    Args:
        graph: The network, rewritten so that it has neither hard swish nor hard sigmoid.
        path: File to write; an existing file is overwritten.
        io: Numbers of input and output: ``float`` (float32), ``int8`` or ``uint8``. The file has a scale and a zero
            point for integers.

    Raises:
        UnsupportedLayerError: A node has no TFLite operator.
    """
    writer = _IntegerWriter(graph, io)
    for node in graph.nodes:
        writer.add(node)
    path.write_bytes(writer.finish())


class _IntegerWriter(Writer):
    """Writes the nodes, and between them and other numbers of input and output the operators that convert."""

    graph: IntegerGraph

    def __init__(self, graph: IntegerGraph, io: str) -> None:
        super().__init__(graph, "int8")
        self.io = io
        self.fused, self.versions = graph.fused, _VERSIONS
        self._number(self.input, graph.INPUT)
        if io != INT8:
            self.place[graph.INPUT] = self._scratch(graph.input_shape, graph.INPUT)
            self._put(_Op.QUANTIZE, [self.input], self.place[graph.INPUT], "QuantizeOptions")

    def add(self, node: Node) -> None:
        """Writes one node."""
        if isinstance(node, Activation) and node.function == GATE:
            three = self._scaled(np.array([HIGHEST], np.int8), [THREE.scale], 0)
            self._set_scales(three, [THREE.scale], [THREE.zero_point])
            inputs = [self.place[node.inputs[0]], three]
            self._operator(node, _Op.ADD, inputs, "AddOptions", fusedActivationFunction=_Fused.RELU6)
        else:
            super().add(node)

    def finish(self) -> memoryview:
        """Returns the content of the file."""
        output = self.graph.output
        if self.io == INT8:
            self.body.tensors[self.place[output]].name = OUTPUT
            return super().finish()
        integers, self.place[output] = self.place[output], self._images(OUTPUT, self.graph.shapes[output])
        self._number(self.place[output], output)
        code, options = (_Op.DEQUANTIZE, "DequantizeOptions") if self.io == FLOAT else (_Op.QUANTIZE, "QuantizeOptions")
        self._put(code, [integers], self.place[output], options)
        return super().finish()

    def _number(self, tensor: int, name: str) -> None:
        """Gives input or output the numbers of the file's user."""
        if self.io != FLOAT:
            self.body.tensors[tensor].type = _TYPES[self.io]
            numbers = numbers_of(self.graph, name, self.io)
            self._set_scales(tensor, [numbers["scale"]], [numbers["zero_point"]])

    def _target(self, node: Node) -> int:
        return self._scratch(self.graph.shapes[node.name], node.name)

    def _scratch(self, shape: Shape, name: str) -> int:
        tensor, affine = super()._scratch(shape, name), self.graph.affine(name)
        self.body.tensors[tensor].type = schema.TensorType.INT8
        self._set_scales(tensor, [affine.scale], [affine.zero_point])
        return tensor

    def _weights(self, node: Conv | Linear, weight: Weights, axis: int | None) -> list[int]:
        made = self.graph.weights[node.name]
        order = {4: (1, 2, 3, 0) if axis == 3 else (0, 2, 3, 1), 2: (0, 1)}[made.values.ndim]
        values = np.ascontiguousarray(made.values.transpose(order))
        return [self._scaled(values, made.scales, axis or 0), self._scaled(made.bias, self.graph.steps(node), 0)]
