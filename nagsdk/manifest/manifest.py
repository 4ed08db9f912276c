"""The JSON contract: what commands print and manifest.json holds. Builds depend on it; see docs/json.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nagsdk.budget import Budget
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError, UsageError

FORMAT = 1
HELD, MISSED, UNVERIFIED = "held", "missed", "unverified"
MANIFEST = "manifest.json"
_MOST_BYTES = 16 * 10**6


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
            "budget": dict.fromkeys(("metric", "limit", "percentile", "confidence")) if self.budget is None else self.budget.to_dict(),
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


def manifest_bytes(result: Result, details: Mapping[str, Any]) -> bytes:
    """The content of manifest.json; the artifact's path is relative to it."""
    return manifest_text({"format": FORMAT, **result.to_dict(), **details})


def manifest_text(content: Mapping[str, Any]) -> bytes:
    """What was read from a manifest.json, as it stood there."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def companions(preprocessing: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, bytes]:
    """Contents of the files that an app reads beside the model, by name.

    Args:
        preprocessing: As the manifest states it.
        labels: Names of the classes, where the bundle has them.
    """
    files = {"preprocessing.json": (json.dumps(preprocessing, indent=2) + "\n").encode()}
    if labels is not None:
        files["labels.txt"] = ("\n".join(labels) + "\n").encode()
    return files


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a deployment.

    Raises:
        UsageError: There is none: the folder is no deployment.
        DamagedBundleError: It is torn or of another format.
    """
    from nagsdk.manifest.schema import ManifestFile

    path = folder / MANIFEST
    if not path.exists():
        raise UsageError(f"{folder} is no deployment: it has no {MANIFEST}.", "Name a folder that 'nagsdk deploy' or 'nagsdk build' left.")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("it has another format")
        ManifestFile.model_validate(content)
    except (OSError, ValueError) as error:
        raise DamagedBundleError(f"{path} cannot be read: {what_is_wrong(error)}.", "Deploy again.") from error
    return content
