"""Latencies from readings of a machine whose speed drifts while they are taken.

The reference network, timed right before and after every reading, tells the speed of the machine at that
moment; a reading counts as a ratio to it, and a network's latency is the median ratio over the rounds times
the quiet level of the reference. Sessions that never came near the fastest session's level say nothing about
that level, only about ratios. (Smoothing the speed over neighbouring readings was tried: it helps where the
speed drifts over seconds and harms where it jumps, which it does on shared hosts.)

Where other processes take the processor away most of the time, wall times tell nothing; a low quantile of CPU
times then does best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nagsdk.measuring.measurement import QUIET_QUANTILE, Reading

_MOSTLY = 0.5
_LEAST_READINGS = 3


@dataclass(frozen=True)
class Taken:
    """One reading.

    Attributes:
        session: Which connection to the device it was taken over.
        name: The network.
        reading: Its timings, with those of the reference around it.
    """

    session: str
    name: str
    reading: Reading


@dataclass(frozen=True)
class Levelled:
    """What the readings of all sessions say.

    Attributes:
        p50_ms: Median latency of every network at the quiet speed of the device.
        sessions_ms: What the reference network took in every session while it ran near its fastest.
        quiet_sessions_ms: Those near the fastest session's.
        contended: Share of the readings during which the processor was taken away.
    """

    p50_ms: dict[str, float]
    sessions_ms: tuple[float, ...]
    quiet_sessions_ms: tuple[float, ...]
    contended: float

    @property
    def reference_ms(self) -> float:
        """Quiet level of the reference network."""
        return float(np.median(self.quiet_sessions_ms))

    @property
    def disturbed(self) -> bool:
        """Whether CPU times had to stand in for wall times."""
        return self.contended > _MOSTLY


def level(taken: Sequence[Taken], drift: float, contention: float, alone: Sequence[float] = ()) -> Levelled:
    """Brings readings to the quiet speed of the device and takes the median over rounds.

    Args:
        taken: Readings of all sessions.
        drift: Largest slow-down of the reference that counts as quiet (see `Protocol`).
        contention: Largest wall / CPU time of a burst that kept the processor.
        alone: Times of the reference in a further session, in which nothing else was measured.
    """
    sessions: dict[str, list[float]] = {}
    networks: dict[str, list[Reading]] = {}
    for one in taken:
        sessions.setdefault(one.session, []).extend((one.reading.before_ms, one.reading.after_ms))
        networks.setdefault(one.name, []).append(one.reading)
    levels = tuple(_quiet_level(np.array(values), drift) for values in (*sessions.values(), alone) if len(values))
    quiet = tuple(value for value in levels if value <= min(levels) * drift)
    contended = float(np.mean([one.reading.contention > contention for one in taken]))
    if contended > _MOSTLY:
        p50_ms = {
            name: float(np.quantile([v for r in part for v in r.burst.cpu_ms], QUIET_QUANTILE))
            for name, part in networks.items()
        }
    else:
        scale = float(np.median(quiet))
        p50_ms = {name: scale * _ratio(part, contention) for name, part in networks.items()}
    return Levelled(p50_ms, levels, quiet, contended)


def _quiet_level(references: np.ndarray[tuple[int], np.dtype[np.float64]], drift: float) -> float:
    """Median of what the reference took while it ran near its fastest."""
    return float(np.median(references[references <= np.quantile(references, QUIET_QUANTILE) * drift]))


def _ratio(readings: Sequence[Reading], contention: float) -> float:
    """Latency over the reference's: of the readings that kept the processor, of all where these are too few."""
    kept = [r for r in readings if r.contention <= contention]
    return float(
        np.median([r.percentile(50) / r.reference_ms for r in (kept if len(kept) >= _LEAST_READINGS else readings)])
    )
