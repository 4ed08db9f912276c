"""One round of the deploy loop: a candidate and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.device.backend import Tensor
from nagsdk.manifest.result import Result
from nagsdk.measuring.energy import Energy
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.sustained import Load
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.families.protocol import Subnet


@dataclass(frozen=True)
class Built:
    """A model file whose outputs agree with torch.

    Attributes:
        architecture: Architecture of the subnet.
        path: The artifact.
        compiled: The file that runs on the device: the artifact itself unless the backend compiles; None if the device
            is unavailable.
        parity: Relative error of the outputs against torch; None if nothing on this machine could run the file.
        recalibrated_on: Number of images that batch normalisation was recalibrated on.
        statistics: Statistics of batch normalisation, with which the artifact can be built again without images.
        probe: Logits of torch for `nagsdk.graph.parity.probe_image`, shape (classes,); of the simulation for integers.
        integers: What the integers of the file were made of, and how far they are from torch; None for other files.
        exact: The torch network of a file of integers, with which it is compared on the test images.
        facts: What is known of the file without running it, by names such as ``activation_bytes``; as properties of
            bursts, they are the values of metrics.
        temperature: What the logits of the network were divided by in the file; None if that was not asked for.
    """

    architecture: Architecture
    path: Path
    compiled: Path | None
    parity: float | None
    recalibrated_on: int
    statistics: Mapping[str, bytes]
    probe: Tensor
    integers: Mapping[str, Any] | None = None
    exact: Subnet | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None


@dataclass(frozen=True)
class Unmeasured:
    """A candidate that was built for a device that is unavailable.

    Attributes:
        result: The result, unverified.
        built: The file.
    """

    result: Result
    built: Built


@dataclass
class Round:
    """One round of the loop.

    Attributes:
        result: The result with the verdict of this round.
        built: The file that was measured.
        first: The first session, by which the candidate was chosen; no verdict rests on it.
        confirming: The fresh sessions that the verdict rests on; empty if the first session already missed.
        used: Largest share of any limit that was used.
        needs: Share of each limit that this candidate needs to be `held`, shape (budgets,): more than it uses where
            sessions differ.
        spare: How much larger than the latency the budget must be, for the percentile for which it is most.
        shares: Share used of each budget other than latency, shape (budgets,); zero for latencies.
        promised: The result before anything was measured.
        hot: The candidate under sustained load, if a budget is about that.
        load: The load before it was measured there.
        energy: The energy of the candidate, if a budget is about that.
        rivals: Share of the limits under load that further candidates used there, by their text form.
    """

    result: Result
    built: Built
    first: Measurement
    confirming: list[Measurement] = field(default_factory=list)
    used: float = 0.0
    needs: Floats = field(default_factory=lambda: np.zeros(0))
    spare: float = 1.0
    shares: Floats = field(default_factory=lambda: np.zeros(0))
    promised: Result | None = None
    hot: Measurement | None = None
    load: Load | None = None
    energy: Energy | None = None
    rivals: Mapping[str, float] = field(default_factory=dict)

    @property
    def needed(self) -> float:
        """Largest share of any limit that this candidate needs to be `held`."""
        return float(self.needs.max(initial=0.0))

    @property
    def deciding(self) -> list[Measurement]:
        """The sessions whose figures are shown: the one under load, else the confirming ones, else the first one."""
        return self.cold if self.hot is None else [self.hot]

    @property
    def cold(self) -> list[Measurement]:
        """The sessions without load that limits are compared with: the confirming ones, else the first one."""
        return self.confirming or [self.first]

    @property
    def sessions(self) -> list[Measurement]:
        """The sessions without load that took place."""
        return [self.first, *self.confirming]

    def slowdown(self, percentile: float) -> float:
        """How many times longer the candidate may take under load than without; 1 if it was not loaded."""
        return 1.0 if self.hot is None else upper_limit(self.hot, percentile) / self.sessions[-1].figure(percentile)

    def at_known_pace_ms(self, percentile: float) -> float:
        """A percentile at the calibration's pace, for the cost model: of first session and others, the larger."""
        values = [
            (m.latency(percentile) if m.enough_quiet else m.normalised_ms(percentile)) * m.sped_up
            for m in self.sessions
        ]
        return max(values[0], float(np.mean(values[1:] or values)))

    def drawn(self) -> dict[str, Any]:
        """What the report shows of load and energy; see `nagsdk.manifest.report_schema.ReportData`."""
        return {
            "sustained": None if self.load is None else self.load.to_dict(),
            "energy": None if self.energy is None else self.energy.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """The summary that the manifest stores, ready for JSON."""
        last = self.sessions[-1]
        medians = [m.figure(50) for m in self.confirming]
        return {
            "architecture": self.result.architecture,
            "precision": self.result.precision,
            "threads": self.result.threads,
            "verdict": self.result.verdict,
            "predicted_latency_ms": self.result.predicted.latency_ms,
            "predicted_latency_upper_ms": self.result.predicted.latency_upper_ms,
            "first_session_p50_ms": self.first.figure(50),
            "quiet": last.enough_quiet,
            "second_session_p50_ms": medians[0] if medians else None,
            "confirming_p50_ms": medians,
            "sustained_p50_ms": None if self.hot is None else self.hot.figure(50),
            "used_of_limit": self.used,
            "needed_of_limit": self.needed,
            "state": last.state,
        }


def upper_limit(measurement: Measurement, percentile: float) -> float:
    """The upper confidence limit of a percentile within one session, from the readings that its figure rests on."""
    return measurement.upper(percentile, disturbed=not measurement.enough_quiet)
