"""Swaps two folders in one step of the file system, where it has such a step."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# From the headers linux/fs.h, fcntl.h and sys/stdio.h.
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def swap(first: Path, second: Path) -> bool:
    """Gives each of two folders the name of the other; returns whether this system and file system can do that.

    Where they cannot, or where they refuse, both folders are as they were.
    """
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "linux":
            # The C library of the program; musl has no such function before version 1.2.4.
            return bool(ctypes.CDLL(None).renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE) == 0)
        if sys.platform == "darwin":
            return bool(ctypes.CDLL(None).renamex_np(one, other, _RENAME_SWAP) == 0)
    except (AttributeError, OSError):
        pass
    return False
