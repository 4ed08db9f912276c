"""Computes latencies from readings of a machine whose speed drifts while they are taken.

The reference network, timed right before and after every reading, shows the speed of the machine at that moment.
Each reading is divided by it; the latency of a network is the median of these ratios over the rounds, multiplied by
the quiet level of the reference, and by how much more single sessions report on average: their quiet readings also
come from moments that are a little slower than the fastest ones, and disturbances of the reference only ever lower the
ratios. A session whose reference never came near the level of the fastest session contributes ratios, but not to the
quiet level. (Smoothing the speed over neighbouring readings was tried: it helps where the speed drifts over seconds
and harms where it jumps, as it does on shared hosts.)

Where other processes take the processor away most of the time, wall times are useless; a low quantile of the CPU
times is then the best estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nagsdk.measuring.measurement import QUIET_QUANTILE, Floats, Reading

_MOSTLY = 0.5
_LEAST_READINGS = 3


@dataclass(frozen=True)
class Taken:
    """One reading with the session and the network that it belongs to.

    Attributes:
        session: Id of the session in which it was taken.
        name: Name of the network.
        reading: Timings of the network, and of the reference before and after it.
    """

    session: str
    name: str
    reading: Reading


@dataclass(frozen=True)
class Levelled:
    """Latencies at the quiet speed of the device, computed from the readings of all sessions.

    Attributes:
        p50_ms: Median latency of every network, as a session reports it on average while the device is quiet.
        sessions_ms: Quiet level of the reference network in every session: its median time while it ran near its
            fastest.
        quiet_sessions_ms: Those of `sessions_ms` that are near the level of the fastest session.
        contended: Share of the readings during which the processor was taken away.
        shifts: By how much each quiet session reports more than `p50_ms`, in logarithms; all its networks share it.
    """

    p50_ms: dict[str, float]
    sessions_ms: tuple[float, ...]
    quiet_sessions_ms: tuple[float, ...]
    contended: float
    shifts: tuple[float, ...] = ()

    @property
    def reference_ms(self) -> float:
        """Quiet level of the reference network over all sessions."""
        return float(np.median(self.quiet_sessions_ms))

    @property
    def disturbed(self) -> bool:
        """Whether CPU times had to be used in place of wall times."""
        return self.contended > _MOSTLY


def level(taken: Sequence[Taken], drift: float, contention: float, alone: Sequence[float] = ()) -> Levelled:
    """Scales readings to the quiet speed of the device and takes the median over the rounds.

    Args:
        taken: Readings of all sessions.
        drift: Largest slow-down of the reference that counts as quiet (see `Protocol`).
        contention: Largest ratio of wall to CPU time at which a burst counts as undisturbed (see `Protocol`).
        alone: Times of the reference in a further session in which nothing else was measured.
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
        return Levelled(p50_ms, levels, quiet, contended)
    scale = float(np.median(quiet))
    p50_ms = {name: scale * _ratio(part, contention) for name, part in networks.items()}
    own = {name: value for name, value in zip(sessions, levels, strict=False) if value in quiet}
    shifts = _shifts(taken, p50_ms, {name: value * drift for name, value in own.items()}, contention)
    usual = float(shifts.mean()) if len(shifts) else 0.0
    p50_ms = {name: value * float(np.exp(usual)) for name, value in p50_ms.items()}
    return Levelled(p50_ms, levels, quiet, contended, tuple((shifts - usual).tolist()))


def _quiet_level(references: np.ndarray[tuple[int], np.dtype[np.float64]], drift: float) -> float:
    """Median time of the reference while it ran near its fastest."""
    return float(np.median(references[references <= np.quantile(references, QUIET_QUANTILE) * drift]))


def _ratio(readings: Sequence[Reading], contention: float) -> float:
    """Median ratio of the latency to that of the reference.

    Uses the readings during which the processor was not taken away, or all readings if those are too few.
    """
    kept = [r for r in readings if r.contention <= contention]
    return float(
        np.median([r.percentile(50) / r.reference_ms for r in (kept if len(kept) >= _LEAST_READINGS else readings)])
    )


def _shifts(
    taken: Sequence[Taken], p50_ms: Mapping[str, float], most: Mapping[str, float], contention: float
) -> Floats:
    """Logarithms of how much more sessions report than these latencies.

    Args:
        taken: Readings of all sessions.
        p50_ms: Latencies of the networks.
        most: Longest time of the reference around a quiet reading, by session; others are left out.
        contention: See `level`.
    """
    ratios: dict[str, list[float]] = {}
    for one in taken:
        around = max(one.reading.before_ms, one.reading.after_ms)
        if around <= most.get(one.session, 0.0) and one.reading.contention <= contention:
            ratios.setdefault(one.session, []).append(one.reading.percentile(50) / p50_ms[one.name])
    return np.array([np.log(np.median(part)) for part in ratios.values() if len(part) >= _LEAST_READINGS], np.float64)
