"""Once-for-All's MobileNetV3 and ProxylessNAS spaces: text forms, layers and networks for a `MobileNetV3Definition`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3 import dictionaries, shrinking
from nagsdk.families.mobilenet_v3.definition import BlockChoice, BlockShape, MobileNetV3Definition, Stage, halved
from nagsdk.families.mobilenet_v3.table import COLUMNS, read_architectures, write_architectures
from nagsdk.families.space import require_fields
from nagsdk.families.widths import make_divisible
from nagsdk.space.architecture import MOST_TEXT, Architecture
from nagsdk.space.decisions import Decision
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Codes, ShrinkingStage, _values
from nagsdk.space.table import Column

if TYPE_CHECKING:
    from nagsdk.families.mobilenet_v3.subnet import MobileNetV3Subnet
    from nagsdk.families.mobilenet_v3.supernet import MobileNetV3Supernet

_TEXT = re.compile(r"mbv3:r(\d{1,5}):d=(\d[\d,]*):ks=(\d[\d,]*):e=(\d[\d,]*)")


@dataclass(frozen=True)
class MobileNetV3Space(MobileNetV3Definition):
    """Elastic MobileNetV3; see `MobileNetV3Definition` for its attributes."""

    table_columns: ClassVar[tuple[str, ...]] = COLUMNS

    @classmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """Rebuilds a space from the result of `to_dict`; lists are accepted in place of tuples."""
        require_fields(cls, definition)
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in definition.items() if k != "family"
        }
        if not isinstance(definition["stages"], (list, tuple)):
            raise ValueError("stages must be a list")
        values["stages"] = tuple(_stage(stage) for stage in definition["stages"])
        return cls(**values)

    def architecture(
        self, *, kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int], resolution: int
    ) -> Architecture:
        """Validates an architecture given in the terms of the family.

        Args:
            kernels: Kernel sizes, one per active block or one per block position (then inactive ones are ignored).
            expansions: Expansion ratios, counted like `kernels`.
            depths: Number of blocks of each stage.
            resolution: Input size in pixels.

        Raises:
            ArchitectureError: The space has no such architecture; the message names the legal values.
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
                    f"Give {len(active)} (one per active block at depths {_values(depths)}) or {len(self.blocks)} (one "
                    f"per position). Legal values: {_values(legal)}.",
                )
        for number, block in enumerate(active):
            kernel, expansion = (
                v[number] if len(v) == len(active) else v[self.blocks.index(block)] for v in (kernels, expansions)
            )
            where = self.decisions[block.decision].name
            if kernel not in self.kernels:
                raise ArchitectureError(
                    f"Kernel {kernel} of {where} is not in this space.", f"Legal kernels: {_values(self.kernels)}."
                )
            if expansion not in self.expansions:
                raise ArchitectureError(
                    f"Expansion {expansion} of {where} is not in this space.",
                    f"Legal expansions: {_values(self.expansions)}.",
                )
            code[block.decision] = self._choices.index(BlockChoice(kernel, expansion))
        return Architecture(self._text(code), tuple(code), resolution)

    def parse(self, text: str) -> Architecture:
        """Reads the text form ``mbv3:r224:d=…:ks=…:e=…``, or a dictionary; see `SearchSpace.parse`."""
        if dictionaries.is_dictionary(text):
            return self._chosen(dictionaries.choices_of(text, self))
        match = _TEXT.fullmatch(text.strip()) if len(text) <= MOST_TEXT else None
        if match is None:
            raise ArchitectureError(
                f"{text[:120]!r} is not an architecture of this space.",
                f"The form is mbv3:r224:d=2,…:ks=3,…:e=4,…; resolutions {_values(self.resolutions)}; depths "
                f"{'; '.join(_values(s.depths) for s in self.stages)}; kernels {_values(self.kernels)}; "
                f"expansions {_values(self.expansions)}.",
            )
        depths, kernels, expansions = ([int(v) for v in part.split(",") if v] for part in match.groups()[1:])
        return self.architecture(resolution=int(match[1]), depths=depths, kernels=kernels, expansions=expansions)

    def _chosen(self, given: dictionaries.Choices) -> Architecture:
        return self.architecture(**vars(given))

    def _text(self, code: Sequence[int]) -> str:
        s = self._settings(code)
        lists = (",".join(map(str, values)) for values in (s.depths, s.kernels, s.expansions))
        return "mbv3:r{}:d={}:ks={}:e={}".format(s.resolution, *lists)

    def panels(self, architecture: Architecture) -> Mapping[str, Mapping[str, float]]:
        """Number of blocks of every stage, with the means of their kernels and expansions."""
        s = self.settings(architecture)
        ends = np.cumsum(s.depths)
        parts = [slice(end - depth, end) for end, depth in zip(ends, s.depths, strict=True)]
        values: dict[str, Iterable[float]] = {
            "blocks": s.depths,
            "mean kernel": [float(np.mean(s.kernels[part])) for part in parts],
            "mean expansion": [float(np.mean(s.expansions[part])) for part in parts],
        }
        return {
            title: {f"stage {number}": float(v) for number, v in enumerate(row, 1)} for title, row in values.items()
        }

    def _block_size(self, resolution: int, block: BlockShape) -> int:
        size = halved(resolution, 2)
        for stage in self.stages[: block.stage]:
            size = halved(size, stage.stride)
        return size if block.position == 0 else halved(size, self.stages[block.stage].stride)

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        """Stem, first block, final expansion, pooling, feature layer and classifier."""
        return self._stem(resolution) + self._head(resolution)

    def _stem(self, resolution: int) -> tuple[LayerSpec, ...]:
        width, size, activation = self.width(self.stem_width), halved(resolution, 2), self.first_activation
        added = (LayerSpec("first.add", "add", width, width, 1, 1, size),) if self.trunk == width else ()
        return (
            LayerSpec("stem", "conv", 3, width, 3, 2, resolution, self.activation, batch_norm=True),
            LayerSpec("first.depthwise", "depthwise", width, width, 3, 1, size, activation, batch_norm=True),
            LayerSpec("first.project", "pointwise", width, self.trunk, 1, 1, size, batch_norm=True),
            *added,
        )

    def _head(self, resolution: int) -> tuple[LayerSpec, ...]:
        size = halved(
            self._block_size(resolution, self.blocks[-1]), 1 if self.blocks[-1].position else self.stages[-1].stride
        )
        channels, head, features = self.blocks[-1].out_channels, self.width(self.head_width), self.ends
        mixed = (LayerSpec("head.features", "pointwise", head, features, 1, 1, 1, self.activation),)
        return (
            LayerSpec("head.expand", "pointwise", channels, head, 1, 1, size, self.activation, batch_norm=True),
            LayerSpec("head.pool", "pool", head, head, 1, 1, size),
            *(mixed if self.feature_width else ()),
            LayerSpec("head.classifier", "linear", features, self.classes, 1, 1, 1, bias=True),
        )

    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        """Layers of one block; choices of depth and resolution add no layers of their own."""
        block = self._by_decision.get(decision)
        if block is None:
            return ()
        # Resolutions that come to the same size here share their layers.
        key = decision, choice, self._block_size(resolution, block)
        if key not in self._layers_by_size:
            self._layers_by_size[key] = self._block_layers(block, choice, key[-1])
        return self._layers_by_size[key]

    @cached_property
    def _layers_by_size(self) -> dict[tuple[int, int, int], tuple[LayerSpec, ...]]:
        return {}

    def _block_layers(self, block: BlockShape, choice: int, size: int) -> tuple[LayerSpec, ...]:
        kernel, expansion = self._choices[choice]
        name, middle = self.decisions[block.decision].name, make_divisible(block.in_channels * expansion)
        out = halved(size, block.stride)
        layers = [
            LayerSpec(
                f"{name}.expand", "pointwise", block.in_channels, middle, 1, 1, size, block.activation, batch_norm=True
            ),
            LayerSpec(
                f"{name}.depthwise",
                "depthwise",
                middle,
                middle,
                kernel,
                block.stride,
                size,
                block.activation,
                batch_norm=True,
            ),
        ]
        if block.se:
            layers.append(
                LayerSpec(f"{name}.se", "se", middle, middle, 1, 1, out, se_channels=make_divisible(middle // 4))
            )
        layers.append(LayerSpec(f"{name}.project", "pointwise", middle, block.out_channels, 1, 1, out, batch_norm=True))
        if block.residual:
            layers.append(LayerSpec(f"{name}.add", "add", block.out_channels, block.out_channels, 1, 1, out))
        return tuple(layers)

    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        """All layers in the order of execution."""
        resolution = architecture.resolution
        body = [
            layer for i, c in enumerate(architecture.code) if c >= 0 for layer in self.choice_layers(resolution, i, c)
        ]
        return (*self._stem(resolution), *body, *self._head(resolution))

    def build(self, architecture: Architecture) -> MobileNetV3Subnet:
        """See `NetworkSpace.build`."""
        from nagsdk.families.mobilenet_v3.subnet import MobileNetV3Subnet

        return MobileNetV3Subnet(self, architecture)

    def supernet(self) -> MobileNetV3Supernet:
        """See `NetworkSpace.supernet`."""
        from nagsdk.families.mobilenet_v3.supernet import MobileNetV3Supernet

        return MobileNetV3Supernet(self)

    def import_released(self, path: Path, *, any_classes: bool = False) -> MobileNetV3Supernet:
        """Reads a checkpoint that Once-for-All released; see `NetworkSpace.import_released`."""
        from nagsdk.families.mobilenet_v3.checkpoint import import_ofa

        return import_ofa(self, path, any_classes=any_classes)

    def import_start(self, path: Path) -> MobileNetV3Supernet:
        """See `NetworkSpace.import_start`; MobileNetV2, MobileNetV3 and EfficientNet-Lite are understood."""
        from nagsdk.families.mobilenet_v3.checkpoint import import_start

        return import_start(self, path)

    def read_table(self, path: Path) -> tuple[Codes, dict[str, Column]]:
        """Reads the columns of the published Once-for-All measurements, or dictionaries in JSON or in a column."""
        found = dictionaries.read_file(path, self)
        if found is None:
            try:
                return read_architectures(path, self)
            except ArchitectureError:
                found = dictionaries.read_column(path, self)
                if found is None:
                    raise
        given, columns = found
        architectures = []
        for number, choices in enumerate(given, 1):
            try:
                architectures.append(self._chosen(choices))
            except ArchitectureError as error:
                raise ArchitectureError(f"{path}, architecture {number}: {error.message}", error.next_step) from error
        return self.encode(architectures), columns

    def write_table(self, path: Path, architectures: Sequence[Architecture], **columns: Sequence[object]) -> None:
        """Writes a CSV file that `read_table` can read."""
        write_architectures(path, self, architectures, **columns)

    def shrinking(self) -> tuple[ShrinkingStage, ...]:
        """Stages in Once-for-All's order: smaller kernels join first, then smaller depths, then smaller expansions."""
        return shrinking.stages(self)

    def draw(self, opened: Mapping[str, int], count: int, rng: np.random.Generator) -> Codes:
        """Draws architectures with open kernels, depths and expansions only; see `SearchSpace.draw`."""
        return shrinking.draw(self, opened, count, rng)


def _stage(definition: Mapping[str, Any]) -> Stage:
    if not isinstance(definition, Mapping):
        raise ValueError(f"a stage must have names and values, not {definition!r}")
    require_fields(Stage, definition)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in definition.items()}
    return Stage(**values)


def _choice(decision: Decision, value: int) -> int:
    if value not in decision.choices:
        raise ArchitectureError(
            f"{value} is not a choice of {decision.name}.", f"Legal values: {_values(decision.choices)}."
        )
    return decision.choices.index(value)
