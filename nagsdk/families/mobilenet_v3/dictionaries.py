"""Architectures as the dictionaries of Once-for-All and DyNAS-T: ``{'ks': […], 'e': […], 'd': […], 'r': [224]}``."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.reading import TEXT, opened
from nagsdk.errors import ArchitectureError
from nagsdk.families.mobilenet_v3 import net_config
from nagsdk.families.mobilenet_v3.definition import MobileNetV3Definition
from nagsdk.space.table import Column, read_csv

MOST_TEXT = 100_000
# Python literals need some hundred times their size while they are read.
_MOST_LITERAL, _MOST_FILE = 10**6, 16 * 10**6
_SHOWN = 80
_FORM = "Give {'ks': […], 'e': […], 'd': […], 'r': 224}, as JSON or as Python writes it."


@dataclass(frozen=True)
class Choices:
    """What a dictionary chooses, as `MobileNetV3Space.architecture` takes it."""

    kernels: Sequence[int]
    expansions: Sequence[int]
    depths: Sequence[int]
    resolution: int


def is_dictionary(text: str) -> bool:
    """Whether a text is meant as a dictionary."""
    return text.lstrip().startswith("{")


def choices_of(text: str, space: MobileNetV3Definition) -> Choices:
    """Reads one dictionary.

    Args:
        text: JSON, or a Python literal; nothing in it is run.
        space: Space of the architecture.

    Raises:
        ArchitectureError: It is no such dictionary.
    """
    if len(text) > MOST_TEXT:
        raise ArchitectureError(f"The dictionary is longer than {MOST_TEXT} characters.", _FORM)
    return _choices(_literal(text), space)


def read_file(path: Path, space: MobileNetV3Definition) -> tuple[list[Choices], dict[str, Column]] | None:
    """Reads a file with one dictionary, a list of them, or one in each line.

    Args:
        path: The file.
        space: Space of the architectures.

    Returns:
        The choices, and further keys that all dictionaries have, such as ``top1``, as columns; None if the file holds
        no dictionaries.

    Raises:
        ArchitectureError: A dictionary is invalid; the message says which.
    """
    try:
        with TextIOWrapper(opened(path), encoding=TEXT) as file:
            head = file.read(4096).lstrip()
            if not head.startswith(("{", "[")):
                return None
            text = head + file.read(_MOST_FILE)
    except (OSError, UnicodeDecodeError):
        return None  # told by the reader of CSV files
    if len(text) > _MOST_FILE:
        raise ArchitectureError(f"{path} is larger than {_MOST_FILE // 10**6} MB.", "Split the file into smaller ones.")
    try:
        content = _at(str(path), _literal, text)
    except ArchitectureError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        content = [_at(f"{path}, dictionary {number}", _literal, line) for number, line in enumerate(lines, 1)]
    listed = content if isinstance(content, list) else [content]
    found = [_at(f"{path}, dictionary {number}", _choices, entry, space) for number, entry in enumerate(listed, 1)]
    common = set.intersection(*(set(entry) for entry in listed)) if listed else set()
    names = sorted(name for name in common if all(isinstance(entry[name], (int, float, str)) for entry in listed))
    further = [name for name in names if name not in ("ks", "e", "d", "r", "wid")]
    return found, {name: np.array([str(entry[name]) for entry in listed], dtype=object) for name in further}


def read_column(path: Path, space: MobileNetV3Definition) -> tuple[list[Choices], dict[str, Column]] | None:
    """Reads a CSV file one of whose columns holds dictionaries, as DyNAS-T writes it; None if there is no such column.

    Raises:
        ArchitectureError: A dictionary is invalid; the message names the line.
    """
    try:
        lines, table = read_csv(path, ())
    except ArchitectureError:
        return None  # told by the reader of the usual columns
    column = next((name for name, cells in table.items() if len(cells) and is_dictionary(str(cells[0]))), None)
    if column is None:
        return None
    cells = zip(lines, table.pop(column), strict=True)
    return [_at(f"{path}, line {line}", choices_of, str(cell), space) for line, cell in cells], table


def _at(place: str, read: Any, *given: Any) -> Any:
    try:
        return read(*given)
    except ArchitectureError as error:
        raise ArchitectureError(f"{place}: {error.message}", error.next_step) from error


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        if len(text) > _MOST_LITERAL:
            raise ValueError("it is too large")
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ArchitectureError(f"{text.strip()[:_SHOWN]!r} is neither JSON nor a Python literal.", _FORM) from error


def _choices(content: Any, space: MobileNetV3Definition) -> Choices:
    if not isinstance(content, Mapping):
        raise ArchitectureError(f"{str(content)[:_SHOWN]!r} is not a dictionary of an architecture.", _FORM)
    if "ks" not in content:
        inner = [value for value in content.values() if isinstance(value, Mapping) and "ks" in value]
        if len(inner) == 1:  # such as {"arch": {…}, "top1": 76.2}
            return _choices(inner[0], space)
    if "blocks" in content or "first_conv" in content:
        raise net_config.refused(content, space)
    if missing := [name for name in ("ks", "e", "d", "r") if name not in content]:
        raise ArchitectureError(f"The dictionary is missing {', '.join(missing)}.", _FORM)
    if content.get("wid") not in (None, 1, space.width_multiplier, [None]):
        raise ArchitectureError(f"The width {content['wid']!r} is not in this space.", "Leave wid out, or use null.")
    kernels, expansions = (_numbers(content, name, len(space.blocks)) for name in ("ks", "e"))
    resolutions = _numbers(content, "r", 1)
    if len(resolutions) != 1:
        raise ArchitectureError(f"r has {len(resolutions)} values.", "Give one resolution, such as 224 or [224].")
    return Choices(kernels, expansions, _numbers(content, "d", len(space.stages)), resolutions[0])


def _numbers(content: Mapping[str, Any], name: str, count: int) -> list[int]:
    """A list of whole numbers; one number alone is meant for all places."""
    given = content[name]
    values = list(given) if isinstance(given, (list, tuple)) else [given] * count
    whole = [int(v) for v in values if type(v) in (int, float) and abs(v) < 10**6 and v == int(v)]
    if len(whole) != len(values) or not values:
        raise ArchitectureError(f"{name} is {str(given)[:_SHOWN]}, which is no list of whole numbers.", _FORM)
    return whole
