"""Definition of a space of inverted residual blocks (Cai et al., Once-for-All, ICLR 2020, section 4.1).

Every constant of the paper is a parameter; others make Once-for-All's ProxylessNAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

from nagsdk.families.space import NetworkSpace
from nagsdk.families.widths import make_divisible
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Decision

ACTIVATIONS = ("relu", "relu6", "hswish")
SYMMETRIC, SAME = "symmetric", "same"
# Fields that definitions from before them lack, whose fingerprints stay; with the values that these have.
_LATER = {
    "activation": "hswish",
    "first_width": None,
    "first_activation": "relu",
    "norm_eps": 1e-5,
    "padding": SYMMETRIC,
}
_MOST_STAGES, _MOST_STRIDE, _MOST_WIDTH, _MOST_CLASSES, _LEAST_MULTIPLIER = 32, 4, 8192, 100_000, 1 / 16
# Codes are int8. Costs are kept for every choice at every resolution. Weights of 512 MB are 128 million in float32.
_MOST_CHOICES, _MOST_PLACES, _MOST_WEIGHTS = 127, 50_000, 128 * 10**6


def halved(size: int, stride: int) -> int:
    """Height and width after a convolution with a stride."""
    return (size - 1) // stride + 1


def require_whole(name: str, value: object, most: int) -> None:
    """Raises a ValueError unless a value is a whole number from 1 to `most`."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}, not {value!r}")


@dataclass(frozen=True)
class Stage:
    """One stage of inverted residual blocks.

    Attributes:
        width: Number of output channels before the width multiplier is applied.
        stride: Stride of the first block.
        activation: Activation of the blocks, one of `ACTIVATIONS`.
        se: Whether the blocks have squeeze-and-excitation.
        depths: Legal numbers of blocks.
    """

    width: int
    stride: int
    activation: str
    se: bool
    depths: tuple[int, ...] = (2, 3, 4)

    def check(self) -> None:
        """Raises a ValueError if no network can be built with these values; depths are checked by the definition."""
        require_whole("width", self.width, _MOST_WIDTH)
        require_whole("stride", self.stride, _MOST_STRIDE)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"every stage needs an activation ({' or '.join(ACTIVATIONS)})")
        if type(self.se) is not bool:
            raise ValueError(f"se must be true or false, not {self.se!r}")


class BlockChoice(NamedTuple):
    """Kernel size and expansion ratio of one block, which are one joint decision."""

    kernel: int
    expansion: int

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expansion}"


@dataclass(frozen=True)
class Settings:
    """An architecture in the terms of the family; kernels and expansions list the active blocks only."""

    resolution: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]


