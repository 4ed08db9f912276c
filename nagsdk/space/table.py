"""Tables of architectures: CSV files with one architecture per line and any additional columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.content import kind_of
from nagsdk.common.files import write_atomically
from nagsdk.common.reading import read_text
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import ArchitectureError
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace, _values

Column = NDArray[np.object_]
TEXT_COLUMN = "architecture"
_MOST_BYTES, _MOST_FIELDS = 64 * 10**6, 5 * 10**6


def read_csv(path: Path, needed: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, Column]]:
    """Reads a CSV file with a header line, UTF-8, at most 64 MB; blank lines are skipped.

    Args:
        path: Path of the file.
        needed: Names of the columns that the file must have.

    Returns:
        The line number of every row, shape (n,), and the columns by name as arrays of str, shape (n,).

    Raises:
        ArchitectureError: The file cannot be read as such a table; the message names the line.
    """
    advice = f"Give a CSV file in UTF-8 with the columns {_values(needed)}." if needed else "Give a CSV file in UTF-8."
    try:
        if kind := kind_of(path):
            raise ArchitectureError(f"{path} is {kind}, and no table of architectures.", advice)
        reader = csv.reader(io.StringIO(read_text(path, _MOST_BYTES), newline=""), strict=True)
        header = [name.strip() for name in next(reader, [])]
        rows, fields = [], 0
        for row in filter(None, reader):
            fields += len(row)
            if fields > _MOST_FIELDS:
                raise ValueError(f"it has more than {_MOST_FIELDS} fields")
            rows.append((reader.line_num, row))
    except (OSError, ValueError, csv.Error) as error:
        raise ArchitectureError(
            f"{path} cannot be read as a table: {what_is_wrong(error)}.",
            f"{advice} Split one that is too large.",
        ) from error
    missing = [name for name in needed if header.count(name) != 1]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if missing and len(header) == 1 and separator in header[0]:
            raise ArchitectureError(f"{path} separates its columns by {name}.", "Separate them by commas.")
    if missing or len(set(header)) != len(header):
        raise ArchitectureError(
            f"{path} does not have every column exactly once: {_values(missing or header)}.",
            f"Line 1 must name the columns {_values(needed)}.",
        )
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    uneven = np.array([len(row) for _, row in rows], dtype=np.int64) != len(header)
    if uneven.any():
        line = int(lines[uneven.argmax()])
        raise ArchitectureError(
            f"{path}, line {line}: the number of fields differs from that of the header.",
            f"Every line needs {len(header)} fields.",
        )
    columns = [np.array(column, dtype=object) for column in zip(*(row for _, row in rows), strict=True)]
    return lines, dict(zip(header, columns or [np.array([], dtype=object) for _ in header], strict=True))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file that `read_csv` can read, atomically."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, lines.getvalue().encode())


def read_texts(path: Path, space: SearchSpace) -> tuple[Codes, dict[str, Column]]:
    """Reads a table whose column `architecture` contains text forms.

    See `nagsdk.families.space.NetworkSpace.read_table`.
    """
    lines, table = read_csv(path, [TEXT_COLUMN])
    found = []
    for line, text in zip(lines, table.pop(TEXT_COLUMN), strict=True):
        try:
            found.append(space.parse(text))
        except ArchitectureError as error:
            raise ArchitectureError(f"{path}, line {line}: {error.message}", error.next_step) from error
    return space.encode(found), table


def write_texts(path: Path, architectures: Sequence[Architecture], **columns: Sequence[object]) -> None:
    """Writes a table that `read_texts` can read."""
    texts = [architecture.text for architecture in architectures]
    write_csv(path, (TEXT_COLUMN, *columns), zip(texts, *columns.values(), strict=True))
