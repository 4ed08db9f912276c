"""Budgets on metrics of plugins, as the additive tables and limits that generators read.

A sum with an upper limit is a table like that of MACs. A maximum over layers holds a limit where every layer does: choices whose layers
pass it are forbidden, and nothing else is limited. A sum with a lower limit is turned around: what is limited is how much it lacks
of the most that there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nagsdk.architecture import Architecture, LayerSpec
from nagsdk.cost.table import AdditiveTable, Floats, SpaceLayers
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, UsageError
from nagsdk.generator.completions import Completions
from nagsdk.isolation import blaming
from nagsdk.metric import HIGHER, MAXIMUM, Metric
from nagsdk.space.base import SearchSpace

# The limit of a table in which everything that is allowed costs nothing.
_ANYTHING = 1.0


@dataclass(frozen=True)
class MetricLimits:
    """A metric over the architectures of a space on a device.

    Attributes:
        space: The space.
        metric: The metric.
        device: What `Metric.of_layer` is asked about.
        values: Of the unique layers of the space, shape (unique,).
    """

    space: SearchSpace
    metric: Metric
    device: Device
    values: Floats

    @classmethod
    def of(cls, space: SearchSpace, metric: Metric, device: Device) -> MetricLimits:
        """Asks the metric about every layer once.

        Raises:
            DeviceError: It fails, or answers what is no cost.
        """
        layers = SpaceLayers.of(space).unique
        values = np.array([_value(metric, layer, device) for layer in layers])
        return cls(space, metric, device, values)

    def held(self, limit: float) -> tuple[AdditiveTable, float]:
        """The table, and the limit on it, that stand for a limit on the metric."""
        if self.metric.aggregation == MAXIMUM:
            over = self._table((self.values > limit).astype(np.float64))
            forbidden = [np.where(part > 0, np.inf, 0.0) for part in (over.base, over.choice)]
            return AdditiveTable(*forbidden), _ANYTHING
        table = self._table(self.values)
        if self.metric.direction != HIGHER:
            return table, limit
        most = float((table.base + table.choice.max(2).sum(1)).max())
        return AdditiveTable(most - table.base, -table.choice), most - limit

    def summed(self) -> AdditiveTable:
        """The metric as an additive cost.

        Raises:
            UsageError: It is no sum, or more of it is better.
        """
        if self.metric.aggregation == MAXIMUM or self.metric.direction == HIGHER:
            raise UsageError(
                f"{self.metric.id} has no frontier: only what layers add up to and what is better where it is less has one.",
                f"Ask for single budgets: nagsdk generate --budget 1{next(iter(self.metric.units))}.",
            )
        return self._table(self.values)

    def share(self, architecture: Architecture, limit: float) -> float:
        """How much of a limit an architecture uses; 1 and less holds it."""
        value = self.value(architecture)
        if self.metric.direction == HIGHER:
            return limit / value if value > 0 else np.inf
        return value / limit

    def value(self, architecture: Architecture) -> float:
        """The metric of an architecture."""
        values = [_value(self.metric, layer, self.device) for layer in self.space.layers(architecture)]
        return float(max(values) if self.metric.aggregation == MAXIMUM else sum(values))

    def nearest(self) -> float:
        """The tightest limit that any architecture holds."""
        if self.metric.aggregation != MAXIMUM:
            table, limit = self.held(0.0)
            least = Completions.of(self.space, table).least
            return limit - least if self.metric.direction == HIGHER else least
        candidates = np.unique(self.values)
        low, high = 0, len(candidates) - 1
        while low < high:
            middle = (low + high) // 2
            feasible = np.isfinite(Completions.of(self.space, self.held(float(candidates[middle]))[0]).least)
            low, high = (low, middle) if feasible else (middle + 1, high)
        return float(candidates[low])

    def _table(self, values: Floats) -> AdditiveTable:
        sums = SpaceLayers.of(self.space).sums(values[:, None])[..., 0]
        shape = (len(self.space.resolutions), len(self.space.decisions), -1)
        return AdditiveTable(sums[:, -1], sums[:, :-1].reshape(shape))


def _value(metric: Metric, layer: LayerSpec, device: Device) -> float:
    with blaming(f"The metric {metric.id} of a layer"):
        told: object = metric.of_layer(layer, device)
    if not isinstance(told, (int, float, np.number)) or not 0 <= float(told) < np.inf:
        raise DeviceError(f"The metric {metric.id} says {told!r} of a layer.", "Mend its plugin: a layer costs a finite number, 0 or more.")
    return float(told)
