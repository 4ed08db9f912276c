"""How the C library keeps memory between the steps of a training."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of parameters in glibc's malloc.h, and their defaults.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}
_KEPT = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


class _Blocks:
    """How many blocks keep memory at this moment, in all threads."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0

    def add(self, libc: ctypes.CDLL, number: int) -> None:
        with self.lock:
            self.count += number
            for parameter, value in (_KEPT if self.count else _DEFAULTS).items():
                libc.mallopt(parameter, value)
            if not self.count:
                give_back()


_blocks = _Blocks()


def give_back() -> None:
    """Returns freed memory to the system. C libraries without this function do so at once."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


@contextmanager
def memory_kept() -> Iterator[None]:
    """Lets freed memory be used again for the next tensors of the same size, in the whole process.

    Every step of a training, and every subnet that is measured, allocates and frees the same large tensors. By default,
    glibc returns each of them to the system at once, which clears the pages before it gives them out again: a third of
    the time of a step at 160 pixels (benchmarks/training_memory.py). Other C libraries are left as they are. Memory is
    given back at the end of the outermost block.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    _blocks.add(libc, 1)
    try:
        yield
    finally:
        _blocks.add(libc, -1)
