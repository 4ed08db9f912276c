"""The content of manifest.json, for validation and for its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nagsdk.manifest.result import Measured, Predicted

# A plain name, so that no path in a manifest leads out of its folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_Positive = Annotated[float, Field(gt=0)]


class _Open(BaseModel):
    # Versions only ever add keys, so unknown keys of a newer version are allowed.
    model_config = ConfigDict(extra="allow", frozen=True)


class FileRecord(_Open):
    """A file of the deployment."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class ArtifactRecord(FileRecord):
    """The model file, or the file that the backend compiled it to."""

    path: FileName = Field(description="Path relative to the manifest.")


class BudgetRecord(_Open):
    """A budget: its limit in ms, bytes, multiply-accumulates, or the canonical unit of a plugin's metric."""

    metric: str = Field(description="latency, size, macs, or a plugin's metric.")
    limit: float = Field(gt=0)
    percentile: float
    confidence: float
    unit: str | None = Field(None, description="Unit in which the metric is shown; missing in version 0.1.0.")
    unit_factor: float | None = Field(
        None, gt=0, description="Factor from that unit to the unit of the limit; missing in version 0.1.0."
    )
    images: int | None = Field(
        None, ge=1, description="Number of images of one inference if the latency is limited per image, else null."
    )
    images_per_second: float | None = Field(
        None, gt=0, description="The limit in images per second if the budget was given so, else null."
    )
    text: str | None = Field(None, description="The budget as text, in the unit in which it was given.")


class AnyBudget(_Open):
    """The first budget; every key is null if there is none."""

    metric: str | None
    limit: float | None
    percentile: float | None
    confidence: float | None
    unit: str | None = None
    unit_factor: float | None = None
    images: int | None = None
    images_per_second: float | None = None
    text: str | None = None


class ResultArtifact(_Open):
    """The model file; every key is null if there is none."""

    path: str | None
    sha256: Sha256 | None
    bytes: int | None


class _Result(_Open):
    architecture: str = Field(max_length=2000)
    resolution: int = Field(ge=1, description="Input height and width in pixels.")
    macs: int
    parameters: int
    predicted: Predicted
    measured: Measured
    budget: AnyBudget
    budgets: list[BudgetRecord]
    metrics: dict[str, float] = Field(
        description="Values of the plugin metrics that the budgets limit, in their canonical units; measured if the "
        "device reports them."
    )
    min_top1: float | None = Field(None, description="The minimum top-1 in per cent that was asked for, if any.")
    verdict: Literal["held", "missed", "unverified"]
    device: str | None
    bundle: str
    warnings: list[str]


class ResultJson(_Result):
    """What `generate`, `predict` and `profile` print for one architecture; see docs/json.md."""

    artifact: ResultArtifact


class DeploymentJson(ResultJson):
    """What `deploy --json` and `export --json` print."""

    folder: str | None


class PreprocessingJson(_Open):
    """From pixels to inputs: resize the shorter side to resolution / crop_fraction, crop the centre, normalise.

    Normalised values are (scale · x − mean) / std.
    """

    color: Literal["RGB"]
    resize: Literal["bilinear-antialias"]
    layout: Literal["NCHW", "NHWC"]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[_Positive, _Positive, _Positive]
    crop_fraction: float = Field(gt=0, le=1)


class Probe(_Open):
    """Outputs of torch for an image made of integers: a self-test for any program that loads the model."""

    image: str = Field(
        description="How the image is made; it has the size of the input, and scale, mean and std are applied to it."
    )
    logits: list[float]


class LayerRow(_Open):
    """One layer; the physical prior distributes the latency of a block over its layers."""

    name: str
    kind: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    in_size: int
    macs: int
    predicted_ms: float | None


class Histogram(_Open):
    """Histogram of single inferences in the session that gave the verdict."""

    edges_ms: list[float]
    counts: list[int]
    slower: int = Field(description="Number of runs beyond the last edge.")


class FrontierPoints(_Open):
    """The exact frontier under the cost model: the best predicted accuracy at each cost."""

    metric: Literal["latency", "size", "macs"]
    cost: list[float]
    top1: list[float]


class ReportData(_Open):
    """Data that only report.html needs."""

    layers: list[LayerRow]
    frontier: FrontierPoints | None = Field(description="The frontier over the metric that the first budget limits.")
    frontiers: list[FrontierPoints] = Field(
        [], description="The frontiers over every metric that a budget limits, and over multiply-accumulates."
    )
    histogram: Histogram | None
    calibration: list[tuple[float, float]] = Field(
        description="Measured and predicted p50 in ms of the calibration's samples; each is predicted without itself."
    )


class RewriteRecord(_Open):
    """The rewrite of graphs that was measured to be the fastest on the device."""

    name: str
    p50_ms: dict[str, float]
    architecture: str
    date: str


class ManifestFile(_Result):
    """The content of manifest.json."""

    format: Literal[1]
    artifact: ArtifactRecord
    files: dict[FileName, FileRecord]
    created_at: str
    seed: int
    versions: dict[str, str]
    hashes: dict[str, str | None]
    bundle_version: str
    device_properties: dict[str, str]
    device_fingerprint: str
    threads: int
    batch: int
    precision: str
    rewrite: RewriteRecord | None
    timing_only: bool
    parity: float | None
    graph: dict[str, Any]
    recalibrated_on: dict[str, Any]
    preprocessing: PreprocessingJson
    probe: Probe
    report: ReportData
    compiled: ArtifactRecord | None = None
    cost_model: dict[str, Any] | None = None
    protocol: dict[str, Any] | None = None
    finetuned: dict[str, Any] | None = None
    strategy: str | None = None
    generator: dict[str, Any] | None = None
    rounds: list[dict[str, Any]] = []
