"""Bursts on a GPU: the GPU is warmed up if it was idle, then every run is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nagsdk.device.serve import warm_up

# Seconds of warm-up before the first burst of a process, which has to allocate what it needs, and before later ones: a
# GPU leaves its idle clocks after a few tens of milliseconds of work.
_FIRST_S, _WARM_S = 0.5, 0.05
# Seconds after a burst for which the GPU keeps its clocks, so that no warm-up is needed.
_AWAKE_S = 0.02


class Bursts:
    """Takes bursts, and remembers when the GPU was last busy."""

    def __init__(self) -> None:
        self._asleep_at: float | None = None

    def take(self, once: Callable[[], float], request: dict[str, Any]) -> list[float]:
        """Takes the burst that a `time` request asks for.

        Args:
            once: Runs the network once and returns the latency in milliseconds.
            request: The request, with the keys `warmup` and `runs`.

        Returns:
            Latencies of the runs in milliseconds.
        """
        warm_s = _FIRST_S if self._asleep_at is None else _WARM_S if time.perf_counter() > self._asleep_at else 0.0
        warm_up(once, max(1, request["warmup"]), warm_s)
        wall = [once() for _ in range(request["runs"])]
        self._asleep_at = time.perf_counter() + _AWAKE_S
        return wall
