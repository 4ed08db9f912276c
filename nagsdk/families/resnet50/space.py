"""Once-for-All's ResNet50D space: widths of stages, depths, and the expansion of every bottleneck are decisions.

The sizes are those of the authors' code (mit-han-lab/once-for-all, `OFAResNets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nagsdk.families.traced.space import TracedSpace

if TYPE_CHECKING:
    from torch import nn

    from nagsdk.families.traced.sliced import SlicedSupernet

_MOST = 8192


@dataclass(frozen=True)
class ResNet50Space(TracedSpace):
    """Elastic ResNet50D.

    The decisions are the resolution, the width of the first layers and of their output, whether they have one layer
    more, and for every stage its width, its additional blocks, and the expansion of each block.

    Attributes:
        classes: Number of outputs of the classifier.
        pixels: Legal input sizes in pixels, ascending.
        stem_width: Largest number of channels of the first layers.
        stage_widths: Largest number of channels of every stage.
        stage_depths: Smallest number of blocks of every stage.
        additional_blocks: Legal numbers of additional blocks, ascending.
        expansions: Legal ratios of a block's inner channels to its output channels, ascending.
        multipliers: Legal ratios to the largest widths, ascending.
    """

    classes: int = 1000
    pixels: tuple[int, ...] = (128, 144, 160, 176, 192, 224, 240, 256)
    stem_width: int = 64
    stage_widths: tuple[int, ...] = (256, 512, 1024, 2048)
    stage_depths: tuple[int, ...] = (2, 2, 4, 2)
    additional_blocks: tuple[int, ...] = (0, 1, 2)
    expansions: tuple[float, ...] = (0.2, 0.25, 0.35)
    multipliers: tuple[float, ...] = (0.65, 0.8, 1.0)

    family = "resnet50"

    def __post_init__(self) -> None:
        for name in ("pixels", "stage_widths", "stage_depths", "additional_blocks", "expansions", "multipliers"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values or len(values) > 32:
                raise ValueError(f"{name} must be a list of numbers, not {values!r}")
            if not name.startswith("stage") and list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be ascending, not {list(values)}")
        whole = (*self.pixels, self.stem_width, *self.stage_widths, *self.stage_depths, self.classes)
        if any(type(value) is not int or not 1 <= value <= 100_000 for value in whole):
            raise ValueError("resolutions, widths, depths and classes must be whole numbers from 1 to 100,000")
        if (
            len(self.stage_widths) != len(self.stage_depths)
            or max(self.stage_widths) > _MOST
            or self.stem_width > _MOST
        ):
            raise ValueError(f"every stage needs a width of at most {_MOST} and a depth")
        if any(type(value) is not int or not 0 <= value <= 9 for value in self.additional_blocks):
            raise ValueError("additional_blocks must be whole numbers from 0 to 9")
        if any(
            type(value) not in (int, float) or not 0.05 <= value <= 1 for value in (*self.expansions, *self.multipliers)
        ):
            raise ValueError("expansions and multipliers must be numbers from 0.05 to 1")

    @property
    def choices(self) -> Mapping[str, Sequence[Any]]:
        """The legal values of every decision; see `TracedSpace.choices`."""
        found: dict[str, Sequence[Any]] = {
            "resolution": self.pixels,
            "stem.width": self.multipliers,
            "stem.more": (0, 1),
            "stem.out": self.multipliers,
        }
        for s, depth in enumerate(self.stage_depths, 1):
            found |= {f"stage{s}.width": self.multipliers, f"stage{s}.more": self.additional_blocks}
            blocks = range(1, depth + max(self.additional_blocks) + 1)
            found |= {f"stage{s}.block{b}": self.expansions for b in blocks}
        return found

    @property
    def conditions(self) -> Mapping[str, tuple[str, Any]]:
        """Additional blocks are there where `more` says so."""
        found = {}
        for s, depth in enumerate(self.stage_depths, 1):
            for b in range(depth + min(self.additional_blocks) + 1, depth + max(self.additional_blocks) + 1):
                least = min(more for more in self.additional_blocks if depth + more >= b)
                found[f"stage{s}.block{b}"] = (f"stage{s}.more", least)
        return found

    def network(self, values: Mapping[str, Any]) -> nn.Module:
        """Builds a network; see `TracedSpace.network`."""
        from nagsdk.families.resnet50.network import ResNet50D

        return ResNet50D(self.classes, self.stem_width, self.stage_widths, self.stage_depths, values)

    def import_released(self, path: Path, *, any_classes: bool = False) -> SlicedSupernet:
        """Reads a checkpoint that Once-for-All released; see `NetworkSpace.import_released`."""
        from nagsdk.families.resnet50.checkpoint import import_ofa

        return import_ofa(self, path, any_classes=any_classes)


def ofa_resnet50() -> ResNet50Space:
    """The ImageNet space of Once-for-All: 128 to 256 px, 0.9 to 6.6 GMACs."""
    return ResNet50Space()
