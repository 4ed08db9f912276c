"""Architectures as users give them: text forms, objects, or the rows of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.errors import UsageError
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.space.architecture import Architecture


def read(bundle: Bundle, architectures: str | Architecture | Sequence[str | Architecture], table: str | Path | None) -> list[Architecture]:
    """Architectures from text forms, objects and the rows of a CSV file, in that order."""
    architectures = [architectures] if isinstance(architectures, (str, Architecture)) else architectures
    given = [bundle.space.parse(a) if isinstance(a, str) else a for a in architectures]
    if table is not None:
        given += bundle.space.decode(read_architectures(Path(table), bundle.space)[0])
    if not given:
        raise UsageError("No architectures were given.", "Give text forms, or a CSV file with the columns ks, e, d, r.")
    return given
