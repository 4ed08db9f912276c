"""The public latency tables of HELP (Lee et al., NeurIPS 2021) as search spaces of nagsdk, their codes and latencies.

Devices of one family (the same GPU at several batch sizes, and more by vendor) are close relatives: a benchmark
that predicts one from another measures little.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Decision
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Codes, SearchSpace

Floats = np.ndarray[Any, np.dtype[np.float64]]
FBNET_STAGES = ((16, 1, 1), (24, 1, 4), (32, 2, 4), (64, 2, 4), (112, 1, 4), (184, 2, 4), (352, 1, 1))
# Kernel, expansion and groups of FBNet's blocks, in the order of the table's digits; the ninth is a skip.
FBNET_BLOCKS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1), None)
NB201_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NB201_STAGES = ((16, 32), (32, 16), (64, 8))
NONE, SKIP, CONV1, CONV3, POOL = range(5)


@dataclass(frozen=True)
class _Digits(SearchSpace):
    """A space with a single resolution, whose text form has one digit for each decision."""

    family = "digits"

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family}

    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        chosen = [
            layer
            for d, c in enumerate(architecture.code)
            for layer in self.choice_layers(architecture.resolution, d, c)
        ]
        return (*self.fixed_layers(architecture.resolution), *chosen)

    def _text(self, code: Sequence[int]) -> str:
        return "".join(map(str, code[1:]))

    def parse(self, text: str) -> Architecture:
        if not text.isdigit():
            raise ArchitectureError(f"{text!r} is not made of digits.", "Give one digit for each decision.")
        return self.decode(np.array([[0, *map(int, text)]], np.int8))[0]


@dataclass(frozen=True)
class FBNet(_Digits):
    """FBNet's space (Wu et al., CVPR 2019) at the 32 pixels of the table: 22 blocks of 9 choices."""

    family = "fbnet"

    @cached_property
    def _blocks(self) -> tuple[tuple[int, int, int, int], ...]:
        """Input channels, output channels, stride and input size of every block."""
        result, channels, size = [], 16, 32
        for out, stride, count in FBNET_STAGES:
            for step in [stride] + [1] * (count - 1):
                result.append((channels, out, step, size))
                channels, size = out, (size - 1) // step + 1
        return tuple(result)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        choices = tuple("skip" if block is None else "k{}e{}g{}".format(*block) for block in FBNET_BLOCKS)
        return (Decision("resolution", (32,)), *(Decision(f"block{i}", choices) for i in range(len(self._blocks))))

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        return (
            LayerSpec("stem", "conv", 3, 16, 3, 1, 32, "relu"),
            LayerSpec("head", "pointwise", 352, 1504, 1, 1, 4, "relu"),
            LayerSpec("pool", "pool", 1504, 1504, 1, 1, 4),
            LayerSpec("classifier", "linear", 1504, 100, 1, 1, 1),
        )

    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        if decision == 0:
            return ()
        into, out, stride, size = self._blocks[decision - 1]
        name, same = self.decisions[decision].name, stride == 1 and into == out
        block, after = FBNET_BLOCKS[choice], (size - 1) // stride + 1
        if block is None:
            return () if same else (LayerSpec(f"{name}.skip", "pointwise", into, out, 1, stride, size),)
        kernel, expansion, groups = block
        middle = into * expansion
        # A grouped 1x1 convolution has as many MACs as one that reads only the channels of one group.
        layers = [
            LayerSpec(f"{name}.expand", "pointwise", into // groups, middle, 1, 1, size, "relu"),
            LayerSpec(f"{name}.depthwise", "depthwise", middle, middle, kernel, stride, size, "relu"),
            LayerSpec(f"{name}.project", "pointwise", middle // groups, out, 1, 1, after),
        ]
        return (*layers, LayerSpec(f"{name}.add", "add", out, out, 1, 1, after)) if same else tuple(layers)


@dataclass(frozen=True)
class NASBench201(_Digits):
    """NAS-Bench-201 (Dong and Yang, ICLR 2020): six edges as used, six edges as written, and two derived facts.

    An edge that lies on no path from input to output is not used, but some runtimes run it nevertheless. The two facts
    are the length of the longest path of operations and the number of edges in use. The cost model treats them as
    decisions, because they carry the costs that edges cause together.
    """

    family = "nb201"

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        operations = ("none", "skip", "conv1x1", "conv3x3", "pool3x3")
        edges = tuple(Decision(f"{kind}{a}{b}", operations) for kind in ("used", "written") for a, b in NB201_EDGES)
        return (
            Decision("resolution", (32,)),
            *edges,
            Decision("longest path", tuple(range(4))),
            Decision("edges", tuple(range(7))),
        )

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        layers = [LayerSpec("stem", "conv", 3, 16, 3, 1, 32, "relu")]
        for into, out, size in ((16, 32, 32), (32, 64, 16)):
            layers += [
                LayerSpec(f"reduce{out}.a", "conv", into, out, 3, 2, size, "relu"),
                LayerSpec(f"reduce{out}.b", "conv", out, out, 3, 1, size // 2, "relu"),
                LayerSpec(f"reduce{out}.shortcut", "pointwise", into, out, 1, 1, size // 2),
            ]
        return (*layers, LayerSpec("classifier", "linear", 64, 10, 1, 1, 1))

    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        name = self.decisions[decision].name
        layers: list[LayerSpec] = []
        for channels, size in NB201_STAGES:
            if name.startswith("used") and choice in (CONV1, CONV3, POOL):
                kind, kernel = {CONV1: ("pointwise", 1), CONV3: ("conv", 3), POOL: ("pool", 3)}[choice]
                layers += [LayerSpec(name, kind, channels, channels, kernel, 1, size)] * 5
            if name == "edges":
                layers += [LayerSpec("add", "add", channels, channels, 1, 1, size)] * (5 * max(0, choice - 3))
        return tuple(layers)

    @staticmethod
    def codes(ops: Floats) -> Codes:
        """Codes of cells, each given by six operations.

        Args:
            ops: Operations of the edges, shape (n, 6).
        """
        ops = ops.astype(np.int8)
        reached = np.zeros((len(ops), 4), bool)
        reached[:, 0] = True
        for edge, (a, b) in sorted(enumerate(NB201_EDGES), key=lambda e: e[1][1]):
            reached[:, b] |= reached[:, a] & (ops[:, edge] != NONE)
        leads = np.zeros((len(ops), 4), bool)
        leads[:, 3] = True
        for edge, (a, b) in sorted(enumerate(NB201_EDGES), key=lambda e: -e[1][0]):
            leads[:, a] |= leads[:, b] & (ops[:, edge] != NONE)
        pruned = ops.copy()
        for edge, (a, b) in enumerate(NB201_EDGES):
            pruned[~(reached[:, a] & leads[:, b]), edge] = NONE
        longest = np.full((len(ops), 4), -9, np.int8)
        longest[:, 0] = 0
        for edge, (a, b) in sorted(enumerate(NB201_EDGES), key=lambda e: e[1][1]):
            step = longest[:, a] + (pruned[:, edge] > SKIP)
            longest[:, b] = np.where(pruned[:, edge] != NONE, np.maximum(longest[:, b], step), longest[:, b])
        facts = np.stack([np.maximum(longest[:, 3], 0), (pruned != NONE).sum(1)], axis=1)
        return np.concatenate([np.zeros((len(ops), 1)), pruned, ops, facts], axis=1).astype(np.int8)


@dataclass(frozen=True)
class LatencyTable:
    """Latencies of architectures on many devices.

    Attributes:
        space: Search space of the architectures.
        codes: Codes of the architectures, shape (n, decisions).
        ms: Latencies in milliseconds, shape (n, devices).
        devices: Names of the devices; some end with an underscore and the batch size.
        targets: Devices whose latencies the published comparison predicts.
        pool: Devices that a method may know in advance in the published comparison (without the target's family).
        known: Number of architectures whose latencies on the pool devices are known; they come first.
    """

    space: SearchSpace
    codes: Codes
    ms: Floats
    devices: tuple[str, ...]
    targets: tuple[str, ...]
    pool: tuple[str, ...]
    known: int

    def pool_of(self, target: str, vendors: bool = False) -> list[str]:
        """The pool without the target's family."""
        group = vendor if vendors else family
        return [name for name in self.pool if group(name) != group(target)]

    def foreign_pool(self, target: str) -> list[str]:
        """The devices of the pool that are of another kind than the target."""
        return [name for name in self.pool_of(target) if kind(name) != kind(target)]

    def of(self, device: str) -> Floats:
        """Latencies on one device, shape (n,)."""
        return self.ms[:, self.devices.index(device)]


def family(device: str) -> str:
    """Name of a device without its batch size."""
    name, _, batch = device.rpartition("_")
    return name if batch.isdigit() and name.split("_")[0] not in ("gold", "silver", "essential") else device


def vendor(device: str) -> str:
    """Name of a wider family: processors or phones of one maker; GPUs as in `family`."""
    for kind, parts in {"xeon": ("gold", "silver"), "samsung": ("samsung",), "pixel": ("pixel",)}.items():
        if device.startswith(parts):
            return kind
    return family(device)


def kind(device: str) -> str:
    """What a device is: processor, phone or board, accelerator; for GPUs also whether they run single images."""
    for name, parts in _KINDS.items():
        if device.startswith(parts):
            return name
    return "GPU, one image" if device.endswith("_1") else "GPU"


_KINDS = {
    "processor": ("gold", "silver"),
    "phone or board": ("pixel", "samsung", "essential", "raspi"),
    "accelerator": ("fpga", "eyeriss"),
}
_TARGETS = (
    "pixel2 pixel3 raspi4 fpga eyeriss samsung_a50 samsung_s7 essential_ph_1 gold_6226 gold_6240 silver_4114 "
    "titan_rtx_1 {} 2080ti_1"
)
_POOL = (
    "1080ti_1 1080ti_32 1080ti_{b} silver_4114 silver_4210r samsung_a50 pixel3 essential_ph_1 samsung_s7 titanx_1 "
    "titanx_32 titanx_{b} gold_6240"
)


def read_fbnet(folder: Path) -> LatencyTable:
    """Reads the table of FBNet on 27 devices."""
    header, rows = _rows(folder / "help_fbnet.csv")
    digits = np.array([list(row[1]) for row in rows]).astype(np.int8)
    codes = np.concatenate([np.zeros((len(rows), 1), np.int8), digits], axis=1)
    targets = tuple(_TARGETS.format("titan_rtx_64").split())
    return LatencyTable(
        FBNet(), codes, _latencies(rows, 2), header[2:], targets, tuple(_POOL.format(b=64).split()), 4000
    )


def read_nb201(folder: Path) -> LatencyTable:
    """Reads the table of NAS-Bench-201 on 27 devices, without cells in which no edge is used."""
    header, rows = _rows(folder / "help_nb201.csv")
    codes = NASBench201.codes(np.array([list(row[1]) for row in rows]).astype(np.float64))
    connected = codes[:, -1] > 0
    targets = tuple(_TARGETS.format("titan_rtx_256").split())
    pool = tuple(_POOL.format(b=256).split())
    return LatencyTable(NASBench201(), codes[connected], _latencies(rows, 2)[connected], header[2:], targets, pool, 900)


def read_ofa(folder: Path) -> LatencyTable:
    """Reads the table of the MobileNetV3 of Once-for-All on four GPUs at three batch sizes."""
    path = folder / "help_ofa_mbv3.csv"
    header, rows = _rows(path)
    space = replace(ofa_mobilenet_v3(), resolution_choices=tuple(sorted({int(row[4]) for row in rows})))
    codes, _ = read_architectures(path, space)
    devices = header[5:]
    return LatencyTable(space, codes, _latencies(rows, 5), devices, devices, devices, 4000)


def _rows(path: Path) -> tuple[tuple[str, ...], list[list[str]]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return tuple(header), rows


def _latencies(rows: list[list[str]], first: int) -> Floats:
    return np.maximum(np.array([row[first:] for row in rows]).astype(np.float64), 1e-3)
