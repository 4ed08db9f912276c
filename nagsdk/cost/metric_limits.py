"""Budgets on metrics of plugins, as the additive tables and limits that generators read.

A sum with an upper limit is a table like that of MACs. A maximum over layers holds a limit where every layer does: choices whose layers
pass it are forbidden, and nothing else is limited. A peak is both: its limit is shared out between the sum and the maximum. A sum with a
lower limit is turned around: what is limited is how much it lacks of the most that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

# The limit of a table in which everything that is allowed costs nothing.
_ANYTHING = 1.0
_SAMPLED, _SHARINGS, _BEST = 10_000, 24, 10


@dataclass(frozen=True, eq=False)
class MetricLimits:
    """A metric over the architectures of a space on a device.

    Attributes:
        space: The space.
        metric: The metric.
        device: What `Metric.of_layer` is asked about.
        values: Of the unique layers of the space, shape (unique,).
        kept: What they cost all the time, likewise; zeros unless the metric is a peak.
        worth: Ranks codes: predicted accuracy, or what stands for it.
    """

    space: SearchSpace
    metric: Metric
    device: Device
    values: Floats
    kept: Floats
    worth: Callable[[Codes], Floats]

    @classmethod
    def of(cls, space: SearchSpace, metric: Metric, device: Device, worth: Callable[[Codes], Floats]) -> MetricLimits:
        """Asks the metric about every layer once.

        Raises:
            DeviceError: It fails, or answers what is no cost.
        """
        layers = SpaceLayers.of(space).unique
        values = np.array([_value(metric, metric.of_layer, layer, device) for layer in layers])
        peak = metric.aggregation == PEAK
        kept = np.array([_value(metric, metric.kept_by_layer, layer, device) if peak else 0.0 for layer in layers])
        return cls(space, metric, device, values, kept, worth)

    def held(self, limit: float, resolution: int | None = None) -> tuple[AdditiveTable, float]:
        """The table, and the limit on it, that stand for a limit on the metric.

        Args:
            limit: On the metric.
            resolution: Index of the one that is wanted; any where None. It says how a peak's limit is shared out, and masks nothing.
        """
        if self.metric.aggregation == MAXIMUM:
            return self._forbidding(limit), _ANYTHING
        if self.metric.aggregation == PEAK:
            largest = self._share_of_the_largest_layer(limit, resolution)
            return self._kept_below(largest), limit - largest
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
        if self.metric.aggregation != SUM or self.metric.direction == HIGHER:
            raise UsageError(
                f"{self.metric.id} has no frontier: only what layers add up to and what is better where it is less has one.",
                f"Ask for single budgets: nagsdk generate --budget 1{next(iter(self.metric.units))}.",
            )
        return self._table(self.values)

    def forbids_nothing(self, limit: float) -> bool:
        """Whether no choice is lost to a limit on single layers; what a sum limits, its table tells."""
        if self.metric.aggregation == SUM:
            return True
        return limit >= float(self.values.max()) + Completions.of(self.space, self._table(self.kept)).most

    def share(self, value: float, limit: float) -> float:
        """How much of a limit is used; 1 and less holds it."""
        if self.metric.direction == HIGHER:
            return limit / value if value > 0 else np.inf
        return value / limit

    def value(self, architecture: Architecture) -> float:
        """The metric of an architecture."""
        return value_of(self.metric, self.space.layers(architecture), self.device)

    def nearest(self, masked: Callable[[AdditiveTable], AdditiveTable] = lambda table: table) -> float:
        """The tightest limit that any architecture holds.

        Args:
            masked: Forbids what is not to be had.
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
        """The largest layer of the architecture whose largest layer is the smallest."""
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
        """What layers keep, where none is larger than that."""
        kept, forbidding = self._table(self.kept), self._forbidding(largest)
        return AdditiveTable(kept.base + forbidding.base, kept.choice + forbidding.choice)

    @lru_cache(maxsize=8)  # noqa: B019 — lives as long as what asks
    def _share_of_the_largest_layer(self, limit: float, resolution: int | None) -> float:
        """What of a peak's limit goes to the maximum: that with which the best of many random architectures are best."""
        codes, worth, kept = self._ranked(resolution)
        least = self._least_of_all
        most = min(float(self.values.max()), limit - float(kept.min()))
        candidates = np.linspace(least, max(least, most), _SHARINGS)
        held = [
            (kept <= limit - largest) & np.isfinite(self._forbidding(largest).cost(codes)) for largest in candidates
        ]
        return float(candidates[int(np.argmax([worth[which][:_BEST].sum() for which in held]))])

    @lru_cache(maxsize=2)  # noqa: B019 — lives as long as what asks
    def _ranked(self, resolution: int | None) -> tuple[Codes, Floats, Floats]:
        """Random architectures, the best first, what they are worth, and the sum of what their layers keep."""
        codes = self.space.sample(_SAMPLED, np.random.default_rng(0))
        if resolution is not None:
            codes[:, 0] = resolution
        worth = self.worth(codes)
        codes = codes[np.argsort(-worth)]
        return codes, np.sort(worth)[::-1], self._table(self.kept).cost(codes)

    def _forbidding(self, largest: float) -> AdditiveTable:
        """A table in which nothing costs anything, but every choice with a larger layer is forbidden."""
        over = self._table((self.values > largest).astype(np.float64))
        return AdditiveTable(*(np.where(part > 0, np.inf, 0.0) for part in (over.base, over.choice)))

    def _table(self, values: Floats) -> AdditiveTable:
        sums = SpaceLayers.of(self.space).sums(values[:, None])[..., 0]
        shape = (len(self.space.resolutions), len(self.space.decisions), -1)
        return AdditiveTable(sums[:, -1], sums[:, :-1].reshape(shape))


def value_of(metric: Metric, layers: Sequence[LayerSpec], device: Device) -> float:
    """The metric of a network, by its layers.

    Raises:
        DeviceError: The metric fails, or answers what is no cost.
    """
    values = [_value(metric, metric.of_layer, layer, device) for layer in layers]
    if metric.aggregation == SUM:
        return sum(values)
    kept = (
        [_value(metric, metric.kept_by_layer, layer, device) for layer in layers] if metric.aggregation == PEAK else []
    )
    return max(values) + sum(kept)


def _value(metric: Metric, question: Callable[[LayerSpec, Device], float], layer: LayerSpec, device: Device) -> float:
    with blaming(f"The metric {metric.id} of a layer"):
        told: object = question(layer, device)
    if not isinstance(told, (int, float, np.number)) or not 0 <= float(told) < np.inf:
        raise DeviceError(
            f"The metric {metric.id} says {told!r} of a layer.",
            "Mend its plugin: a layer costs a finite number, 0 or more.",
        )
    return float(told)
