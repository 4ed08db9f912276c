"""Translates budgets on metrics of plugins into the additive tables and limits that generators read.

A sum with an upper limit becomes a table like that of MACs. A maximum over layers holds a limit if every layer holds
it: choices with a layer above the limit are forbidden, and nothing else is limited. A peak combines both: its limit is
divided between the maximum and the sum. A sum with a lower limit is reversed: the difference from the largest possible
sum gets an upper limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from nagsdk.common.foreign_code import blaming
from nagsdk.cost.bounds import Completions
from nagsdk.cost.metric import HIGHER, MAXIMUM, PEAK, SUM, Metric
from nagsdk.cost.table import AdditiveTable, Floats, SpaceLayers
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, UsageError
from nagsdk.space.architecture import Architecture
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import Codes, SearchSpace

# Limit of a table in which every allowed choice costs nothing; any positive number would do.
_ANY_LIMIT = 1.0
_SAMPLED, _SHARINGS, _BEST = 10_000, 24, 10


@dataclass(frozen=True, eq=False)
class MetricLimits:
    """A metric over the architectures of a space on a device.

    Attributes:
        space: The search space.
        metric: The metric.
        device: The device for which `Metric.of_layer` is evaluated.
        values: Value of each unique layer of the space, shape (unique,).
        kept: Value of `Metric.kept_by_layer` of each unique layer, shape (unique,); zeros unless the metric is a peak.
        worth: Ranks codes, by the predicted accuracy or a substitute for it.
    """

    space: SearchSpace
    metric: Metric
    device: Device
    values: Floats
    kept: Floats
    worth: Callable[[Codes], Floats]

    @classmethod
    def of(cls, space: SearchSpace, metric: Metric, device: Device, worth: Callable[[Codes], Floats]) -> MetricLimits:
        """Evaluates the metric once for every unique layer.

        Raises:
            DeviceError: The metric raises an error, or returns an invalid cost.
        """
        layers = SpaceLayers.of(space).unique
        values = np.array([_value(metric, metric.of_layer, layer, device) for layer in layers])
        peak = metric.aggregation == PEAK
        kept = np.array([_value(metric, metric.kept_by_layer, layer, device) if peak else 0.0 for layer in layers])
        return cls(space, metric, device, values, kept, worth)

    def held(self, limit: float, resolution: int | None = None) -> tuple[AdditiveTable, float]:
        """Returns the table, and the limit on it, that represent a limit on the metric.

        Args:
            limit: Limit on the metric.
            resolution: Index of the requested resolution; any if None. It only influences how the limit of a peak is
                divided, and forbids nothing.
        """
        if self.metric.aggregation == MAXIMUM:
            return self._forbidding(limit), _ANY_LIMIT
        if self.metric.aggregation == PEAK:
            largest = self._share_of_the_largest_layer(limit, resolution)
            return self._kept_below(largest), limit - largest
        table = self._table(self.values)
        if self.metric.direction != HIGHER:
            return table, limit
        most = float((table.base + table.choice.max(2).sum(1)).max())
        return replace(table, base=most - table.base, choice=-table.choice), most - limit

    def summed(self) -> AdditiveTable:
        """Returns the metric as an additive cost.

        Raises:
            UsageError: The metric is not a sum, or higher values of it are better.
        """
        if self.metric.aggregation != SUM or self.metric.direction == HIGHER:
            raise UsageError(
                f"{self.metric.id} has no frontier: a frontier needs a metric that is a sum over layers, and of which "
                "less is better.",
                f"Ask for single budgets instead: nagsdk generate --budget 1{next(iter(self.metric.units))}.",
            )
        return self._table(self.values)

    def forbids_nothing(self, limit: float) -> bool:
        """Returns whether a limit forbids no single choice; a sum never does, because only its table is limited."""
        if self.metric.aggregation == SUM:
            return True
        return limit >= float(self.values.max()) + Completions.of(self.space, self._table(self.kept)).most

    def share(self, value: float, limit: float) -> float:
        """Returns the share of a limit that a value uses; a value up to 1 holds the limit."""
        if self.metric.direction == HIGHER:
            return limit / value if value > 0 else np.inf
        return value / limit

    def value(self, architecture: Architecture) -> float:
        """Returns the metric of an architecture."""
        return value_of(self.metric, self.space.layers(architecture), self.device)

    def nearest(self, masked: Callable[[AdditiveTable], AdditiveTable] = lambda table: table) -> float:
        """Returns the tightest limit that any architecture holds.

        Args:
            masked: Forbids, in a table, the choices that are not allowed.
        """
        if self.metric.aggregation == SUM:
            table, limit = self.held(0.0)
            least = Completions.of(self.space, masked(table)).least
            return limit - least if self.metric.direction == HIGHER else least
        largest = self._least_largest_layer(masked)
        if self.metric.aggregation == MAXIMUM:
            return largest
        return largest + Completions.of(self.space, masked(self._kept_below(largest))).least

    def _least_largest_layer(self, masked: Callable[[AdditiveTable], AdditiveTable]) -> float:
        """Returns the smallest value that the largest layer of an architecture can have."""
        candidates = np.unique(self.values)
        low, high = 0, len(candidates) - 1
        while low < high:
            middle = (low + high) // 2
            feasible = np.isfinite(
                Completions.of(self.space, masked(self._forbidding(float(candidates[middle])))).least
            )
            low, high = (low, middle) if feasible else (middle + 1, high)
        return float(candidates[low])

    @cached_property
    def _least_of_all(self) -> float:
        return self._least_largest_layer(lambda table: table)

    def _kept_below(self, largest: float) -> AdditiveTable:
        """Returns the table of `kept`, in which every choice with a layer larger than `largest` is forbidden."""
        kept, forbidding = self._table(self.kept), self._forbidding(largest)
        return replace(kept, base=kept.base + forbidding.base, choice=kept.choice + forbidding.choice)

    @lru_cache(maxsize=8)  # noqa: B019 — keeps at most 8 instances alive
    def _share_of_the_largest_layer(self, limit: float, resolution: int | None) -> float:
        """Returns the part of a peak's limit that goes to the maximum.

        Of several candidates, it takes the one for which the best of many random architectures are worth the most.
        """
        codes, worth, kept = self._ranked(resolution)
        least = self._least_of_all
        most = min(float(self.values.max()), limit - float(kept.min()))
        candidates = np.linspace(least, max(least, most), _SHARINGS)
        held = [
            (kept <= limit - largest) & np.isfinite(self._forbidding(largest).cost(codes)) for largest in candidates
        ]
        return float(candidates[int(np.argmax([worth[which][:_BEST].sum() for which in held]))])

    @lru_cache(maxsize=2)  # noqa: B019 — keeps at most 2 instances alive
    def _ranked(self, resolution: int | None) -> tuple[Codes, Floats, Floats]:
        """Returns random architectures, the best first, with their worth and the sums of their layers' `kept`."""
        codes = self.space.sample(_SAMPLED, np.random.default_rng(0))
        if resolution is not None:
            codes[:, 0] = resolution
        worth = self.worth(codes)
        codes = codes[np.argsort(-worth)]
        return codes, np.sort(worth)[::-1], self._table(self.kept).cost(codes)

    def _forbidding(self, largest: float) -> AdditiveTable:
        """Returns a table in which every choice costs nothing, or is forbidden if it has a layer above `largest`."""
        over = self._table((self.values > largest).astype(np.float64))
        base, choice = (np.where(part > 0, np.inf, 0.0) for part in (over.base, over.choice))
        return replace(over, base=base, choice=choice)

    def _table(self, values: Floats) -> AdditiveTable:
        return SpaceLayers.of(self.space).table(self.space, values)


def value_of(metric: Metric, layers: Sequence[LayerSpec], device: Device) -> float:
    """Returns the metric of a network, computed from its layers.

    Raises:
        DeviceError: The metric raises an error, or returns an invalid cost.
    """
    values = [_value(metric, metric.of_layer, layer, device) for layer in layers]
    if metric.aggregation == SUM:
        return sum(values)
    kept = (
        [_value(metric, metric.kept_by_layer, layer, device) for layer in layers] if metric.aggregation == PEAK else []
    )
    return max(values) + sum(kept)


def _value(metric: Metric, function: Callable[[LayerSpec, Device], float], layer: LayerSpec, device: Device) -> float:
    with blaming(f"The metric {metric.id} of a layer"):
        value: object = function(layer, device)
    if not isinstance(value, (int, float, np.number)) or not 0 <= float(value) < np.inf:
        raise DeviceError(
            f"The metric {metric.id} returned {value!r} for a layer.",
            "Fix its plugin: the cost of a layer must be a finite number, 0 or more.",
        )
    return float(value)
