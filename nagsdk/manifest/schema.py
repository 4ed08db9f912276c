"""The content of manifest.json, for validation and for its JSON Schema."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from nagsdk.manifest.arm_record import ArmRecord
from nagsdk.manifest.fields import ArchitectureText, FileName, Moment, Sha256, Text
from nagsdk.manifest.fields import Cost as _Cost
from nagsdk.manifest.fields import Count as _Count
from nagsdk.manifest.fields import Deviations as _Deviations
from nagsdk.manifest.fields import Factor as _Factor
from nagsdk.manifest.fields import Latency as _Latency
from nagsdk.manifest.fields import Milliseconds as _Milliseconds
from nagsdk.manifest.fields import Name as _Name
from nagsdk.manifest.fields import Number as _Number
from nagsdk.manifest.fields import Open as _Open
from nagsdk.manifest.fields import Percent as _Percent
from nagsdk.manifest.fields import Share as _Share
from nagsdk.manifest.fields import Size as _Size
from nagsdk.manifest.fields import Texts as _Texts
from nagsdk.manifest.fields import Triple as _Triple
from nagsdk.manifest.numbers import NumbersRecord
from nagsdk.manifest.report_schema import Bill, ReportData, WorthOfMore


class Predicted(_Open):
    """Predictions of the models; null if unknown."""

    top1: _Percent | None = Field(description="Predicted top-1 in per cent.")
    top1_low: _Percent | None = Field(description="Lower end of its 90 % interval.")
    top1_high: _Percent | None = Field(description="Upper end of its 90 % interval.")
    extrapolated: bool | None = Field(
        description="Whether the architecture lies outside the range that the accuracy predictor was fitted on."
    )
    latency_ms: _Milliseconds | None = Field(description="Predicted median latency.")
    latency_upper_ms: _Milliseconds | None = Field(
        description="Upper bound of the budget's percentile at the budget's confidence."
    )
    top1_loss: float | None = Field(
        None, description="Points of top-1 that the precision is predicted to cost, taken off; null in fp32."
    )
    latency_source: _Name | None = Field(
        None, description="Where the latency comes from: prior (not measured on this device) or calibration."
    )
    optimism: _Percent | None = Field(
        None, description="Points that top-1 was lowered by, because the architecture was chosen for it."
    )
    top1_on: str | None = Field(None, description="The images that top-1 is about; null if the bundle does not say.")


class Measured(_Open):
    """Measurements on the device; null if unknown."""

    latency_p50_ms: _Milliseconds | None = Field(description="Median of single inferences.")
    latency_p90_ms: _Milliseconds | None = Field(description="90th percentile of single inferences.")
    latency_limit_ms: _Milliseconds | None = Field(
        description="Upper 95 % limit of the budget's percentile, which `verify` compares with the budget."
    )
    top1: _Percent | None = Field(description="Top-1 of the artifact on the bundle's test images, in per cent.")
    top1_low: _Percent | None = Field(description="Lower end of its 95 % interval (Wilson).")
    top1_high: _Percent | None = Field(description="Upper end of its 95 % interval.")
    latency_asked_ms: _Milliseconds | None = Field(
        None, description="The budget's percentile of single inferences, the median if no budget names one."
    )
    latency_cold_ms: _Milliseconds | None = Field(
        None, description="Median without load, if the other latencies are those under sustained load."
    )
    latency_p95_ms: _Milliseconds | None = Field(None, description="95th percentile of single inferences.")
    init_ms: _Milliseconds | None = Field(None, description="Time that loading the file took.")
    first_inference_ms: _Milliseconds | None = Field(None, description="Time of the first inference.")
    memory_mb: _Cost | None = Field(
        None, description="Peak memory of the processor in 10⁶ bytes, beyond what was in use before loading."
    )
    latency_asked_low_ms: _Milliseconds | None = Field(
        None, description="Lower 95 % limit of the budget's percentile; between both limits it lies with 90 %."
    )
    test_images: _Count | None = Field(None, description="Number of these test images.")
    ece: _Percent | None = Field(None, description="Expected calibration error on them in per cent, in 15 bins.")
    ece_unscaled: _Percent | None = Field(None, description="That without the temperature; null if there is none.")
    temperature: _Factor | None = Field(None, description="What the logits were divided by; null if nothing was.")
    sessions: int | None = Field(None, ge=1, le=16, description="Number of sessions that the figures rest on.")
    session_spread: _Share | None = Field(
        None, description="Relative standard deviation of the budget's percentile between sessions."
    )
    known_spread: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Relative standard deviation of the median between sessions, as it was known before."
    )
    verify_probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Estimated probability that `verify` passes; `held` needs 0.95. Null if nothing was judged."
    )


class FileRecord(_Open):
    """A file of the deployment."""

    sha256: Sha256
    bytes: _Size


class ArtifactRecord(FileRecord):
    """The model file, or the file that the backend compiled it to."""

    path: FileName = Field(description="Path relative to the manifest.")


class BudgetRecord(_Open):
    """A budget: its limit in ms, bytes, multiply-accumulates, or the canonical unit of a plugin's metric."""

    metric: _Name = Field(description="latency, size, macs, init, ram, or a plugin's metric.")
    limit: _Factor
    percentile: float = Field(ge=1, le=99)
    confidence: float = Field(ge=0.5, lt=1)
    unit: str | None = Field(
        None,
        pattern="^[a-zA-Zµμ/]{1,40}$",
        description="Unit in which the metric is shown; missing in version 0.1.0.",
    )
    unit_factor: _Factor | None = Field(
        None, description="Factor from that unit to the unit of the limit; missing in version 0.1.0."
    )
    images: int | None = Field(
        None, ge=1, description="Number of images of one inference if the latency is limited per image, else null."
    )
    images_per_second: float | None = Field(
        None, gt=0, description="The limit in images per second if the budget was given so, else null."
    )
    sustained_s: float | None = Field(
        None,
        ge=10,
        le=3600,
        description="Longest seconds of load before the latency is measured if a sustained one is limited, else null.",
    )
    text: str | None = Field(None, description="The budget as text, in the unit in which it was given.")


