"""What is known about one architecture: the values that every verb returns."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from nagsdk.budget import LATENCY, Budget
from nagsdk.common.wording import counted

T = TypeVar("T")
HELD, MISSED, UNVERIFIED = "held", "missed", "unverified"
CHOSEN, MEASURED, PREDICTED, LEFT_OUT = "chosen", "measured", "predicted", "left out"


@dataclass(frozen=True)
class Predicted:
    """Predictions of the models; top-1 in percent, latencies in milliseconds, None if unknown.

    Attributes:
        top1: Predicted top-1.
        top1_low: Lower end of its 90 % interval.
        top1_high: Upper end of its 90 % interval.
        extrapolated: Whether the architecture lies outside the range that the accuracy predictor was fitted on.
        latency_ms: Predicted median latency.
        latency_upper_ms: Upper bound of the budget's percentile at the budget's confidence.
        latency_source: Where the latency comes from: ``prior`` (shipped, not measured on this device) or
            ``calibration``.
        optimism: Points that top-1 and its interval were lowered by, because the architecture was chosen for it.
        top1_on: The images that the top-1 is about; None if the bundle does not say.
        top1_loss: Points of top-1 that the precision is predicted to cost, which were taken off; None in fp32.
    """

    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    extrapolated: bool | None = None
    latency_ms: float | None = None
    latency_upper_ms: float | None = None
    latency_source: str | None = None
    optimism: float | None = None
    top1_on: str | None = None
    top1_loss: float | None = None


@dataclass(frozen=True)
class Measured:
    """Measurements on the device, None if unknown; for a deployment those of the sessions that gave the verdict.

    Attributes:
        latency_p50_ms: Median of single inferences, as the geometric mean over the sessions, like the next two.
        latency_p90_ms: 90th percentile of single inferences.
        latency_asked_ms: The budget's percentile of single inferences, the median if no budget names one.
        latency_p95_ms: 95th percentile of single inferences.
        init_ms: Milliseconds that loading the file took.
        first_inference_ms: Milliseconds that the first inference took.
        memory_mb: Memory of the processor at its peak, in 10⁶ bytes, beyond what was in use before the file was loaded.
        latency_asked_low_ms: Lower 95 % limit of the budget's percentile.
        latency_limit_ms: Its upper 95 % limit, which `verify` compares with the budget; between both it lies with 90 %.
        top1: Top-1 of the artifact itself on the bundle's test images, in percent.
        top1_low: Lower end of its 95 % interval (Wilson).
        top1_high: Upper end of its 95 % interval.
        test_images: Number of these images.
        ece: Expected calibration error on them in percent, in 15 bins.
        ece_unscaled: That of the same file without its temperature; None if none was asked for.
        temperature: What the logits were divided by, fitted on validation images; None if none was asked for.
        sessions: Number of the sessions, each in a fresh process.
        session_spread: Relative standard deviation of the budget's percentile between sessions.
        known_spread: What was known of the median's before these sessions, by the calibration.
        verify_probability: Estimated probability that `verify` with as many sessions passes; `held` needs 0.95.
        latency_cold_ms: Median without load, if the other latencies are those under sustained load.
    """

    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_limit_ms: float | None = None
    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    latency_asked_ms: float | None = None
    latency_cold_ms: float | None = None
    latency_p95_ms: float | None = None
    init_ms: float | None = None
    first_inference_ms: float | None = None
    memory_mb: float | None = None
    latency_asked_low_ms: float | None = None
    test_images: int | None = None
    ece: float | None = None
    ece_unscaled: float | None = None
    temperature: float | None = None
    sessions: int | None = None
    session_spread: float | None = None
    known_spread: float | None = None
    verify_probability: float | None = None


def arm_name(precision: str, threads: int | None) -> str:
    """A precision and a number of threads as text, such as ``int8, 2 threads``."""
    return precision + ("" if threads is None else f", {counted(threads, 'thread')}")


@dataclass(frozen=True)
class Arm:
    """One precision and number of threads between which was chosen; None if unknown.

    Attributes:
        precision: Number format of weights and arithmetic.
        threads: Number of threads of one inference.
        state: ``chosen``, ``measured`` (compared on the device), ``predicted`` (not measured) or ``left out``.
        why: Why it was chosen or not.
        architecture: The network that was compared.
        latency_source: Where its predicted latency comes from: ``calibration`` or ``prior``.
        predicted_ms: Its predicted median latency.
        predicted_top1: Its predicted top-1 in percent, without the loss.
        top1_loss: Points of top-1 that the precision is predicted to cost, which were taken off; None in fp32.
        measured_ms: The budget's percentile of its latency, in the session in which the arms were compared.
        measured_top1: Top-1 of its file on the bundle's test images.
        expected_top1: What it was compared by: the mean of predicted and measured top-1, each by its uncertainty.
    """

    precision: str
    threads: int | None
    state: str
    why: str
    architecture: str | None = None
    latency_source: str | None = None
    predicted_ms: float | None = None
    predicted_top1: float | None = None
    top1_loss: float | None = None
    measured_ms: float | None = None
    measured_top1: float | None = None
    expected_top1: float | None = None

    @property
    def name(self) -> str:
        """The arm as text, such as ``int8, 2 threads``."""
        return arm_name(self.precision, self.threads)


@dataclass(frozen=True)
class Artifact:
    """The exported file; every value is None if there is no file.

    Attributes:
        path: Path of the file; in a manifest relative to it.
        sha256: SHA-256 of its content.
        bytes: Its size.
    """

    path: str | None = None
    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Result:
    """One architecture with everything known about it.

    Attributes:
        architecture: Text form of the architecture.
        resolution: Input size in pixels.
        macs: Multiply-accumulates, exact.
        parameters: Trainable parameters, exact.
        predicted: See `Predicted`.
        measured: See `Measured`.
        budgets: The budgets that were asked for, which must all hold together.
        verdict: ``held``, ``missed`` or ``unverified``.
        artifact: See `Artifact`.
        device: Id of the device, or None.
        bundle: Name of the bundle.
        warnings: Things that the user should know.
        metrics: Values of the plugin metrics that the budgets limit, in their canonical units, measured if the device
            reports them; and of ``init`` and ``ram``, which are only known when they were measured.
        min_top1: The minimum top-1 in per cent that was asked for, if any.
        precision: Number format of weights and arithmetic on the device, or None.
        threads: Number of threads of one inference on the device, or None.
        arms: The precisions and numbers of threads between which was chosen; empty if there was no choice.
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
    min_top1: float | None = None
    precision: str | None = None
    threads: int | None = None
    arms: tuple[Arm, ...] = ()

    @property
    def budget(self) -> Budget | None:
        """The first budget."""
        return self.budgets[0] if self.budgets else None

    @property
    def basis(self) -> str:
        """What the answer rests on, in a few words."""
        if self.measured.latency_p50_ms is not None:
            more = self.measured.sessions or 1
            by = "a second session" if more == 1 else f"{more} more sessions"
            return f"measured on {self.device}" + (f", and confirmed by {by}" * (self.verdict == HELD))
        rests = {
            "prior": f"rests on the prior of {self.device}; nothing was measured there",
            "calibration": f"rests on the calibration of {self.device}; this network was not measured",
        }
        return rests.get(self.predicted.latency_source or "", "nothing was measured, and no latency is known")

    def to_dict(self) -> dict[str, Any]:
        """A nested dictionary, ready for JSON; every key is always present, None stands for unknown."""
        return {
            "architecture": self.architecture,
            "resolution": self.resolution,
            "macs": self.macs,
            "parameters": self.parameters,
            "predicted": asdict(self.predicted),
            "measured": asdict(self.measured),
            "budget": dict.fromkeys(Budget("latency", 1.0).to_dict()) if self.budget is None else self.budget.to_dict(),
            "budgets": [budget.to_dict() for budget in self.budgets],
            "verdict": self.verdict,
            "artifact": asdict(self.artifact),
            "device": self.device,
            "bundle": self.bundle,
            "warnings": list(self.warnings),
            "metrics": dict(self.metrics),
            "min_top1": self.min_top1,
            "precision": self.precision,
            "threads": self.threads,
            "arms": [asdict(arm) for arm in self.arms],
        }

    @property
    def percentile(self) -> float:
        """The percentile of single inferences that the first latency budget limits; 50 if there is none."""
        return next((budget.percentile for budget in self.budgets if budget.metric == LATENCY), 50.0)

    def _repr_html_(self) -> str:
        p, m = self.predicted, self.measured
        rows = {
            "verdict": self.verdict,
            "architecture": self.architecture,
            "budget": " and ".join(map(str, self.budgets)),
            "device": self.device or "",
            "predicted latency": _shown(p.latency_ms, "ms"),
            f"measured latency (p{self.percentile:g})": _shown(m.latency_asked_ms, "ms"),
            "measured latency (p50)": _shown(m.latency_p50_ms, "ms"),  # the same row if that is what was asked
            "predicted top-1": _shown(p.top1, "%"),
            "measured top-1": _shown(m.top1, "%"),
            "MACs": f"{self.macs:,}",
            "parameters": f"{self.parameters:,}",
            "file": self.artifact.path or "",
            "warnings": "; ".join(self.warnings),
        }
        cells = (f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items() if text)
        return f"<table>{''.join(cells)}</table>"

    def with_path(self, path: Path) -> Result:
        """The same result with its artifact at `path`."""
        return replace(self, artifact=replace(self.artifact, path=str(path)))


