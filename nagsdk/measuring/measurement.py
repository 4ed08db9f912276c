"""Results of timing a network: raw readings, and the figures computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.quantiles import student_quantile
from nagsdk.device.backend import Burst
from nagsdk.errors import MeasurementError
from nagsdk.measuring.protocol import Protocol

LEAST_ROUNDS = 3
# Low enough for a machine that is seldom quiet. A minimum would depend on single readings.
QUIET_QUANTILE = 0.05
_STRETCHES = 8
_LEAST_MS, _MOST_MS, _MOST_PROPERTY = 1e-9, 1e9, 1e18
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """Timings of one network in one round.

    It holds raw values only, because whether it is quiet may be decided again once the quiet level is better known.

    Attributes:
        burst: Timings of the network.
        before_ms: Median wall time of the reference right before the burst.
        after_ms: Median wall time of the reference right after the burst.
    """

    burst: Burst
    before_ms: float
    after_ms: float

    def percentile(self, percentile: float) -> float:
        """Returns a percentile of the wall times in milliseconds."""
        return float(np.percentile(self.burst.wall_ms, percentile))

    @property
    def reference_ms(self) -> float:
        """Mean time of the reference before and after the burst."""
        return (self.before_ms + self.after_ms) / 2

    @property
    def contention(self) -> float:
        """Ratio of wall to CPU time of the burst; 1 if the CPU time is unknown."""
        cpu = sum(self.burst.cpu_ms)
        return sum(self.burst.wall_ms) / cpu if cpu > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """Rebuilds a reading from the result of `to_dict`.

        Raises:
            MeasurementError: The values are not those of a reading.
        """
        try:
            burst = values["burst"]
            wall = tuple(_time(value, least=_LEAST_MS) for value in burst["wall_ms"])
            cpu = tuple(_time(value) for value in burst["cpu_ms"])
            if not wall:
                raise ValueError("it has no times")
            if not all(isinstance(name, str) for name in burst["properties"]):
                raise ValueError("names of properties must be texts")
            properties = {name: _property(value) for name, value in burst["properties"].items()}
            before, after = (_time(values[key], least=_LEAST_MS) for key in ("before_ms", "after_ms"))
            return cls(Burst(wall, cpu, properties), before, after)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed(error) from error


@dataclass(frozen=True)
class Measurement:
    """All readings of one network in one session.

    Attributes:
        readings: Readings in the order in which they were taken, one per round.
        reference_quiet_ms: Time of the reference when nothing disturbs it.
        protocol: Protocol with which the readings were taken.
        environment: Properties of the device and its runtime during the session.
        reference_known_ms: Quiet level of the reference in earlier sessions; None if there were none.
    """

    readings: tuple[Reading, ...]
    reference_quiet_ms: float
    protocol: Protocol = field(default_factory=Protocol)
    environment: Mapping[str, str] = field(default_factory=dict)
    reference_known_ms: float | None = None

    def slowdown(self, reading: Reading) -> float:
        """Returns the time of the reference around a reading, divided by its quiet level (1 is quiet)."""
        return reading.reference_ms / self.reference_quiet_ms

    @property
    def typical_slowdown(self) -> float:
        """Median slow-down over the readings."""
        return float(np.median([self.slowdown(r) for r in self.readings]))

    @property
    def enough_quiet(self) -> bool:
        """Whether there are enough quiet readings to compute figures from them alone."""
        return len(self.quiet) >= LEAST_ROUNDS

    @property
    def sped_up(self) -> float:
        """Factor by which the device is faster at best than in all earlier sessions; 1 if that may be chance."""
        found = 1.0 if self.reference_known_ms is None else self.reference_known_ms / self.reference_quiet_ms
        return found if found > self.protocol.drift else 1.0

    @property
    def pace(self) -> float:
        """Latency of networks in this session relative to earlier sessions.

        Above 1 if the device was never quiet, below 1 if it is faster than it ever was.
        """
        return (1.0 if self.enough_quiet else max(1.0, self.typical_slowdown)) / self.sped_up

    @cached_property
    def quiet(self) -> tuple[Reading, ...]:
        """The quiet readings: the reference was near its quiet level on both sides, and the CPU was not taken away."""
        limit = self.reference_quiet_ms * self.protocol.drift
        return tuple(
            r
            for r in self.readings
            if max(r.before_ms, r.after_ms) <= limit and r.contention <= self.protocol.contention
        )

    @property
    def sufficient(self) -> bool:
        """Whether enough readings are quiet, and the median is known from them precisely enough."""
        if len(self.quiet) < max(self.protocol.rounds, LEAST_ROUNDS):
            return False
        return self.upper() <= self.latency() * (1 + self.protocol.width)

    def latency(self, percentile: float = 50.0, *, disturbed: bool = False) -> float:
        """Returns a percentile over all runs of the quiet readings, in milliseconds, as timed.

        Args:
            percentile: Percentile of single runs.
            disturbed: Whether to use the disturbed readings too. They can only be too slow, so a limit that holds
                with them holds.

        Raises:
            MeasurementError: Fewer than three readings can be used.
        """
        return float(np.percentile(np.concatenate([r.burst.wall_ms for r in self._counted(disturbed)]), percentile))

    def upper(self, percentile: float = 50.0, level: float = 0.95, *, disturbed: bool = False) -> float:
        """Returns the one-sided upper confidence limit of `latency`.

        Consecutive runs are correlated, because the speed of the machine drifts. The limit is therefore the
        percentile over all runs plus Student's t times the standard error of the percentiles of up to eight stretches
        of time (batch means). It covers the variation within a session, but not between processes.

        Args:
            percentile: Percentile of single runs.
            level: Probability that the true percentile does not exceed the limit.
            disturbed: As for `latency`.

        Raises:
            MeasurementError: Fewer than three readings can be used.
        """
        values = _of_stretches(self._counted(disturbed), percentile)
        return self.latency(percentile, disturbed=disturbed) + student_quantile(len(values) - 1, level) * _error(values)

    def figure(self, percentile: float) -> float:
        """Returns a percentile over the quiet readings if there are enough, else over all, which can only overstate."""
        return self.latency(percentile, disturbed=not self.enough_quiet)

    def error(self, percentile: float) -> float:
        """Returns the standard error of `figure` within the session, as a share of it (batch means, as for `upper`)."""
        values = _of_stretches(self._counted(not self.enough_quiet), percentile)
        return _error(values) / self.figure(percentile)

    def normalised_ms(self, percentile: float = 50.0) -> float:
        """Returns the latency at the quiet speed of the device.

        This is the median over the rounds of every reading divided by its slow-down. Disturbed readings are used too,
        so the figure is good for fitting cost models, but no verdict may rest on it.
        """
        return float(np.median([r.percentile(percentile) / self.slowdown(r) for r in self.readings]))

    @property
    def state(self) -> dict[str, float]:
        """Median over the readings of each value that the device reported besides times (`Burst.properties`)."""
        reported: dict[str, list[float]] = {}
        for reading in self.readings:
            for name, value in reading.burst.properties.items():
                reported.setdefault(name, []).append(value)
        return {name: float(np.median(values)) for name, values in reported.items()}

    @property
    def jitter_within(self) -> float:
        """Median over quiet rounds of the spread of single runs: (p90 - p10) / p50."""
        return float(
            np.median([(r.percentile(90) - r.percentile(10)) / r.percentile(50) for r in self._counted(False)])
        )

    @property
    def jitter_between(self) -> float:
        """Standard deviation of the medians of quiet rounds over their mean."""
        medians = np.array([r.percentile(50) for r in self._counted(False)])
        return float(medians.std(ddof=1) / medians.mean())

    def _counted(self, disturbed: bool) -> tuple[Reading, ...]:
        counted = self.readings if disturbed else self.quiet
        if len(counted) < LEAST_ROUNDS:
            raise MeasurementError(
                f"Only {len(counted)} of {len(self.readings)} readings can be used, {LEAST_ROUNDS} are needed: "
                f"{self._disturbance()}.",
                "Stop other work on the device and measure again, or allow more rounds.",
            )
        return counted

    def _disturbance(self) -> str:
        if not self.readings:
            return "none was taken"
        contention = float(np.median([r.contention for r in self.readings]))
        return (
            f"the reference network took {self.typical_slowdown:.2f} times its quiet {self.reference_quiet_ms:.3g} ms, "
            f"wall / CPU time was {contention:.2f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, JSON-ready."""
        return {
            "readings": [r.to_dict() for r in self.readings],
            "reference_quiet_ms": self.reference_quiet_ms,
            "protocol": self.protocol.to_dict(),
            "environment": dict(self.environment),
            "reference_known_ms": self.reference_known_ms,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        """Rebuilds a measurement from the result of `to_dict`.

        Raises:
            MeasurementError: The values are not those of a measurement.
        """
        try:
            return cls(
                tuple(Reading.from_dict(r) for r in values["readings"]),
                float(values["reference_quiet_ms"]),
                Protocol(**values["protocol"]),
                dict(values["environment"]),
                values["reference_known_ms"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed(error) from error


def _of_stretches(readings: Sequence[Reading], percentile: float) -> Floats:
    """A percentile in each of up to eight stretches of time."""
    parts = np.array_split(np.arange(len(readings)), min(len(readings), _STRETCHES))
    runs = ([run for i in part for run in readings[i].burst.wall_ms] for part in parts)
    return np.array([np.percentile(values, percentile) for values in runs])


def _error(values: Floats) -> float:
    """The standard error of the mean of values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def quiet_level_ms(references: Sequence[float], known_ms: float | None, drift: float) -> float:
    """Estimates the time of the reference when nothing disturbs it.

    Args:
        references: Times of the reference in this session, in milliseconds.
        known_ms: Quiet level of the reference in earlier sessions on the device.
        drift: Largest slow-down that counts as quiet (see `Protocol`).

    Returns:
        A low quantile of this session's times if the session came near the known level, because sessions differ by a
        few percent; otherwise the known level.
    """
    level = float(np.quantile(references, QUIET_QUANTILE))
    return level if known_ms is None or level <= known_ms * drift else known_ms


def _time(value: object, least: float = 0.0) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= _MOST_MS:
        raise ValueError(f"{value!r:.40} is not a time from {least:g} to {_MOST_MS:g} ms")
    return float(value)


def _property(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= _MOST_PROPERTY:
        raise ValueError(f"{value!r:.40} is not the value of a property")
    return float(value)


def _malformed(error: Exception) -> MeasurementError:
    return MeasurementError(f"A stored measurement cannot be read: {type(error).__name__} {error}.", "Measure again.")
