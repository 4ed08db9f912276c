"""Wording of texts for the user."""

from __future__ import annotations

import re
import shlex
import sys


def counted(count: int, one: str, several: str | None = None) -> str:
    """A count with its noun: ``1 image``, ``2 images``.

    Args:
        count: The number.
        one: The noun in the singular.
        several: The noun in the plural; `one` with an s if None.
    """
    return f"{count} {one if count == 1 else several or one + 's'}"


def command(*words: str) -> str:
    """A command that can be pasted into a shell of this system.

    Args:
        words: The program and its arguments.
    """
    if sys.platform != "win32":
        return shlex.join(words)
    # Both cmd.exe and PowerShell understand double quotes; cmd.exe does not understand the single ones of shlex.
    return " ".join(word if re.fullmatch(r"[\w.:/\\=+@-]+", word) else f'"{word}"' for word in words)
