"""Reads and writes architectures as CSV: columns ks, e, d (one digit per block position or stage) and r."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3.definition import BlockChoice, MobileNetV3Definition
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, _values
from nagsdk.space.table import read_csv, write_csv

COLUMNS = ("ks", "e", "d", "r")
_SHOWN = 60


def read_architectures(path: Path, space: MobileNetV3Definition) -> tuple[Codes, dict[str, NDArray[np.object_]]]:
    """Reads a table of architectures, in the encoding of the published Once-for-All measurements.

    Args:
        path: Path of a CSV file with a header line, UTF-8, at most 64 MB. `ks` and `e` hold one digit per block
            position of the space, `d` one per stage, `r` the resolution in pixels. Digits of positions beyond a stage's
            depth are ignored. Blank lines are skipped.
        space: Space of the architectures.

    Returns:
        Codes, int8, shape (n, decisions), and the other columns as arrays of str, shape (n,).

    Raises:
        ArchitectureError: The file cannot be read as such a table; the message names the line and the legal values.
    """
    lines, table = read_csv(path, COLUMNS)
    check = _Checker(path, lines, table)
    depths = check.digits("d", len(space.stages), "one digit per stage")
    kernels = check.digits("ks", len(space.blocks), "one digit per block position")
    expansions = check.digits("e", len(space.blocks), "one digit per block position")
    codes = np.full((len(lines), len(space.decisions)), -1, dtype=np.int8)
    codes[:, 0] = check.resolutions(space)
    depth_decisions = {d.name: i for i, d in enumerate(space.decisions) if d.name.endswith(".depth")}
    for index, stage, given in zip(depth_decisions.values(), space.stages, depths.T, strict=True):
        codes[:, index] = check.choices("d", given, stage.depths, space.decisions[index].name)
    blocks = {space.block_choice(c): c for c in range(len(space.kernels) * len(space.expansions))}
    joint = np.array([[blocks[BlockChoice(k, e)] for e in space.expansions] for k in space.kernels], dtype=np.int8)
    for position, block in enumerate(space.blocks):
        active = block.position < depths[:, block.stage]
        name = space.decisions[block.decision].name
        kernel = check.choices("ks", kernels[:, position], space.kernels, name, active)
        expansion = check.choices("e", expansions[:, position], space.expansions, name, active)
        codes[:, block.decision] = np.where(active, joint[kernel, expansion], -1)
    return codes, {name: column for name, column in table.items() if name not in COLUMNS}


class _Checker:
    """Turns columns into numbers and raises an error for the first invalid row of each."""

    def __init__(self, path: Path, lines: NDArray[np.int64], table: dict[str, NDArray[np.object_]]) -> None:
        self.path, self.lines, self.table = path, lines, table

    def refuse(self, bad: NDArray[np.bool_], column: str, complaint: Callable[[int], str], legal: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            given = str(self.table[column][row])
            shown = given if len(given) <= _SHOWN else given[:_SHOWN] + "…"
            raise ArchitectureError(
                f"{self.path}, line {self.lines[row]}, column {column} ({shown!r}): {complaint(row)}", legal
            )

    def digits(self, column: str, count: int, meaning: str) -> NDArray[np.int64]:
        given = self.table[column]
        if any(cell.lstrip().startswith(("[", "(")) for cell in given):  # lists, as Python writes them
            given = np.array([re.sub(r"[\[\](),\s]", "", cell) for cell in given], dtype=object)
        legal = f"{column} takes {count} digits, {meaning}."
        lengths = np.fromiter(map(len, given), dtype=np.int64, count=len(given))
        self.refuse(lengths != count, column, lambda row: f"has {lengths[row]} characters.", legal)
        digits = given.astype(f"U{count}").view(np.uint32).reshape(-1, count).astype(np.int64) - ord("0")
        invalid = np.not_equal(np.logical_or(digits < 0, digits > 9).sum(axis=1), 0)
        self.refuse(invalid, column, lambda _: "has characters other than digits.", legal)
        return digits

    def choices(
        self,
        column: str,
        given: NDArray[np.int64],
        legal: Sequence[int],
        decision: str,
        active: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.intp]:
        matches = given[:, None] == np.array(legal)
        unknown: NDArray[np.bool_] = np.logical_not(matches.any(axis=1))
        if active is not None:
            unknown &= active
        self.refuse(
            unknown,
            column,
            lambda row: f"{given[row]} is not a choice of {decision}.",
            f"Legal values: {_values(legal)}.",
        )
        first: NDArray[np.intp] = matches.argmax(axis=1)
        return first

    def resolutions(self, space: MobileNetV3Definition) -> NDArray[np.int8]:
        index = {str(resolution): i for i, resolution in enumerate(space.resolutions)}
        found = np.fromiter(
            (index.get(text.strip(" []()"), -1) for text in self.table["r"]), dtype=np.int8, count=len(self.lines)
        )
        self.refuse(
            found < 0,
            "r",
            lambda _: "is not a resolution of this space.",
            f"Legal resolutions: {_values(space.resolutions)}.",
        )
        return found


def write_architectures(
    path: Path, space: MobileNetV3Definition, architectures: Sequence[Architecture], **columns: Sequence[object]
) -> None:
    """Writes a CSV file that `read_architectures` can read.

    Args:
        path: Path of the CSV file, which is replaced atomically.
        space: Space of the architectures.
        architectures: Architectures to write, one per row.
        **columns: Additional columns by name, with one value per row.
    """
    rows = []
    for architecture, *values in zip(architectures, *columns.values(), strict=True):
        chosen = [space.block_choice(c) if (c := architecture.code[b.decision]) >= 0 else (0, 0) for b in space.blocks]
        kernels, expansions = ("".join(map(str, column)) for column in zip(*chosen, strict=True))
        depths = "".join(map(str, space.settings(architecture).depths))
        rows.append((kernels, expansions, depths, architecture.resolution, *values))
    write_csv(path, (*COLUMNS, *columns), rows)
