"""A space of small vision transformers: resolution, embedding dimension, depth, and heads and hidden width per block.

The embedding dimension is shared by all blocks, so that the layers of every block depend on it. Layers are told here
and not traced, so that the space opens at once; the tests compare them with traced ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from nagsdk.families.traced.layers import TracedLayer
from nagsdk.families.traced.space import TracedSpace
from nagsdk.families.widths import hidden_width
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Key
from nagsdk.space.layer import LayerSpec

if TYPE_CHECKING:
    from torch import nn

_MOST = 4096
_FIELDS: dict[str, tuple[type, float, float]] = {
    "pixels": (int, 16, 1024),
    "dims": (int, 1, _MOST),
    "depths": (int, 1, 32),
    "heads": (int, 1, 64),
    "mlp_ratios": (float, 0.1, 16),
    "stem_widths": (int, 1, _MOST),
}


@dataclass(frozen=True)
class VitSpace(TracedSpace):
    """Elastic vision transformer.

    The decisions are the resolution, the embedding dimension, the number of blocks, and for every block its number of
    heads and the width of its hidden layer.

    Attributes:
        classes: Number of outputs of the classifier.
        pixels: Legal input sizes in pixels, ascending.
        dims: Legal embedding dimensions, ascending.
        depths: Legal numbers of blocks, ascending.
        heads: Legal numbers of heads, ascending.
        mlp_ratios: Legal ratios of a block's hidden layer to the embedding dimension, ascending.
        head_size: Number of channels of a head.
        stem_widths: Channels of the convolutions before the one that makes the tokens; each convolution halves the
            image, so that two of them, with the last one, make patches of 8 pixels.
    """

    classes: int = 1000
    pixels: tuple[int, ...] = (32, 40, 48, 56, 64)
    dims: tuple[int, ...] = (32, 48, 64, 80)
    depths: tuple[int, ...] = (2, 3, 4, 5, 6)
    heads: tuple[int, ...] = (2, 3, 4)
    mlp_ratios: tuple[float, ...] = (1, 2, 3)
    head_size: int = 16
    stem_widths: tuple[int, ...] = (16, 32)

    family = "vit"
    peak_rate: ClassVar[float] = 1e-3

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _FIELDS.items():
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values or len(values) > 32:
                raise ValueError(f"{name} must be a list of numbers, not {values!r}")
            if any(type(v) not in {int, kind} or not low <= v <= high for v in values):
                raise ValueError(f"{name} must be {'whole ' * (kind is int)}numbers from {low:g} to {high:g}")
            if name != "stem_widths" and list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be ascending, not {list(values)}")
        for name, most in (("classes", 100_000), ("head_size", _MOST)):
            if type(getattr(self, name)) is not int or not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}")

    @property
    def choices(self) -> Mapping[str, Sequence[Any]]:
        """The legal values of every decision; see `TracedSpace.choices`."""
        found: dict[str, Sequence[Any]] = {"resolution": self.pixels, "dim": self.dims, "depth": self.depths}
        for b in range(1, max(self.depths) + 1):
            found |= {f"block{b}.heads": self.heads, f"block{b}.mlp": self.mlp_ratios}
        return found

    @property
    def conditions(self) -> Mapping[str, tuple[str, Any]]:
        """A block is there where the depth says so."""
        found: dict[str, tuple[str, Any]] = {}
        for b in range(min(self.depths) + 1, max(self.depths) + 1):
            least = min(depth for depth in self.depths if depth >= b)
            found |= {f"block{b}.{part}": ("depth", least) for part in ("heads", "mlp")}
        return found

    def network(self, values: Mapping[str, Any]) -> nn.Module:
        """Builds a network; see `TracedSpace.network`."""
        from nagsdk.families.vit.network import VisionTransformer

        return VisionTransformer(self.classes, self.stem_widths, self.head_size, values)

    def panels(self, architecture: Architecture) -> Mapping[str, Mapping[str, float]]:
        """Embedding dimension and number of blocks, with the means of their heads and hidden widths."""
        values = self.values(architecture.code)
        blocks = range(1, values["depth"] + 1)
        means = {part: sum(values[f"block{b}.{part}"] for b in blocks) / len(blocks) for part in ("heads", "mlp")}
        return {
            "embedding dimension": {"all blocks": float(values["dim"])},
            "blocks": {"depth": float(values["depth"])},
            "mean of the blocks": {"heads": means["heads"], "hidden width / dimension": means["mlp"]},
        }

    @cached_property
    def traced_layers(self) -> tuple[TracedLayer, ...]:
        """The layers of the family in the order of execution; see `TracedSpace.traced_layers`."""
        told = _Told(self)
        into = 3
        for number, width in enumerate(self.stem_widths):
            told.put({}, number, _strided(f"stem.conv{number + 1}.conv", into, width, "gelu"))
            into = width
        last, tokens = len(self.stem_widths), len(self.stem_widths) + 1
        for dim in self.dims:
            told.put({"dim": dim}, last, _strided("stem.patch.conv", into, dim))
            place = LayerSpec("positions.conv", "depthwise", dim, dim, 3, 1, 0, bias=True)
            told.put({"dim": dim}, tokens, place, _of_tokens("positions.conv.add", "add", dim))
        for number in range(1, max(self.depths) + 1):
            self._tell_block(told, number, tokens)
        for dim in self.dims:
            told.put({"dim": dim}, tokens, _norm("norm", dim), _of_tokens("norm.pool", "pool", dim))
            told.put({"dim": dim}, None, LayerSpec("classifier", "linear", dim, self.classes, 1, 1, 1, bias=True))
        return tuple(told.layers.values())

    def _tell_block(self, told: _Told, number: int, tokens: int) -> None:
        block = f"blocks.block{number}"
        for dim, heads in product(self.dims, self.heads):
            inner = heads * self.head_size
            attention = _of_tokens(f"{block}.attention", "attention", inner)
            told.put(
                {"dim": dim, f"block{number}.heads": heads},
                tokens,
                _norm(f"{block}.norm1", dim),
                *(_linear(f"{block}.{name}", dim, inner) for name in ("queries", "keys", "values")),
                replace(attention, heads=heads),
                _linear(f"{block}.project", inner, dim),
                _of_tokens(f"{block}.project.add", "add", dim),
            )
        for dim, ratio in product(self.dims, self.mlp_ratios):
            hidden = hidden_width(dim, ratio)
            told.put(
                {"dim": dim, f"block{number}.mlp": ratio},
                tokens,
                _norm(f"{block}.norm2", dim),
                _linear(f"{block}.widen", dim, hidden, "gelu"),
                _linear(f"{block}.narrow", hidden, dim),
                _of_tokens(f"{block}.narrow.add", "add", dim),
            )


class _Told:
    """Collects layers by name, with what they are for the choices that they depend on."""

    def __init__(self, space: VitSpace) -> None:
        self.layers: dict[str, TracedLayer] = {}
        self.choices = {name: list(values) for name, values in space.choices.items()}
        self.sizes = [list(space.pixels)]
        for _ in range(len(space.stem_widths) + 1):
            self.sizes.append([(size - 1) // 2 + 1 for size in self.sizes[-1]])

    def put(self, values: Mapping[str, Any], halvings: int | None, *layers: LayerSpec) -> None:
        """Adds layers of the networks with these values.

        Args:
            values: Values of the decisions that the layers depend on, by name.
            halvings: How often the image was halved before them; None if there is no image any more.
            *layers: The layers; the size of their input is not used.
        """
        names = list(self.choices)
        reads = tuple(names.index(name) for name in values)
        key = tuple(self.choices[name].index(value) for name, value in values.items())
        sizes: dict[Key, int] = {(): 1}
        if halvings is not None:
            sizes = {(r,): size for r, size in enumerate(self.sizes[halvings])}
        for layer in layers:
            at = () if halvings is None else (0,)
            known = self.layers.setdefault(layer.name, TracedLayer(layer.name, reads, at, sizes=sizes))
            known.shapes[key] = replace(layer, in_size=0)


def _strided(name: str, into: int, out: int, activation: str = "none") -> LayerSpec:
    return LayerSpec(name, "conv", into, out, 3, 2, 0, activation, batch_norm=True)


def _of_tokens(name: str, kind: str, channels: int) -> LayerSpec:
    return LayerSpec(name, kind, channels, channels, 1, 1, 0)


def _norm(name: str, channels: int) -> LayerSpec:
    return replace(_of_tokens(name, "norm", channels), bias=True)


def _linear(name: str, into: int, out: int, activation: str = "none") -> LayerSpec:
    return LayerSpec(name, "pointwise", into, out, 1, 1, 0, activation, bias=True)


def small_vit(classes: int = 1000) -> VitSpace:
    """Vision transformers for 32 to 64 pixels: 0.8 to 29 MMACs."""
    return VitSpace(classes)
