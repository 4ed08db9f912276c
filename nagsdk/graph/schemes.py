"""The ways in which integers are made of a network; what that costs in accuracy differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nagsdk.graph.integers import IntegerGraph
    from nagsdk.graph.ir import Graph, Weights

_USUAL_BITS, _FEWER_BITS = 8, 7


@dataclass(frozen=True)
class Scheme:
    """How the integer form of a network is made, apart from the images.

    Attributes:
        weight_bits: Bits of a weight, 7 or 8. Two products of 7-bit weights and 8-bit activations fit into 16
            bits, in which processors of x86-64 without VNNI add them.
        keep_hard_swish: Whether hard swish stays, for runtimes that make it part of a convolution.
        split_depthwise: Whether 7x7 depthwise convolutions become sums of smaller ones, each of which is rounded.
        unlike: Share of images to which a runtime answers another class than these integers give, because it rounds in
            its own way; it does not change the integers.

    Raises:
        ValueError: Weights have another number of bits, or the share is none.
    """

    weight_bits: int = _USUAL_BITS
    keep_hard_swish: bool = False
    split_depthwise: bool = False
    unlike: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        if self.weight_bits not in (_USUAL_BITS, _FEWER_BITS):
            raise ValueError(f"weights have {_USUAL_BITS} or {_FEWER_BITS} bits")
        if not 0 <= self.unlike <= 1:
            raise ValueError("a share of images lies between 0 and 1")

    @property
    def name(self) -> str:
        """The name under which an accuracy predictor keeps what networks lose, such as ``int8-w7``."""
        narrow = self.weight_bits != _USUAL_BITS
        parts = {f"w{self.weight_bits}": narrow, "hswish": self.keep_hard_swish, "split": self.split_depthwise}
        return "-".join(["int8", *(part for part, holds in parts.items() if holds)])

    def in_effect(self, graph: Graph) -> Scheme:
        """The simplest scheme that makes the same integers of a network as this one."""
        from nagsdk.graph.ir import HARD_SWISH, Activation
        from nagsdk.graph.passes import split_large_depthwise

        keep = any(isinstance(node, Activation) and node.function == HARD_SWISH for node in graph.nodes)
        split = self.split_depthwise and split_large_depthwise(graph).nodes != graph.nodes
        return replace(self, keep_hard_swish=self.keep_hard_swish and keep, split_depthwise=split)

    def quantised(
        self, graph: Graph, images: Weights | None = None, kept: Mapping[str, bytes] | None = None
    ) -> IntegerGraph:
        """Makes the integer form of a lowered network; for the arguments and errors see `integer_graph`."""
        from nagsdk.graph.integer_passes import without_hard_functions
        from nagsdk.graph.integers import integer_graph
        from nagsdk.graph.passes import split_large_depthwise

        whole = split_large_depthwise(graph) if self.split_depthwise else graph
        rewritten = without_hard_functions(whole, keep_hard_swish=self.keep_hard_swish)
        return integer_graph(rewritten, images, kept, most=(1 << (self.weight_bits - 1)) - 1)


# Those of the backends that ship with nagsdk.
SCHEMES = (
    Scheme(),
    Scheme(split_depthwise=True),
    Scheme(_FEWER_BITS),
    # OpenVINO answers 2.2 % otherwise: 20 networks of glyphs, 150 images each (benchmarks/int8_accuracy.py).
    Scheme(_FEWER_BITS, keep_hard_swish=True, unlike=0.022),
)
