"""Names of devices, and patterns that mean several of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

ALL = "all"
_WILD = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Whether a name means several devices: ``all``, or a pattern such as ``pixel*``."""
    return name == ALL or bool(_WILD.intersection(name))


def means(pattern: str, names: Iterable[str]) -> bool:
    """Whether a name or pattern means a device that has these names."""
    return any(fnmatch.fnmatchcase(name, "*" if pattern == ALL else pattern) for name in names)