class AnyBudget(_Open):
    """The first budget; every key is null if there is none."""

    metric: _Name | None
    limit: _Factor | None
    percentile: float | None
    confidence: float | None
    unit: _Name | None = None
    unit_factor: _Factor | None = None
    images: int | None = Field(None, ge=1, le=4096)
    images_per_second: float | None = Field(None, gt=0)
    sustained_s: float | None = Field(None, ge=10, le=3600)
    text: Text | None = None


class ResultArtifact(_Open):
    """The model file; every key is null if there is none."""

    path: str | None
    sha256: Sha256 | None
    bytes: _Size | None


class _Result(_Open):
    architecture: ArchitectureText
    resolution: int = Field(ge=1, le=4096, description="Input height and width in pixels.")
    macs: _Count
    parameters: _Count
    predicted: Predicted
    measured: Measured
    budget: AnyBudget
    budgets: list[BudgetRecord] = Field(max_length=100)
    metrics: dict[_Name, _Number] = Field(
        max_length=100,
        description="Values of the plugin metrics that the budgets limit, in their canonical units, measured if the "
        "device reports them; and of init (ms) and ram (10⁶ bytes) where they were measured.",
    )
    min_top1: _Percent | None = Field(None, description="The minimum top-1 in per cent that was asked for, if any.")
    verdict: Literal["held", "missed", "unverified"]
    device: _Name | None
    bundle: _Name
    warnings: list[Text] = Field(max_length=1000)
    precision: _Name | None = Field(None, description="Number format of weights and arithmetic; null without a device.")
    threads: int | None = Field(
        None, ge=1, le=1024, description="Number of threads of one inference; null without a device."
    )
    arms: list[ArmRecord] = Field(
        [],
        max_length=100,
        description="Precisions and numbers of threads between which was chosen; empty if there was no choice.",
    )


class ResultJson(_Result):
    """What `generate`, `predict` and `profile` print for one architecture; see docs/json.md."""

    artifact: ResultArtifact


