"""What a runtime tells about the time of single operators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nagsdk.space.layer import LayerSpec

# Kinds of operators by the names that runtimes give them. Operators with weights are matched first: "matmul" is no
# "mul".
_KINDS = {
    "weights": re.compile(r"conv|gemm|matmul|fully.?connected|inner.?product|linear", re.IGNORECASE),
    "layout": re.compile(r"reorder|transpose|reshape|flatten|convert|copy|quantizelinear", re.IGNORECASE),
    "pool": re.compile(r"pool|mean", re.IGNORECASE),
    "add": re.compile(r"\badd|qlinearadd|sum|subgraph", re.IGNORECASE),
    "mul": re.compile(r"mul", re.IGNORECASE),
}
# Number of operators with weights, of the kinds of layers that do not have one; the two products of an attention count
# as such.
_WEIGHTS = {"se": 2, "attention": 2, **dict.fromkeys(("add", "pool", "maxpool", "avgpool", "norm"), 0)}


@dataclass(frozen=True)
class LayerTime:
    """The time of one operator in one inference.

    Attributes:
        name: Its name in the runtime.
        kind: The kind of operator, as the runtime calls it.
        ms: Median time in milliseconds.
    """

    name: str
    kind: str
    ms: float


def by_layer(times: Sequence[LayerTime], layers: Sequence[LayerSpec]) -> dict[str, float] | None:
    """The time of each layer of a network, matched by the order of operators; None if they cannot be matched.

    Runtimes fuse operators: activations and additions into the convolution before them, whose time then holds both. A
    layer that was fused into another one has no time of its own. What belongs to no layer, such as a change of the
    layout, is left out.

    Args:
        times: The operators in the order in which they ran.
        layers: The layers of the network, in order.
    """
    slots = [layer for layer in layers for _ in range(_weights(layer))]
    kinds = [_kind(time) for time in times]
    if kinds.count("weights") != len(slots):
        return None
    found: dict[str, float] = {}
    adds = _following(layers, "add")
    pools = _following(layers, "pool")
    at = -1
    for time, kind in zip(times, kinds, strict=True):
        if kind == "layout":
            continue
        before = slots[at] if at >= 0 else None
        after = slots[at + 1] if at + 1 < len(slots) else None
        owner = before
        if kind == "weights":
            at += 1
            owner = slots[at]
        elif kind == "pool" and after is not None and after.kind == "se":
            owner = after
        elif kind == "pool" and before is not None:
            owner = pools.get(before.name, before)
        elif kind == "add" and before is not None:
            owner = adds.get(before.name, before)
        if owner is not None:
            found[owner.name] = found.get(owner.name, 0.0) + time.ms
    return found


def _weights(layer: LayerSpec) -> int:
    """Number of operators with weights."""
    return _WEIGHTS.get(layer.kind, 1)


def _kind(time: LayerTime) -> str:
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(time.kind)), "other")


def _following(layers: Sequence[LayerSpec], kind: str) -> dict[str, LayerSpec]:
    """By the name of a layer with weights, the first one of a kind between it and the next one with weights."""
    found: dict[str, LayerSpec] = {}
    last = ""
    for layer in layers:
        if _weights(layer):
            last = layer.name
        elif layer.kind == kind:
            found.setdefault(last, layer)
    return found
