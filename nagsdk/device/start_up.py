"""What a network costs before it runs quickly: loading, the first inference, and memory.

This module imports nothing heavy, so that a worker loads its runtime and nothing else.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

# The properties of bursts in which devices report these figures, each where it is known.
INIT_MS, FIRST_MS, MEMORY_MB = START_UP = ("init_ms", "first_inference_ms", "memory_mb")
T = TypeVar("T")


def started(load: Callable[[], T], bind: Callable[[T], Callable[[], object]]) -> tuple[T, dict[str, float]]:
    """Loads a network, runs it once, and takes time and memory meanwhile.

    Memory is what the process held at its peak beyond what it held before, which only Linux tells.

    Args:
        load: Loads the network.
        bind: Returns a function that runs the network once.

    Returns:
        The network, and the figures by the names of `START_UP`. What cannot be known is left out: of a network that
        does not run, the first inference.
    """
    before = _begin_peak()
    start = time.perf_counter_ns()
    network = load()
    figures = {INIT_MS: (time.perf_counter_ns() - start) / 1e6}
    try:
        run = bind(network)
        start = time.perf_counter_ns()
        run()
        figures[FIRST_MS] = (time.perf_counter_ns() - start) / 1e6
    except Exception:  # what is wrong with it is told when somebody asks it to run
        return network, figures
    if before is not None and (peak := _memory_mb("VmHWM")) is not None:
        figures[MEMORY_MB] = max(peak - before, 0.0)
    return network, figures


def _begin_peak() -> float | None:
    """Forgets the peak of memory; returns the MB that this process holds now, or None if the system does not tell."""
    if sys.platform != "linux":
        return None
    # Memory that earlier networks left free would be used again, and would not count. C libraries without this function
    # give it back at once.
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_bytes(b"5")
    except OSError:
        return None
    return _memory_mb("VmRSS")


def _memory_mb(name: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:")), None)
