"""How the C library keeps memory between the steps of a training."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of parameters in glibc's malloc.h, and their defaults.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Lets freed memory be used again for the next tensors of the same size, in the whole process.

    Every step of a training allocates and frees the same large tensors. By default, glibc returns each of them to the
    system at once, which clears the pages before it gives them out again: a third of the time of a step at 160 pixels
    (benchmarks/training_memory.py). Other C libraries are left as they are. Memory is given back at the end.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):
        yield
        return
    assert libc is not None
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        for parameter, default in _DEFAULTS.items():
            libc.mallopt(parameter, default)
        libc.malloc_trim(0)
