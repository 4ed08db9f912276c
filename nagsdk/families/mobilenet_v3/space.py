"""The Once-for-All MobileNetV3 space (Cai et al., ICLR 2020, section 4.1), every constant a parameter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

from nagsdk.errors import ArchitectureError
from nagsdk.space.architecture import Architecture
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Decision, SearchSpace, _values

_TEXT = re.compile(r"mbv3:r(\d{1,5}):d=(\d[\d,]*):ks=(\d[\d,]*):e=(\d[\d,]*)")
_MOST_TEXT = 2000
ACTIVATIONS = ("relu", "hswish")


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds a channel count to a multiple of `divisor`, never more than 10 % down (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Stage:
    """One stage of inverted residual blocks.

    Attributes:
        width: Output channels before the width multiplier.
        stride: Of the first block.
        activation: One of `ACTIVATIONS`.
        se: Whether its blocks have squeeze-and-excitation.
        depths: Legal numbers of blocks.
    """

    width: int
    stride: int
    activation: str
    se: bool
    depths: tuple[int, ...] = (2, 3, 4)


class BlockChoice(NamedTuple):
    """Kernel and expansion of one block, decided together."""

    kernel: int
    expansion: int

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expansion}"


@dataclass(frozen=True)
class Settings:
    """An architecture in the terms of the family; kernels and expansions of active blocks only."""

    resolution: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]


@dataclass(frozen=True)
class BlockShape:
    """What the supernet and the layer list need to know of one block position."""

    stage: int
    position: int
    decision: int
    in_channels: int
    out_channels: int
    stride: int
    activation: str
    se: bool

    @property
    def residual(self) -> bool:
        """Whether input and output are added."""
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclass(frozen=True)
class MobileNetV3Space(SearchSpace):
    """Elastic MobileNetV3: resolution, and depth, kernels and expansions of every stage.

    Attributes:
        stages: The elastic stages; each starts with its stride.
        stem_width: Output channels of the first convolution (stride 2) and of the first, fixed block.
        head_width: Channels of the final expansion, before pooling.
        feature_width: Channels of the layer before the classifier.
        kernels: Legal depthwise kernels.
        expansions: Legal expansion ratios.
        resolution_choices: Legal input sizes in pixels.
        classes: Outputs of the classifier.
        width_multiplier: Scales every width (rounded to multiples of 8).

    Raises:
        ValueError: Choices are not ascending whole numbers that networks can be built of and texts can tell.
    """

    stages: tuple[Stage, ...]
    stem_width: int
    head_width: int
    feature_width: int
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    resolution_choices: tuple[int, ...]
    classes: int
    width_multiplier: float = 1.0

    family = "mbv3"

    def __post_init__(self) -> None:
        if not self.stages or any(stage.activation not in ACTIVATIONS for stage in self.stages):
            raise ValueError(f"every stage needs an activation, {' or '.join(ACTIVATIONS)}")
        # The last choice counts as the largest.
        for name, values, most in (
            ("kernels", self.kernels, 9),
            ("expansions", self.expansions, 9),
            ("resolution_choices", self.resolution_choices, 9999),
            *(("depths", stage.depths, 9) for stage in self.stages),
        ):
            whole = all(type(value) is int and 0 < value <= most for value in values)
            if not values or not whole or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be whole numbers from 1 to {most}, the least first: {list(values)}")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels must be odd: {list(self.kernels)}")

    def width(self, base: int) -> int:
        """A width of the definition after the multiplier."""
        return make_divisible(base * self.width_multiplier)

    @cached_property
    def _choices(self) -> tuple[BlockChoice, ...]:
        return tuple(BlockChoice(k, e) for k in self.kernels for e in self.expansions)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        """Resolution, then for each stage its depth and its blocks."""
        result = [Decision("resolution", self.resolution_choices)]
        for s, stage in enumerate(self.stages, 1):
            depth = len(result)
            result.append(Decision(f"stage{s}.depth", stage.depths))
            for b in range(1, max(stage.depths) + 1):
                least = next(i for i, d in enumerate(stage.depths) if d >= b)
                result.append(Decision(f"stage{s}.block{b}", self._choices, (depth, least) if least else None))
        return tuple(result)

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Every block position of the largest network, in order."""
        result = []
        decision, channels = 1, self.width(self.stem_width)
        for s, stage in enumerate(self.stages):
            out = self.width(stage.width)
            for b in range(max(stage.depths)):
                decision += 1
                result.append(BlockShape(s, b, decision, channels, out, stage.stride if b == 0 else 1, stage.activation, stage.se))
                channels = out
            decision += 1
        return tuple(result)

    @cached_property
    def _depth_decisions(self) -> tuple[int, ...]:
        return tuple(i for i, d in enumerate(self.decisions) if d.name.endswith(".depth"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready definition."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_dict(cls, definition: dict[str, Any]) -> MobileNetV3Space:
        """Rebuilds a space from `to_dict` (lists may stand for tuples)."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in definition.items() if k != "family"}
        values["stages"] = tuple(Stage(**{**stage, "depths": tuple(stage["depths"])}) for stage in definition["stages"])
        return cls(**values)

    def architecture(self, *, kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int], resolution: int) -> Architecture:
        """Validates an architecture given in the terms of the family.

        Args:
            kernels: One per active block, or one per block position (inactive ones are ignored).
            expansions: Likewise.
            depths: Blocks per stage.
            resolution: Input size in pixels.

        Raises:
            ArchitectureError: With the legal values.
        """
        if len(depths) != len(self.stages):
            raise ArchitectureError(f"{len(depths)} depths were given.", f"This space has {len(self.stages)} stages.")
        code = [-1] * len(self.decisions)
        code[0] = self.resolution_index(resolution)
        for index, depth in zip(self._depth_decisions, depths, strict=True):
            code[index] = _choice(self.decisions[index], depth)
        active = [block for block in self.blocks if block.position < depths[block.stage]]
        for label, values, legal in (("kernels", kernels, self.kernels), ("expansions", expansions, self.expansions)):
            if len(values) not in (len(active), len(self.blocks)):
                raise ArchitectureError(
                    f"{len(values)} {label} were given.",
                    f"Give {len(active)} (one per active block at depths {_values(depths)}) or {len(self.blocks)} (one per position); legal: {_values(legal)}.",
                )
        for number, block in enumerate(active):
            kernel, expansion = (v[number] if len(v) == len(active) else v[self.blocks.index(block)] for v in (kernels, expansions))
            where = self.decisions[block.decision].name
            if kernel not in self.kernels:
                raise ArchitectureError(f"Kernel {kernel} of {where} is not in this space.", f"Legal kernels: {_values(self.kernels)}.")
            if expansion not in self.expansions:
                raise ArchitectureError(
                    f"Expansion {expansion} of {where} is not in this space.", f"Legal expansions: {_values(self.expansions)}."
                )
            code[block.decision] = self._choices.index(BlockChoice(kernel, expansion))
        return Architecture(self._text(code), tuple(code), resolution)

    def parse(self, text: str) -> Architecture:
        """Reads ``mbv3:r224:d=…:ks=…:e=…``; see `SearchSpace.parse`."""
        match = _TEXT.fullmatch(text.strip()) if len(text) <= _MOST_TEXT else None
        if match is None:
            raise ArchitectureError(
                f"{text[:120]!r} is not an architecture of this space.",
                f"The form is mbv3:r224:d=2,…:ks=3,…:e=4,…; resolutions {_values(self.resolutions)}; depths "
                f"{'; '.join(_values(s.depths) for s in self.stages)}; kernels {_values(self.kernels)}; expansions {_values(self.expansions)}.",
            )
        depths, kernels, expansions = ([int(v) for v in part.split(",") if v] for part in match.groups()[1:])
        return self.architecture(resolution=int(match[1]), depths=depths, kernels=kernels, expansions=expansions)

    def settings(self, architecture: Architecture) -> Settings:
        """An architecture in the terms of the family."""
        return self._settings(architecture.code)

    def _settings(self, code: Sequence[int]) -> Settings:
        chosen = [self._choices[code[block.decision]] for block in self.blocks if code[block.decision] >= 0]
        depths = tuple(stage.depths[code[i]] for stage, i in zip(self.stages, self._depth_decisions, strict=True))
        return Settings(self.resolutions[code[0]], depths, tuple(c.kernel for c in chosen), tuple(c.expansion for c in chosen))

    def _text(self, code: Sequence[int]) -> str:
        s = self._settings(code)
        lists = (",".join(map(str, values)) for values in (s.depths, s.kernels, s.expansions))
        return "mbv3:r{}:d={}:ks={}:e={}".format(s.resolution, *lists)

    def _block_size(self, resolution: int, block: BlockShape) -> int:
        size = _halve(resolution, 2)
        for stage in self.stages[: block.stage]:
            size = _halve(size, stage.stride)
        return size if block.position == 0 else _halve(size, self.stages[block.stage].stride)

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        """Stem, first block, final expansion, pooling, feature layer and classifier."""
        return self._stem(resolution) + self._head(resolution)

    def _stem(self, resolution: int) -> tuple[LayerSpec, ...]:
        width, size = self.width(self.stem_width), _halve(resolution, 2)
        return (
            LayerSpec("stem", "conv", 3, width, 3, 2, resolution, "hswish", batch_norm=True),
            LayerSpec("first.depthwise", "depthwise", width, width, 3, 1, size, "relu", batch_norm=True),
            LayerSpec("first.project", "pointwise", width, width, 1, 1, size, batch_norm=True),
            LayerSpec("first.add", "add", width, width, 1, 1, size),
        )

    def _head(self, resolution: int) -> tuple[LayerSpec, ...]:
        size = _halve(self._block_size(resolution, self.blocks[-1]), 1 if self.blocks[-1].position else self.stages[-1].stride)
        channels, head, features = self.blocks[-1].out_channels, self.width(self.head_width), self.width(self.feature_width)
        return (
            LayerSpec("head.expand", "pointwise", channels, head, 1, 1, size, "hswish", batch_norm=True),
            LayerSpec("head.pool", "pool", head, head, 1, 1, size),
            LayerSpec("head.features", "pointwise", head, features, 1, 1, 1, "hswish"),
            LayerSpec("head.classifier", "linear", features, self.classes, 1, 1, 1, bias=True),
        )

    def block_choice(self, choice: int) -> BlockChoice:
        """Kernel and expansion of a choice index of a block decision."""
        return self._choices[choice]

    @cached_property
    def _by_decision(self) -> dict[int, BlockShape]:
        return {block.decision: block for block in self.blocks}

    def choice_layers(self, resolution: int, decision: int, choice: int) -> tuple[LayerSpec, ...]:
        """The layers of one block; depths and the resolution add none of their own."""
        block = self._by_decision.get(decision)
        if block is None:
            return ()
        kernel, expansion = self._choices[choice]
        name, middle = self.decisions[decision].name, make_divisible(block.in_channels * expansion)
        size = self._block_size(resolution, block)
        out = _halve(size, block.stride)
        layers = [
            LayerSpec(f"{name}.expand", "pointwise", block.in_channels, middle, 1, 1, size, block.activation, batch_norm=True),
            LayerSpec(f"{name}.depthwise", "depthwise", middle, middle, kernel, block.stride, size, block.activation, batch_norm=True),
        ]
        if block.se:
            layers.append(LayerSpec(f"{name}.se", "se", middle, middle, 1, 1, out, se_channels=make_divisible(middle // 4)))
        layers.append(LayerSpec(f"{name}.project", "pointwise", middle, block.out_channels, 1, 1, out, batch_norm=True))
        if block.residual:
            layers.append(LayerSpec(f"{name}.add", "add", block.out_channels, block.out_channels, 1, 1, out))
        return tuple(layers)

    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        """All layers in the order of execution."""
        resolution = architecture.resolution
        body = [layer for i, c in enumerate(architecture.code) if c >= 0 for layer in self.choice_layers(resolution, i, c)]
        return (*self._stem(resolution), *body, *self._head(resolution))


def _halve(size: int, stride: int) -> int:
    return (size - 1) // stride + 1


def _choice(decision: Decision, value: int) -> int:
    if value not in decision.choices:
        raise ArchitectureError(f"{value} is not a choice of {decision.name}.", f"Legal values: {_values(decision.choices)}.")
    return decision.choices.index(value)


def ofa_mobilenet_v3(width_multiplier: float = 1.0) -> MobileNetV3Space:
    """The ImageNet space of Once-for-All: 5 stages, depth 2–4, kernels 3/5/7, expansions 3/4/6, 160–224 px."""
    return MobileNetV3Space(
        stages=(
            Stage(24, 2, "relu", se=False),
            Stage(40, 2, "relu", se=True),
            Stage(80, 2, "hswish", se=False),
            Stage(112, 1, "hswish", se=True),
            Stage(160, 2, "hswish", se=True),
        ),
        stem_width=16,
        head_width=960,
        feature_width=1280,
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        resolution_choices=tuple(range(160, 225, 4)),
        classes=1000,
        width_multiplier=width_multiplier,
    )


def small_mobilenet_v3(classes: int = 47) -> MobileNetV3Space:
    """A small elastic MobileNetV3 for 32 to 48 pixels: 0.3 to 8 MMACs."""
    depths = (1, 2, 3)
    return MobileNetV3Space(
        stages=(
            Stage(16, 2, "relu", se=False, depths=depths),
            Stage(24, 2, "relu", se=True, depths=depths),
            Stage(40, 1, "hswish", se=False, depths=depths),
            Stage(64, 2, "hswish", se=True, depths=depths),
        ),
        stem_width=8,
        head_width=192,
        feature_width=256,
        kernels=(3, 5),
        expansions=(2, 4, 6),
        resolution_choices=(32, 36, 40, 44, 48),
        classes=classes,
    )
