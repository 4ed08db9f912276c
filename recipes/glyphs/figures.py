"""Which subnets are measured, and the table they are kept in."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nagsdk.architecture import Architecture
from nagsdk.space.base import Codes
from nagsdk.space.mobilenet_v3 import MobileNetV3Space
from nagsdk.supernet.train import extremes


def spread(space: MobileNetV3Space, count: int, seed: int) -> list[Architecture]:
    """Different architectures all over the space, in a random order: two fifths uniform, the rest between there and either extreme.

    The extremes themselves are among them at every resolution.
    """
    rng = np.random.default_rng(seed)
    ends = np.repeat(extremes(space), len(space.resolutions), axis=0)
    ends[:, 0] = np.tile(np.arange(len(space.resolutions)), 2)
    strays = np.repeat(ends, 2 * count // len(ends), axis=0)
    rate = rng.uniform(0.1, 0.7, len(strays))
    near = np.vstack([space.mutate(code[None], rng, r) for code, r in zip(strays, rate, strict=True)])
    near[:, 0] = strays[:, 0]
    uniform = space.sample(count, rng)
    inner = _distinct(space, np.vstack([near[rng.permutation(len(near))[: count * 3 // 5]], uniform]), ends)
    return [inner[i] for i in rng.permutation(count - len(ends))] + space.decode(ends)


def _distinct(space: MobileNetV3Space, codes: Codes, without: Codes) -> list[Architecture]:
    known = set(space.decode(without))
    return [a for a in dict.fromkeys(space.decode(codes)) if a not in known]


def write_table(path: Path, space: MobileNetV3Space, architectures: list[Architecture], top1: NDArray[np.float64]) -> None:
    """CSV with the columns ks, e (one digit per block position, 0 where inactive), d, r, top1."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("ks", "e", "d", "r", "top1"))
        for architecture, value in zip(architectures, top1, strict=True):
            chosen = [space.block_choice(c) if (c := architecture.code[b.decision]) >= 0 else (0, 0) for b in space.blocks]
            kernels, expansions = ("".join(map(str, column)) for column in zip(*chosen, strict=True))
            depths = "".join(map(str, space.settings(architecture).depths))
            writer.writerow((kernels, expansions, depths, architecture.resolution, f"{value:.3f}"))
    temporary.replace(path)


def read_table(path: Path, space: MobileNetV3Space) -> tuple[list[Architecture], NDArray[np.float64]]:
    """Reads what `write_table` wrote."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    architectures = [
        space.architecture(
            kernels=[int(v) for v in row["ks"]],
            expansions=[int(v) for v in row["e"]],
            depths=[int(v) for v in row["d"]],
            resolution=int(row["r"]),
        )
        for row in rows
    ]
    return architectures, np.array([float(row["top1"]) for row in rows])
