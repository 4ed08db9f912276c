"""Reads architectures that users give as text forms, objects, or rows of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.errors import ArchitectureError, UsageError
from nagsdk.space.architecture import Architecture


def read(
    bundle: Bundle, architectures: str | Architecture | Sequence[str | Architecture], table: str | Path | None
) -> list[Architecture]:
    """Reads architectures from text forms, objects and the rows of a CSV file, in that order.

    Args:
        bundle: The bundle to whose space they belong.
        architectures: One or several text forms or objects.
        table: A CSV file, if any.

    Raises:
        UsageError: There are none.
        ArchitectureError: One is not in the space.
    """
    architectures = [architectures] if isinstance(architectures, (str, Architecture)) else architectures
    for one in architectures:
        if not isinstance(one, (str, Architecture)):
            raise ArchitectureError(f"{one!r} is not an architecture.", "Give its text form or an Architecture.")
    # An object may come from another space.
    given = [bundle.space.parse(a if isinstance(a, str) else a.text) for a in architectures]
    if table is not None:
        given += bundle.space.decode(bundle.space.read_table(Path(table))[0])
    if not given:
        raise UsageError(
            "No architectures were given.",
            f"Give text forms, or a CSV file with the columns {', '.join(bundle.space.table_columns)}.",
        )
    return given
