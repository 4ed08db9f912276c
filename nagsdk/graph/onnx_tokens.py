"""Writes the nodes that ONNX has no operator for as several operators: those of tokens, and GELU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nagsdk.graph.ir import GELU, Activation, Graph, Linear, Node
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

# LayerNormalization came with this version of ONNX's operators.
_LAYER_NORM_SINCE = 17


class Composed:
    """The operators and constants of one node; names begin with that of its output.

    Args:
        graph: The network.
        node: The node.
        inputs: Names of its inputs in the file.
        output: Name of its output in the file.
        opset: Version of ONNX's operators.

    Attributes:
        nodes: The operators; empty if the node has an operator of its own.
        constants: Their weights, shapes and other constants.
    """

    def __init__(self, graph: Graph, node: Node, inputs: Sequence[str], output: str, opset: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.output = output
        first = inputs[0]
        match node:
            case Linear() if len(graph.shapes[node.name]) == 3:
                product = self._put("MatMul", [first, self._constant(node.weight.T)])
                self._put("Add", [product, self._constant(node.bias)], output)
            case Activation(function=function) if function == GELU:
                # In this order, in which runtimes recognise it.
                error = self._put("Erf", [self._put("Div", [first, self._constant(np.float32(np.sqrt(2)))])])
                above = self._put("Add", [error, self._constant(np.float32(1))])
                self._put("Mul", [self._put("Mul", [first, above]), self._constant(np.float32(0.5))], output)
            case Tokens():
                flat = self._put("Reshape", [first, self._constant(np.array([0, 0, -1]))])
                self._put("Transpose", [flat], output, perm=[0, 2, 1])
            case TokenMean():
                self._put("ReduceMean", [first], output, axes=[1], keepdims=0)
            case LayerNorm():
                self._norm(node, first, opset)
            case Attention():
                self._attention(node, inputs, graph.shapes[node.name][2])

    def _put(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{self.output}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, values: NDArray[Any] | np.float32) -> str:
        name = f"{self.output}.c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name))
        return name

    def _norm(self, node: LayerNorm, source: str, opset: int) -> None:
        if opset >= _LAYER_NORM_SINCE:
            weights = [self._constant(node.weight), self._constant(node.bias)]
            self._put("LayerNormalization", [source, *weights], self.output, axis=-1, epsilon=node.epsilon)
            return
        centred = self._put("Sub", [source, self._put("ReduceMean", [source], axes=[-1])])
        squared = self._put("Pow", [centred, self._constant(np.float32(2))])
        variance = self._put("ReduceMean", [squared], axes=[-1])
        deviation = self._put("Sqrt", [self._put("Add", [variance, self._constant(np.float32(node.epsilon))])])
        scaled = self._put("Mul", [self._put("Div", [centred, deviation]), self._constant(node.weight)])
        self._put("Add", [scaled, self._constant(node.bias)], self.output)

    def _attention(self, node: Attention, inputs: Sequence[str], channels: int) -> None:
        size = node.size(channels)
        split = self._constant(np.array([0, 0, node.heads, size]))
        queries, keys, values = (self._put("Reshape", [name, split]) for name in inputs)
        scaled = self._put("Mul", [queries, self._constant(np.float32(size**-0.5))])
        scores = self._put(
            "MatMul",
            [
                self._put("Transpose", [scaled], perm=[0, 2, 1, 3]),
                self._put("Transpose", [keys], perm=[0, 2, 3, 1]),
            ],
        )
        shares = self._put("Softmax", [scores], axis=-1)
        mixed = self._put("MatMul", [shares, self._put("Transpose", [values], perm=[0, 2, 1, 3])])
        back = self._put("Transpose", [mixed], perm=[0, 2, 1, 3])
        self._put("Reshape", [back, self._constant(np.array([0, 0, channels]))], self.output)
