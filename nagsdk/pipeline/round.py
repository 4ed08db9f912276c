"""One turn of the deploy loop: a candidate, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import LATENCY, Budget
from nagsdk.cost.table import Floats
from nagsdk.device.backend import Tensor
from nagsdk.manifest.result import Result
from nagsdk.measuring.measurement import Measurement
from nagsdk.space.architecture import Architecture


@dataclass(frozen=True)
class Built:
    """A model file that computes what torch computes.

    Attributes:
        architecture: Architecture of the subnet.
        path: The artifact.
        compiled: What runs on the device: the artifact itself, unless the backend compiles; None where the device is absent.
        parity: Relative error against torch; None where nothing here could run the file.
        recalibrated_on: Number of images that batch normalisation was recalibrated on.
        statistics: Statistics of batch normalisation: with them the artifact can be built again without images.
        probe: Logits of torch on `nagsdk.graph.parity.probe_image`, shape (classes,).
    """

    architecture: Architecture
    path: Path
    compiled: Path | None
    parity: float | None
    recalibrated_on: int
    statistics: Mapping[str, bytes]
    probe: Tensor


@dataclass(frozen=True)
class Unmeasured:
    """What was built for a device that is not here."""

    result: Result
    built: Built


@dataclass
class Round:
    """One turn of the loop.

    Attributes:
        result: With the verdict of this round.
        built: What was measured.
        first: The session that looked.
        second: The fresh session that confirmed; None where the first already missed.
        used: Share of the limit that was used, by the session that counts.
        shares: Share that was used of each budget on anything but a latency, shape (budgets,); zero for latencies.
        promised: The result before anything was measured.
    """

    result: Result
    built: Built
    first: Measurement
    second: Measurement | None = None
    used: float = 0.0
    shares: Floats = field(default_factory=lambda: np.zeros(0))
    promised: Result | None = None

    @property
    def sessions(self) -> list[Measurement]:
        """The sessions that took place; the last one counts."""
        return [self.first] if self.second is None else [self.first, self.second]

    def at_known_pace_ms(self, percentile: float) -> float:
        """The larger value of a percentile in the sessions, at the pace of the calibration: what the cost model learns from."""
        return max(
            (m.latency(percentile) if m.enough_quiet else m.normalised_ms(percentile)) * m.sped_up
            for m in self.sessions
        )

    def needed(self, budgets: Sequence[Budget]) -> float:
        """The share of the limit that this candidate needs to be `held`: by the upper limits of the session that counts."""
        last = self.sessions[-1]
        return max([self.used, *(upper_limit(last, b.percentile) / b.limit for b in budgets if b.metric == LATENCY)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary, as the manifest keeps it."""
        last = self.sessions[-1]
        return {
            "architecture": self.result.architecture,
            "verdict": self.result.verdict,
            "predicted_latency_ms": self.result.predicted.latency_ms,
            "predicted_latency_upper_ms": self.result.predicted.latency_upper_ms,
            "first_session_p50_ms": figure(self.first, 50),
            "quiet": last.enough_quiet,
            "second_session_p50_ms": None if self.second is None else figure(self.second, 50),
            "used_of_limit": self.used,
            "state": last.state,
        }


def figure(measurement: Measurement, percentile: float) -> float:
    """A percentile in milliseconds, of the quiet readings where there are enough, else of all: those only overstate."""
    return measurement.latency(percentile, disturbed=not measurement.enough_quiet)


def upper_limit(measurement: Measurement, percentile: float) -> float:
    """The upper confidence limit of `figure`, from the same readings."""
    return measurement.upper(percentile, disturbed=not measurement.enough_quiet)
