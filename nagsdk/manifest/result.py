"""What is known of one architecture, and what `deploy` leaves: the values that every verb returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nagsdk.budget import Budget

HELD, MISSED, UNVERIFIED = "held", "missed", "unverified"


@dataclass(frozen=True)
class Predicted:
    """What the models expect; top-1 in percent, latencies in milliseconds, None where unknown.

    Attributes:
        top1: Predicted top-1.
        top1_low: Lower end of its 90 % interval.
        top1_high: Upper end.
        extrapolated: Whether the accuracy predictor was asked beyond what was measured.
        latency_ms: Predicted median latency.
        latency_upper_ms: Upper bound of the budget's percentile at the budget's confidence.
    """

    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    extrapolated: bool | None = None
    latency_ms: float | None = None
    latency_upper_ms: float | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured on the device; for a deployment in the fresh session that gave the verdict.

    Attributes:
        latency_p50_ms: Median of single inferences.
        latency_p90_ms: Their 90th percentile.
        latency_limit_ms: Upper 95 % limit of the budget's percentile: what the verdict compares with the budget.
        top1: Of the artifact itself on the bundle's test images.
        top1_low: Lower end of its 95 % interval (Wilson).
        top1_high: Upper end.
    """

    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_limit_ms: float | None = None
    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None


@dataclass(frozen=True)
class Artifact:
    """The exported file."""

    path: str | None = None
    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Result:
    """One architecture with everything known about it.

    Attributes:
        architecture: Text form.
        resolution: Input size in pixels.
        macs: Multiply-accumulates, exact.
        parameters: Trainable parameters, exact.
        predicted: See `Predicted`.
        measured: See `Measured`.
        budgets: The budgets it answers, all of them at once.
        verdict: ``held``, ``missed`` or ``unverified``.
        artifact: See `Artifact`.
        device: Device id, or None.
        bundle: Bundle name.
        warnings: What must not be overlooked.
        metrics: What it has of the plugins' metrics that the budgets limit, in their canonical units; measured where the device tells them.
    """

    architecture: str
    resolution: int
    macs: int
    parameters: int
    bundle: str
    device: str | None = None
    budgets: tuple[Budget, ...] = ()
    predicted: Predicted = field(default_factory=Predicted)
    measured: Measured = field(default_factory=Measured)
    verdict: str = UNVERIFIED
    artifact: Artifact = field(default_factory=Artifact)
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def budget(self) -> Budget | None:
        """The first budget."""
        return self.budgets[0] if self.budgets else None

    def to_dict(self) -> dict[str, Any]:
        """Nested, snake_case, every key always there, None where unknown."""
        return {
            "architecture": self.architecture,
            "resolution": self.resolution,
            "macs": self.macs,
            "parameters": self.parameters,
            "predicted": asdict(self.predicted),
            "measured": asdict(self.measured),
            "budget": dict.fromkeys(("metric", "limit", "percentile", "confidence", "unit", "unit_factor"))
            if self.budget is None
            else self.budget.to_dict(),
            "budgets": [budget.to_dict() for budget in self.budgets],
            "verdict": self.verdict,
            "artifact": asdict(self.artifact),
            "device": self.device,
            "bundle": self.bundle,
            "warnings": list(self.warnings),
            "metrics": dict(self.metrics),
        }

    def with_path(self, path: Path) -> Result:
        """The same result with its artifact at `path`."""
        return replace(self, artifact=replace(self.artifact, path=str(path)))


@dataclass(frozen=True)
class Deployment:
    """What `deploy` leaves.

    Attributes:
        result: The deployed architecture and its verdict.
        folder: Where model and manifest lie; None when the budget was missed.
        details: The rest of the manifest: provenance, versions, seeds, rounds.
        statistics: Of batch normalisation; see `nagsdk.supernet.recalibrate.statistics`.
    """

    result: Result
    folder: Path | None
    details: Mapping[str, Any]
    statistics: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``held``, ``missed`` or ``unverified``."""
        return self.result.verdict

    def to_dict(self) -> dict[str, Any]:
        """What `deploy --json` prints."""
        return {**self.result.to_dict(), "folder": None if self.folder is None else str(self.folder)}
