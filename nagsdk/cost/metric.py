"""The interface of metrics: costs that plugins add to latency, size and MACs, computed from the layers of a network."""

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
    """A cost of an architecture on a device that can be computed from its layers.

    Attributes:
        id: Name in results, such as ``energy``.
        title: Description of one line.
        units: Units in which budgets are written, each with its factor to the unit of `of_layer`, such as
            ``{"mJ": 1.0, "J": 1000.0}``. Budgets are shown in the first one. A unit consists of letters only and
            belongs to one metric only.
        aggregation: How the values of layers are combined: ``sum``, ``maximum``, or ``peak``, which is the maximum of
            `of_layer` plus the sum of `kept_by_layer`.
        direction: ``lower`` if a budget is an upper limit, ``higher`` if it is a lower limit (sums only).
        measured: Name of the property of bursts (`nagsdk.device.backend.Burst`) that holds the measured value, in the
            unit of `of_layer`. If the device reports it, the measured value must hold the budget, and the value
            computed from the layers is only the estimate that a deployment starts from.
        time_limits_s: Seconds that methods may take, by name, where the default limits are too short.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    units: ClassVar[Mapping[str, float]]
    aggregation: ClassVar[str] = SUM
    direction: ClassVar[str] = LOWER
    measured: ClassVar[str] = ""
    time_limits_s: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """Returns the cost of one layer, not negative; it must not depend on the layer's name."""

    def kept_by_layer(self, layer: LayerSpec, device: Device) -> float:
        """Returns the cost of one layer that lasts while other layers run, not negative; called for peaks only."""
        return 0.0
