"""Costs that plugins add to latency, size and MACs: told layer by layer, limited by budgets in units of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from nagsdk.device.description import Device
    from nagsdk.space.layer import LayerSpec

SUM, MAXIMUM, PEAK = "sum", "maximum", "peak"
LOWER, HIGHER = "lower", "higher"


class Metric(ABC):
    """A cost of an architecture on a device that follows from its layers.

    Attributes:
        id: Name in results, such as ``energy``.
        title: One line.
        units: Factor of each unit to that in which `of_layer` counts, such as ``{"mJ": 1.0, "J": 1000.0}``; budgets are written in
            them, and shown in the first. Letters only; no other metric may have them.
        aggregation: How layers add up: ``sum``, ``maximum``, or ``peak``: the maximum of `of_layer`, above the sum of `kept_by_layer`.
        direction: ``lower`` where a budget is an upper limit, ``higher`` where it is a lower one (sums only).
        measured: Name of the property of bursts (`nagsdk.device.backend.Burst`) that tells it, in the unit in which `of_layer` counts.
            Where a device tells it, a deployment holds what was measured; what layers say is the estimate that it begins with.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    units: ClassVar[Mapping[str, float]]
    aggregation: ClassVar[str] = SUM
    direction: ClassVar[str] = LOWER
    measured: ClassVar[str] = ""

    @abstractmethod
    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """What one layer costs, whatever its name; not negative."""

    def kept_by_layer(self, layer: LayerSpec, device: Device) -> float:
        """What one layer costs all the time, also while others run; not negative. Asked for peaks only."""
        return 0.0