@dataclass(frozen=True)
class BlockShape:
    """Fixed properties of one block position, from which the supernet and the layer list are built."""

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
        """Whether the block adds its input to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclass(frozen=True)
class MobileNetV3Definition(NetworkSpace):
    """The decisions of a MobileNetV3 space and the block positions that its networks are built from.

    Decisions are the resolution and, for every stage, the depth and the kernels and expansions of its blocks.
    `MobileNetV3Space` adds the methods that build networks; the networks themselves import only this class.

    Attributes:
        stages: The elastic stages; the first block of each applies the stage's stride.
        stem_width: Number of output channels of the first convolution (stride 2).
        head_width: Number of channels of the final expansion, before pooling.
        feature_width: Number of channels of the layer before the classifier; 0 if there is none.
        kernels: Legal kernel sizes of the depthwise convolutions.
        expansions: Legal expansion ratios.
        resolution_choices: Legal input sizes in pixels.
        classes: Number of outputs of the classifier.
        width_multiplier: Factor that scales every width; the results are rounded to multiples of 8.
        activation: Activation of the layers outside the stages, one of `ACTIVATIONS`: the first and the last ones.
        first_width: Number of output channels of the fixed block after the first convolution; None for those of the
            convolution, and the block then adds its input.
        first_activation: Activation in this block.
        norm_eps: What batch normalisation adds to variances.
        padding: Zeros around the images of convolutions with strides: ``symmetric`` for k // 2 on every side, or
            ``same`` for TensorFlow's rule (`nagsdk.space.layer.same_sides`), as EfficientNet-Lite has it.

    Raises:
        ValueError: Choices are not ascending whole numbers within the range that networks can be built from and that
            the text form of an architecture can express.
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
    activation: str = "hswish"
    first_width: int | None = None
    first_activation: str = "relu"
    norm_eps: float = 1e-5
    padding: str = SYMMETRIC

    family = "mbv3"
    resolution_field = "resolution_choices"

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= _MOST_STAGES:
            raise ValueError(f"1 to {_MOST_STAGES} stages are possible, not {len(self.stages)}")
        for stage in self.stages:
            stage.check()
        for name in ("activation", "first_activation"):
            if getattr(self, name) not in ACTIVATIONS:
                raise ValueError(f"{name} must be {' or '.join(ACTIVATIONS)}, not {getattr(self, name)!r}")
        if self.padding not in (SYMMETRIC, SAME):
            raise ValueError(f"padding must be {SYMMETRIC} or {SAME}, not {self.padding!r}")
        if type(self.norm_eps) is not float or not 1e-9 <= self.norm_eps <= 0.1:
            raise ValueError(f"norm_eps must be a number from 1e-9 to 0.1, not {self.norm_eps!r}")
        for name, most in (
            ("stem_width", _MOST_WIDTH),
            ("head_width", _MOST_WIDTH),
            ("feature_width", _MOST_WIDTH),
            ("first_width", _MOST_WIDTH),
            ("classes", _MOST_CLASSES),
        ):
            value = getattr(self, name)
            if (name, value) not in (("feature_width", 0), ("first_width", None)):
                require_whole(name, value, most)
        multiplier = self.width_multiplier
        if type(multiplier) not in (int, float) or not _LEAST_MULTIPLIER <= multiplier <= 1 / _LEAST_MULTIPLIER:
            raise ValueError(
                f"width_multiplier must be a number from {_LEAST_MULTIPLIER} to {1 / _LEAST_MULTIPLIER:.0f}, not "
                f"{multiplier!r}"
            )
        # Other code takes the last choice for the largest one.
        for name, values, most in (
            ("kernels", self.kernels, 9),
            ("expansions", self.expansions, 9),
            ("resolution_choices", self.resolution_choices, 9999),
            *(("depths", stage.depths, 9) for stage in self.stages),
        ):
            if not isinstance(values, tuple):
                raise ValueError(f"{name} must be a list of whole numbers, not {values!r}")
            whole = all(type(value) is int and 0 < value <= most for value in values)
            if not values or not whole or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be ascending whole numbers from 1 to {most}, not {list(values)}")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise ValueError(f"kernels must be odd, not {list(self.kernels)}")
        if max(len(decision.choices) for decision in self.decisions) > _MOST_CHOICES:
            raise ValueError(f"a decision has more than {_MOST_CHOICES} choices, which codes cannot hold")
        if sum(len(d.choices) for d in self.decisions) * len(self.resolution_choices) > _MOST_PLACES:
            raise ValueError(f"tables of costs would have more than {_MOST_PLACES} entries")
        if (count := self._most_weights()) > _MOST_WEIGHTS:
            raise ValueError(
                f"the largest network would have {count / 1e6:.0f} million weights; {_MOST_WEIGHTS // 10**6} million "
                "are possible"
            )

    def _most_weights(self) -> int:
        """About the number of weights of the largest network."""
        head, feature = self.width(self.head_width), self.width(self.feature_width) if self.feature_width else 0
        total = head * feature + (feature or head) * self.classes + head * self.width(self.stages[-1].width)
        for block in self.blocks:
            middle = block.in_channels * max(self.expansions)
            gate = 2 * middle * (middle // 4) if block.se else 0
            total += middle * (block.in_channels + block.out_channels + max(self.kernels) ** 2) + gate
        return total

    def width(self, base: int) -> int:
        """Applies the width multiplier to a width of the definition and rounds the result."""
        return make_divisible(base * self.width_multiplier)

    @property
    def same(self) -> bool:
        """Whether zeros follow TensorFlow's rule."""
        return self.padding == SAME

    @property
    def trunk(self) -> int:
        """Number of channels after the fixed block."""
        return self.width(self.first_width or self.stem_width)

    @property
    def ends(self) -> int:
        """Number of inputs of the classifier."""
        return self.width(self.feature_width or self.head_width)

    @cached_property
    def _choices(self) -> tuple[BlockChoice, ...]:
        return tuple(BlockChoice(k, e) for k in self.kernels for e in self.expansions)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        """The decision on the resolution, then for each stage the decisions on its depth and its blocks."""
        result = [Decision("resolution", self.resolution_choices)]
        for s, stage in enumerate(self.stages, 1):
            depth = len(result)
            result.append(Decision(f"stage{s}.depth", stage.depths))
            for b in range(1, max(stage.depths) + 1):
                least = next(i for i, d in enumerate(stage.depths) if d >= b)
                result.append(Decision(f"stage{s}.block{b}", self._choices, (depth, least) if least else None))
        return tuple(result)

    def narrowed(self) -> Self:
        """Keeps the two largest depths of every stage, and the two largest expansions; see `NetworkSpace.narrowed`."""
        stages = tuple(replace(stage, depths=stage.depths[-2:]) for stage in self.stages)
        return replace(self, stages=stages, expansions=self.expansions[-2:])

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Every block position of the largest network, in order of execution."""
        result = []
        decision, channels = 1, self.trunk
        for s, stage in enumerate(self.stages):
            out = self.width(stage.width)
            for b in range(max(stage.depths)):
                decision += 1
                result.append(
                    BlockShape(s, b, decision, channels, out, stage.stride if b == 0 else 1, stage.activation, stage.se)
                )
                channels = out
            decision += 1
        return tuple(result)

    @cached_property
    def _depth_decisions(self) -> tuple[int, ...]:
        return tuple(i for i, d in enumerate(self.decisions) if d.name.endswith(".depth"))

    @cached_property
    def _by_decision(self) -> dict[int, BlockShape]:
        return {block.decision: block for block in self.blocks}

    def block_choice(self, choice: int) -> BlockChoice:
        """Returns the kernel and expansion that a choice index of a block decision stands for."""
        return self._choices[choice]

    def to_dict(self) -> dict[str, Any]:
        """Returns the definition as a dictionary that can be written as JSON, without values that are usual."""
        usual = {name for name, value in _LATER.items() if getattr(self, name) == value}
        return {"family": self.family, **{k: v for k, v in asdict(self).items() if k not in usual}}

    def settings(self, architecture: Architecture) -> Settings:
        """Translates an architecture into the terms of the family."""
        return self._settings(architecture.code)

    def _settings(self, code: Sequence[int]) -> Settings:
        chosen = [self._choices[code[block.decision]] for block in self.blocks if code[block.decision] >= 0]
        depths = tuple(stage.depths[code[i]] for stage, i in zip(self.stages, self._depth_decisions, strict=True))
        return Settings(
            self.resolutions[code[0]], depths, tuple(c.kernel for c in chosen), tuple(c.expansion for c in chosen)
        )