class DeploymentJson(ResultJson):
    """What `deploy --json` and `export --json` print."""

    folder: str | None
    bill: Bill | None = Field(None, description="Measured times of the layers; null if nothing was deployed.")
    worth_of_more: WorthOfMore | None = None
    finetuned: dict[str, Any] | None = Field(None, description="Fine-tuning and its gain; null without it.")


class PreprocessingJson(_Open):
    """From pixels to inputs: resize the shorter side to resolution / crop_fraction, crop the centre, normalise.

    Normalised values are (scale · x − mean) / std.
    """

    color: Literal["RGB"]
    resize: Literal["bilinear-antialias"]
    layout: Literal["NCHW", "NHWC"]
    scale: _Number
    mean: _Triple
    std: _Deviations
    crop_fraction: float = Field(ge=0.05, le=1)


class Probe(_Open):
    """Outputs of torch (for int8: of the simulation) for a given image: a self-test for programs that load it."""

    image: Text = Field(
        description="How the image is made; it has the size of the input, and scale, mean and std are applied to it."
    )
    logits: list[_Number] = Field(min_length=1, max_length=100_000)


class RoundRecord(_Open):
    """One round of the deploy loop: a candidate that was measured."""

    architecture: ArchitectureText
    verdict: Literal["held", "missed", "unverified"]
    predicted_latency_ms: _Latency | None
    first_session_p50_ms: _Latency
    second_session_p50_ms: _Latency | None
    confirming_p50_ms: list[_Latency] = Field(
        [], max_length=1000, description="Medians of the sessions that the verdict rests on."
    )


class Recalibration(_Open):
    """The images that batch normalisation was recalibrated on."""

    images: _Count
    source: Text


class IntegersRecord(_Open):
    """A file of integers, compared with the float32 network that it was made from."""

    weight_bits: Literal[7, 8]
    images: _Count = Field(description="Number of images that ranges were taken from; 0 for timing only.")
    error: float = Field(ge=0, description="Norm of the difference to torch's logits, as a share of their norm.")
    float_top1: _Percent | None = Field(description="Top-1 of the float32 network on the bundle's test images.")
    agreement: _Percent | None = Field(description="Share of these images for which both name the same class.")
    input: NumbersRecord | None = Field(None, description="Null in older manifests: float32.")
    output: NumbersRecord | None = Field(None, description="Null in older manifests: float32.")


class RewriteRecord(_Open):
    """The rewrite of graphs that was measured to be the fastest on the device."""

    name: _Name
    p50_ms: dict[_Name, _Milliseconds] = Field(max_length=100)
    architecture: ArchitectureText
    date: _Name


class ManifestFile(_Result):
    """The content of manifest.json."""

    format: Literal[1]
    artifact: ArtifactRecord
    files: dict[FileName, FileRecord] = Field(max_length=1000)
    created_at: Moment
    seed: int = Field(ge=0, lt=2**64)
    versions: dict[Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")], Text] = Field(max_length=500)
    hashes: dict[_Name, Text | None] = Field(max_length=500)
    bundle_version: Text
    device_properties: _Texts
    device_fingerprint: Text
    threads: int = Field(ge=1, le=1024)
    batch: int = Field(ge=1, le=4096)
    precision: _Name
    rewrite: RewriteRecord | None
    timing_only: bool
    parity: float | None = Field(ge=0)
    integers: IntegersRecord | None = Field(None, description="Null for a file that is not of integers.")
    graph: dict[str, Any]
    recalibrated_on: Recalibration
    preprocessing: PreprocessingJson
    probe: Probe
    report: ReportData
    compiled: ArtifactRecord | None = None
    cost_model: dict[str, Any] | None = None
    protocol: dict[str, Any] | None = None
    finetuned: dict[str, Any] | None = None
    strategy: _Name | None = None
    generator: dict[str, Any] | None = None
    rounds: list[RoundRecord] = Field([], max_length=1000)


def check_manifest(content: object) -> None:
    """Raises an error if a value is not the content of a manifest.json.

    Raises:
        ValueError: It is not; pydantic's error says where.
    """
    # As JSON, since there a list may be a tuple, but a text is no number.
    ManifestFile.model_validate_json(json.dumps(content, allow_nan=False))
