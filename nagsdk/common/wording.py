"""Words for people."""

from __future__ import annotations

import re
import shlex
import sys


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number of things: ``1 image``, ``2 images``.

    Args:
        count: How many.
        one: The word, or words, for one.
        several: For any other number; `one` with an s where None.
    """
    return f"{count} {one if count == 1 else several or one + 's'}"


def command(*words: str) -> str:
    """A command that can be pasted into a shell of this system.

    Args:
        words: The program and its arguments.
    """
    if sys.platform != "win32":
        return shlex.join(words)
    # Double quotes serve both cmd.exe and PowerShell; single ones, which shlex would set, mean nothing to cmd.exe.
    return " ".join(word if re.fullmatch(r"[\w.:/\\=+@-]+", word) else f'"{word}"' for word in words)
