"""What came out of timing a network: raw readings, and the figures drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.device.backend import Burst
from nagsdk.device.protocol import Protocol
from nagsdk.errors import MeasurementError

LEAST_ROUNDS = 3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """One network in one round: facts only, so that a quiet level found later can judge it anew.

    Attributes:
        burst: Its timings.
        before_ms: Median wall time of the reference right before.
        after_ms: Likewise right after.
    """

    burst: Burst
    before_ms: float
    after_ms: float

    def percentile(self, percentile: float) -> float:
        """A percentile of the wall times in milliseconds."""
        return float(np.percentile(self.burst.wall_ms, percentile))

    @property
    def reference_ms(self) -> float:
        """Mean of the reference before and after."""
        return (self.before_ms + self.after_ms) / 2

    @property
    def contention(self) -> float:
        """Wall / CPU time of the burst; 1 where CPU time is unknown."""
        cpu = sum(self.burst.cpu_ms)
        return sum(self.burst.wall_ms) / cpu if cpu > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """Rebuilds a reading from `to_dict`."""
        burst = values["burst"]
        return cls(
            Burst(tuple(burst["wall_ms"]), tuple(burst["cpu_ms"]), dict(burst["properties"])), values["before_ms"], values["after_ms"]
        )


@dataclass(frozen=True)
class Measurement:
    """All readings of one network in one session.

    Attributes:
        readings: In the order taken, one per round.
        reference_quiet_ms: What the reference takes when nothing disturbs it.
        protocol: How they were taken.
        environment: Properties of the device and its runtime during the session.
    """

    readings: tuple[Reading, ...]
    reference_quiet_ms: float
    protocol: Protocol = field(default_factory=Protocol)
    environment: Mapping[str, str] = field(default_factory=dict)

    def slowdown(self, reading: Reading) -> float:
        """Time of the reference around a reading, as a factor against its quiet level (1 is quiet)."""
        return reading.reference_ms / self.reference_quiet_ms

    @cached_property
    def quiet(self) -> tuple[Reading, ...]:
        """The readings that count: the reference near its quiet level on both sides, and the CPU not taken away."""
        limit = self.reference_quiet_ms * self.protocol.drift
        return tuple(
            r for r in self.readings if max(r.before_ms, r.after_ms) <= limit and r.contention <= self.protocol.contention
        )

    def latency(self, percentile: float = 50.0) -> float:
        """A percentile over all runs of the quiet readings, in milliseconds, as timed.

        Raises:
            MeasurementError: Fewer than three quiet readings.
        """
        return float(np.percentile(np.concatenate([r.burst.wall_ms for r in self._trusted()]), percentile))

    def upper(self, percentile: float = 50.0, level: float = 0.95) -> float:
        """One-sided upper confidence limit of `latency`.

        Runs of one round share the machine's mood, rounds do not: the limit is the percentile over all
        quiet runs plus Student's t times the standard error of the percentiles of single rounds.

        Raises:
            MeasurementError: Fewer than three quiet readings.
        """
        from scipy.special import stdtrit

        rounds = np.array([r.percentile(percentile) for r in self._trusted()])
        return self.latency(percentile) + float(stdtrit(len(rounds) - 1, level) * rounds.std(ddof=1) / np.sqrt(len(rounds)))

    def normalised_ms(self, percentile: float = 50.0) -> float:
        """Latency at the reference's quiet speed: every reading divided by its slow-down, the median over rounds.

        All readings count, the disturbed ones too: good for fitting cost models, no basis for a verdict.
        """
        return float(np.median([r.percentile(percentile) / self.slowdown(r) for r in self.readings]))

    @property
    def jitter_within(self) -> float:
        """Median over quiet rounds of the spread of single runs: (p90 - p10) / p50."""
        return float(np.median([(r.percentile(90) - r.percentile(10)) / r.percentile(50) for r in self._trusted()]))

    @property
    def jitter_between(self) -> float:
        """Standard deviation of the medians of quiet rounds over their mean."""
        medians = np.array([r.percentile(50) for r in self._trusted()])
        return float(medians.std(ddof=1) / medians.mean())

    def _trusted(self) -> tuple[Reading, ...]:
        if len(self.quiet) < LEAST_ROUNDS:
            raise MeasurementError(
                f"Only {len(self.quiet)} of {len(self.readings)} readings were quiet; at least {LEAST_ROUNDS} are needed.",
                "Stop other work on the device and measure again, or allow more rounds.",
            )
        return self.quiet

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "readings": [r.to_dict() for r in self.readings],
            "reference_quiet_ms": self.reference_quiet_ms,
            "protocol": self.protocol.to_dict(),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """Rebuilds a measurement from `to_dict`."""
        return cls(
            tuple(Reading.from_dict(r) for r in values["readings"]),
            values["reference_quiet_ms"],
            Protocol(**values["protocol"]),
            dict(values["environment"]),
        )
