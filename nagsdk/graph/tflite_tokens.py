"""Writes the nodes of tokens as TFLite operators; the tensors in between have no layout of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nagsdk.graph.ir import Node, Shape
from nagsdk.graph.tflite_file import TfliteFile
from nagsdk.graph.tflite_schema import schema
from nagsdk.graph.tokens import Attention, LayerNorm, TokenMean, Tokens

_Op = schema.BuiltinOperator
_ANY = -1


class TokenWriter(TfliteFile):
    """Writes the nodes of tokens."""

    def _tokens(self, node: Node, inputs: Sequence[int]) -> bool:
        """Writes a node, if it is one of tokens, and returns whether it is."""
        match node:
            case Tokens():  # an image lies in memory position by position already
                self._reshape(node, inputs[0])
            case TokenMean():
                self._operator(node, _Op.MEAN, [inputs[0], self._integers(1)], "ReducerOptions", keepDims=False)
            case LayerNorm():
                self._norm(node, inputs[0])
            case Attention():
                self._attention(node, inputs)
            case _:
                return False
        return True

    def _integers(self, *values: int) -> int:
        return self._constant(np.array(values, np.int32))

    def _between(self, code: int, inputs: Sequence[int], shape: Shape, options: str = "", **values: Any) -> int:
        target = self._batched(f"t{len(self.body.tensors):04d}", shape)
        self._put(code, inputs, target, options, **values)
        return target

    def _reshape(self, node: Node, source: int) -> None:
        sizes = [_ANY, *self.graph.shapes[node.name][1:]]
        self._operator(node, _Op.RESHAPE, [source, self._integers(*sizes)], "ReshapeOptions", newShape=sizes)

    def _norm(self, node: LayerNorm, source: int) -> None:
        shape = self.graph.shapes[node.name]
        one, last = (*shape[:-1], 1), self._integers(len(shape) - 1)
        mean = self._between(_Op.MEAN, [source, last], one, "ReducerOptions", keepDims=True)
        centred = self._between(_Op.SUB, [source, mean], shape, "SubOptions")
        squared = self._between(_Op.MUL, [centred, centred], shape, "MulOptions")
        variance = self._between(_Op.MEAN, [squared, last], one, "ReducerOptions", keepDims=True)
        more = self._between(_Op.ADD, [variance, self._constant(np.float32(node.epsilon))], one, "AddOptions")
        normal = self._between(_Op.MUL, [centred, self._between(_Op.RSQRT, [more], one)], shape, "MulOptions")
        scaled = self._between(_Op.MUL, [normal, self._constant(node.weight)], shape, "MulOptions")
        self._operator(node, _Op.ADD, [scaled, self._constant(node.bias)], "AddOptions")

    def _attention(self, node: Attention, inputs: Sequence[int]) -> None:
        n, tokens, channels = self.graph.shapes[node.name]
        size, order = node.size(channels), self._integers(0, 2, 1, 3)
        apart, by_head = (n, tokens, node.heads, size), (n, node.heads, tokens, size)
        pairs = (n, node.heads, tokens, tokens)
        sizes = [_ANY, *apart[1:]]

        def split(place: int) -> int:
            parts = self._between(_Op.RESHAPE, [place, self._integers(*sizes)], apart, "ReshapeOptions", newShape=sizes)
            return self._between(_Op.TRANSPOSE, [parts, order], by_head, "TransposeOptions")

        def product(one: int, other: int, shape: Shape, *, turned: bool) -> int:
            return self._between(_Op.BATCH_MATMUL, [one, other], shape, "BatchMatMulOptions", adjX=False, adjY=turned)

        queries, keys, values = map(split, inputs)
        scaled = self._between(_Op.MUL, [queries, self._constant(np.float32(size**-0.5))], by_head, "MulOptions")
        scores = product(scaled, keys, pairs, turned=True)
        shares = self._between(_Op.SOFTMAX, [scores], pairs, "SoftmaxOptions", beta=1.0)
        mixed = product(shares, values, by_head, turned=False)
        self._reshape(node, self._between(_Op.TRANSPOSE, [mixed, order], apart, "TransposeOptions"))
