"""Nodes of networks that compute with tokens, shape (n, tokens, channels), as vision transformers do."""

from __future__ import annotations

from dataclasses import dataclass

from nagsdk.graph.ir import Node, Shape, Weights


@dataclass(frozen=True, eq=False)
class Tokens(Node):
    """The positions of an image, row by row, as tokens."""

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, c, h, w) → (n, h · w, c)."""
        (shape,) = inputs
        return (shape[0], shape[2] * shape[3], shape[1]) if len(shape) == 4 else None


@dataclass(frozen=True, eq=False)
class TokenMean(Node):
    """Mean over all tokens."""

    def infer(self, *inputs: Shape) -> Shape | None:
        """(n, t, c) → (n, c)."""
        (shape,) = inputs
        return (shape[0], shape[2]) if len(shape) == 3 else None


@dataclass(frozen=True, eq=False)
class LayerNorm(Node):
    """Normalisation over the channels of each token.

    Attributes:
        weight: Scale, shape (channels,).
        bias: Shift, shape (channels,).
        epsilon: What is added to the variance.
    """

    weight: Weights
    bias: Weights
    epsilon: float

    def infer(self, *inputs: Shape) -> Shape | None:
        """Keeps the shape."""
        (shape,) = inputs
        return shape if len(shape) in (2, 3) and shape[-1:] == self.weight.shape else None


@dataclass(frozen=True, eq=False)
class Attention(Node):
    """Scaled dot-product attention of queries, keys and values, in this order, whose channels are split into heads.

    A result is a mean of values, weighted by softmax(query · key / √size), where size is the number of channels of a
    head. The files write it as scaling, transpositions, two matrix products and a softmax.

    Attributes:
        heads: Number of heads.
    """

    heads: int

    def infer(self, *inputs: Shape) -> Shape | None:
        """Three times (n, t, heads · size) → the same shape."""
        first = inputs[0]
        fits = len(inputs) == 3 and set(inputs) == {first} and len(first) == 3 and first[2] % self.heads == 0
        return first if fits else None

    def size(self, channels: int) -> int:
        """Number of channels of a head."""
        return channels // self.heads
