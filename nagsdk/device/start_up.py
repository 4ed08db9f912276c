"""What a network costs before it runs quickly: loading, the first inference, and memory.

This module imports nothing heavy, so that a worker loads its runtime and nothing else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nagsdk.common.memory import give_back

# The properties of bursts in which devices report these figures, each where it is known.
INIT_MS, FIRST_MS, MEMORY_MB = START_UP = ("init_ms", "first_inference_ms", "memory_mb")
T = TypeVar("T")


class StartUp:
    """Observes a network while it is loaded and when it runs for the first time.

    Memory is what the process held at its peak beyond what it held before, which only Linux tells. Between loading and
    the first run, other networks may be loaded.

    Attributes:
        figures: What is known so far, by the names of `START_UP`.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._has_run = False
        self._held_mb: float | None = None

    def load(self, load: Callable[[], T]) -> T:
        """Loads the network."""
        before, start = _begin_peak(), time.perf_counter_ns()
        network = load()
        self.figures[INIT_MS] = (time.perf_counter_ns() - start) / 1e6
        after, peak = _memory_mb("VmRSS"), _memory_mb("VmHWM")
        if before is not None and after is not None and peak is not None:
            self._held_mb, self._peak_mb = max(after - before, 0.0), max(peak - before, 0.0)
        return network

    def first(self, run: Callable[[], object]) -> None:
        """Runs the network once, if it has not run yet."""
        if self._has_run:
            return
        self._has_run = True
        before, start = _begin_peak(), time.perf_counter_ns()
        run()
        self.figures[FIRST_MS] = (time.perf_counter_ns() - start) / 1e6
        peak = _memory_mb("VmHWM")
        if self._held_mb is not None and before is not None and peak is not None:
            self.figures[MEMORY_MB] = max(self._peak_mb, self._held_mb + max(peak - before, 0.0))

    def ran(self) -> None:
        """Notes that the network has run otherwise, so that no first run can be observed any more."""
        self._has_run = True


def _begin_peak() -> float | None:
    """Forgets the peak of memory; returns the MB that this process holds now, or None if the system does not tell."""
    if sys.platform != "linux":
        return None
    give_back()  # memory that earlier networks left free would be used again, and would not count
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
