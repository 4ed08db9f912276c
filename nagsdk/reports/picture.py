"""Picture files."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.files import check_file, write_atomically
from nagsdk.common.pip import pip
from nagsdk.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")


def check(file: str | Path | None) -> None:
    """Raises an error before long work starts if the picture cannot be drawn.

    Args:
        file: File of the picture; None if none is wanted.

    Raises:
        UsageError: The suffix is unknown, or matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    if file is None:
        return
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise UsageError(
            f"The name {path} does not end in a format for pictures.", f"End it with one of {', '.join(SUFFIXES)}."
        )
    if find_spec("matplotlib") is None:
        raise UsageError(
            "Pictures need matplotlib, which is not installed.", f"Install it: {pip('install', 'nagsdk[report]')}"
        )
    check_file(path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure completely or not at all, in the format of the suffix.

    Raises:
        OutputError: The file cannot be written.
    """
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=120)
    write_atomically(path, content.getvalue())
