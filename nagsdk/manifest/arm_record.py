"""The record of an arm in a manifest.json: one precision and number of threads between which was chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nagsdk.manifest.fields import ArchitectureText, Milliseconds, Name, Open, Percent, Text


class ArmRecord(Open):
    """A precision and number of threads between which was chosen; null if unknown."""

    precision: Name
    threads: int | None = Field(ge=1, le=1024)
    state: Literal["chosen", "measured", "predicted", "left out"]
    why: Text = Field(description="Why it was chosen or not.")
    architecture: ArchitectureText | None = Field(description="The network that was compared.")
    latency_source: Name | None = Field(description="Where the predicted latency comes from: calibration or prior.")
    predicted_ms: Milliseconds | None = Field(description="Predicted median latency.")
    predicted_top1: Percent | None = Field(description="Predicted top-1 in per cent, without the loss.")
    top1_loss: float | None = Field(
        description="Points of top-1 that the precision is predicted to cost, taken off; null in fp32."
    )
    measured_ms: Milliseconds | None = Field(
        description="The budget's percentile of the latency, in the session in which the arms were compared."
    )
    measured_top1: Percent | None = Field(description="Top-1 of the file on the bundle's test images.")
    expected_top1: Percent | None = Field(
        description="What it was compared by: the mean of predicted and measured top-1, by their uncertainties."
    )
