"""The data in manifest.json that only report.html needs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from nagsdk.manifest.fields import Cost, Count, Factor, Latency, Milliseconds, Name, Number, Open, Percent, Text
from nagsdk.manifest.task_schema import TaskRecord


class LayerRow(Open):
    """One layer; the physical prior distributes the latency of a block over its layers."""

    name: Name
    kind: Name
    in_channels: int = Field(ge=1, le=10**6)
    out_channels: int = Field(ge=1, le=10**6)
    kernel: int = Field(ge=1, le=1000)
    stride: int = Field(ge=1, le=1000)
    in_size: int = Field(ge=1, le=4096)
    macs: Count
    predicted_ms: Milliseconds | None


class Histogram(Open):
    """Histogram of single inferences in the session that gave the verdict."""

    edges_ms: list[Milliseconds] = Field(min_length=2, max_length=1001)
    counts: list[Count] = Field(min_length=1, max_length=1000)
    slower: Count = Field(description="Number of runs beyond the last edge.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        edges = self.edges_ms
        if len(edges) != len(self.counts) + 1 or not any(self.counts):
            raise ValueError("it must have one edge more than counts, and a count that is not 0")
        if edges != sorted(edges) or edges[-1] - edges[0] < 1e-9:
            raise ValueError("the edges must increase")
        return self


class FrontierPoints(Open):
    """The exact frontier under the cost model: the best predicted accuracy at each cost."""

    metric: Literal["latency", "size", "macs"]
    cost: list[Cost] = Field(min_length=1, max_length=10_000)
    top1: list[Percent] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.cost) != len(self.top1):
            raise ValueError("cost and top1 must have the same length")
        return self


class Bill(Open):
    """Measured times of layers, by a profiler of the runtime, which makes an inference slower."""

    layers: dict[Name, Milliseconds] = Field(
        max_length=5000, description="Milliseconds by layer; one that was fused into another has none."
    )
    other_ms: Milliseconds = Field(description="Time that belongs to no layer, such as changes of the layout.")
    total_ms: Milliseconds = Field(description="Sum over all operators.")
    note: Text = Field(description="Why nothing was measured or matched; empty otherwise.")


class WorthOfMore(Open):
    """What a little more latency would buy at the deployment's point of the frontier."""

    more_ms: Annotated[float, Field(gt=0, le=1e9)]
    top1: float = Field(ge=-100, le=100, description="Points of predicted top-1.")


class TwoStates(Open):
    """The model of a cold and a hot state that was fitted to the latencies under load."""

    cold: Latency
    hot: Latency
    low: Milliseconds = Field(description="Lower end of the range of `hot`.")
    high: Milliseconds = Field(description="Upper end of that range.")
    switch_s: float = Field(ge=0, le=1e6, description="Seconds after which the speed began to change.")
    tau_s: float = Field(gt=0, le=1e6, description="Time constant of the change.")


class SustainedRecord(Open):
    """The speed of the device under sustained load."""

    seconds: list[Annotated[float, Field(ge=0, le=1e6)]] = Field(min_length=1, max_length=20_000)
    ms: list[Latency] = Field(min_length=1, max_length=20_000)
    temperature_c: list[Number | None] = Field(max_length=20_000)
    frequency_mhz: list[Number | None] = Field(max_length=20_000)
    longest_s: float = Field(gt=0, le=1e6)
    settled: bool = Field(description="Whether the load ended early, because nothing changed any more.")
    slowdown: Factor
    frequency_cap: float = Field(gt=0, le=1, description="Share of its frequency that the device allows for good.")
    model: TwoStates | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if {len(self.ms), len(self.temperature_c), len(self.frequency_mhz)} != {len(self.seconds)}:
            raise ValueError("seconds, ms, temperature_c and frequency_mhz must have the same length")
        if self.seconds != sorted(self.seconds):
            raise ValueError("the seconds must increase")
        return self


class EnergyRecord(Open):
    """The energy of an inference."""

    energy_mj: Cost = Field(description="Millijoules, without what the idle device uses; budgets limit this.")
    gross_mj: Cost = Field(description="Millijoules with what the idle device uses.")
    idle_w: Cost = Field(description="Power of the idle device in watts.")
    load_w: Cost = Field(description="Power under continuous load in watts.")
    latency_ms: Milliseconds = Field(description="Mean latency under that load.")
    seconds: Cost = Field(description="Time for which the load was metered.")


class ReportData(Open):
    """Data that only report.html needs."""

    layers: list[LayerRow] = Field(min_length=1, max_length=5000)
    frontier: FrontierPoints | None = Field(description="The frontier over the metric that the first budget limits.")
    frontiers: list[FrontierPoints] = Field(
        [],
        max_length=10,
        description="The frontiers over every metric that a budget limits, and over multiply-accumulates.",
    )
    histogram: Histogram | None
    bill: Bill | None = Field(None, description="Missing in manifests of earlier versions.")
    worth_of_more: WorthOfMore | None = None
    energy: EnergyRecord | None = Field(None, description="Null if no budget is about energy.")
    task: TaskRecord | None = Field(
        None, description="What is known about the bundle's task; null if it was not trained on a user's images."
    )
    sustained: SustainedRecord | None = Field(None, description="Null if no budget is about sustained load.")
    calibration: list[Annotated[list[Latency], Field(min_length=2, max_length=2)]] = Field(
        max_length=10_000,
        description="Measured and predicted p50 in ms of the calibration's samples; each is predicted without itself.",
    )
