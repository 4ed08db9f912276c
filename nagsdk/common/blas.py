"""Imports numpy for commands that answer at once, so that its threads sleep while they have nothing to do.

The library itself leaves numpy as it is: how it behaves in a user's process is the user's choice.
"""

from __future__ import annotations

import os
import sys

_VARIABLE = "OPENBLAS_THREAD_TIMEOUT"
# A power of two, in cycles of the processor; the least that OpenBLAS takes.
_LEAST = "4"


def load_numpy() -> None:
    """Imports numpy so that the threads of its OpenBLAS do not spin.

    By default they spin for tens of milliseconds after their start and after every product, each on a core of its own:
    with two cores that is a quarter of the processor time of `nagsdk generate`, with more cores it is more. OpenBLAS
    reads the variable once, while numpy is imported. It is taken back then, so that processes in which networks are
    timed do not inherit it. What a user has set stays. The number of threads, and so every result, is the same.
    """
    if _VARIABLE in os.environ or "numpy" in sys.modules:
        return
    os.environ[_VARIABLE] = _LEAST
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[_VARIABLE]
