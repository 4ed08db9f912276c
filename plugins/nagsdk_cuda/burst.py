"""Bursts on a GPU: warm where it was left alone, timed run by run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nagsdk.device.serve import warm_up

# A GPU leaves its idle clocks within some tens of milliseconds of work; a process takes what it needs for the first time.
_FIRST_S, _WARM_S, _AWAKE_S = 0.5, 0.05, 0.02


class Bursts:
    """Knows when the GPU was last at work."""

    def __init__(self) -> None:
        self._asleep_at: float | None = None

    def take(self, once: Callable[[], float], request: dict[str, Any]) -> list[float]:
        """Answers the times of a `time` request.

        Args:
            once: Runs once and returns its milliseconds.
            request: With the keys `warmup` and `runs`.
        """
        asleep_s = _FIRST_S if self._asleep_at is None else _WARM_S if time.perf_counter() > self._asleep_at else 0.0
        warm_up(once, max(1, request["warmup"]), asleep_s)
        wall = [once() for _ in range(request["runs"])]
        self._asleep_at = time.perf_counter() + _AWAKE_S
        return wall