def _shown(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}"


def result_of(manifest: Mapping[str, Any]) -> Result:
    """The result in a manifest.

    Args:
        manifest: Content of the manifest, valid as `nagsdk.manifest.schema.ManifestFile`.
    """
    return Result(
        architecture=manifest["architecture"],
        resolution=manifest["resolution"],
        macs=manifest["macs"],
        parameters=manifest["parameters"],
        bundle=manifest["bundle"],
        device=manifest["device"],
        budgets=tuple(map(budget_of, manifest["budgets"])),
        predicted=_known(Predicted, manifest["predicted"]),
        measured=_known(Measured, manifest["measured"]),
        verdict=manifest["verdict"],
        artifact=Artifact(*(manifest["artifact"][name] for name in ("path", "sha256", "bytes"))),
        warnings=tuple(manifest["warnings"]),
        metrics=manifest["metrics"],
        min_top1=manifest.get("min_top1"),
        precision=manifest["precision"],
        threads=manifest["threads"],
        arms=tuple(_known(Arm, record) for record in manifest.get("arms", [])),
    )


def _known(kind: type[T], record: Mapping[str, Any]) -> T:
    # A newer version may have added keys.
    return kind(**{f.name: record[f.name] for f in fields(kind) if f.name in record})  # type: ignore[arg-type]


def budget_of(record: Mapping[str, Any]) -> Budget:
    """The budget in a manifest."""
    # Manifests of version 0.1.0 do not name the unit; a plugin's metric is then shown in its canonical unit.
    unit = (record.get("unit") or record["metric"], record.get("unit_factor") or 1.0)
    return Budget(
        record["metric"],
        record["limit"],
        record["percentile"],
        record["confidence"],
        unit,
        record.get("images"),
        record.get("images_per_second") is not None,
        record.get("sustained_s"),
    )
