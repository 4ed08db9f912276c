"""Costs that plugins add to latency, size and MACs: told layer by layer, limited by budgets in units of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from nagsdk.architecture import LayerSpec
    from nagsdk.device.description import Device

SUM, MAXIMUM = "sum", "maximum"
LOWER, HIGHER = "lower", "higher"


class Metric(ABC):
    """A cost of an architecture on a device that follows from its layers exactly.

    Attributes:
        id: Name in results, such as ``energy``.
        title: One line.
        units: Factor of each unit to that in which `of_layer` counts, such as ``{"mJ": 1.0, "J": 1000.0}``; budgets are written in
            them, and shown in the first. Letters only; no other metric may have them.
        aggregation: How layers add up: ``sum`` or ``maximum``.
        direction: ``lower`` where a budget is an upper limit, ``higher`` where it is a lower one (sums only).
    """

    id: ClassVar[str]
    title: ClassVar[str]
    units: ClassVar[Mapping[str, float]]
    aggregation: ClassVar[str] = SUM
    direction: ClassVar[str] = LOWER

    @abstractmethod
    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """What one layer costs, whatever its name; not negative."""
