"""What is known about a task that a user's own images define: how hard it is, and what plain networks reach on it."""

from __future__ import annotations

from pydantic import Field

from nagsdk.manifest.fields import ArchitectureText, Count, Open, Percent


class NetworkRecord(Open):
    """A network and its top-1 on the bundle's test images."""

    name: ArchitectureText
    macs: Count
    top1: Percent
    top1_low: Percent = Field(description="Lower end of the 95 % interval (Wilson).")
    top1_high: Percent = Field(description="Upper end of it.")


class GainRecord(Open):
    """Top-1 of the largest network less that of the smallest one, compared image by image."""

    points: float = Field(ge=-100, le=100)
    low: float = Field(ge=-100, le=100, description="Lower end of the 95 % interval (Agresti and Min, 2005).")
    high: float = Field(ge=-100, le=100, description="Upper end of it.")
    noise: bool = Field(description="Whether the interval contains 0.")


class TaskRecord(Open):
    """The content of a bundle's task.json, which reports of its deployments repeat."""

    images: int = Field(ge=1, le=10**6, description="Number of test images.")
    smallest: NetworkRecord
    middle: NetworkRecord = Field(description="A network of about half the multiply-accumulates in between.")
    largest: NetworkRecord
    gain: GainRecord
    plain: list[NetworkRecord] = Field(
        [], max_length=10, description="Networks that were trained alone on the same images: the middle one first."
    )
    seconds: float | None = Field(
        None, ge=0, le=1e8, description="For so long each of them was trained, as the supernet was; null for none."
    )
