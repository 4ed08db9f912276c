"""Checks the metrics of plugins when they are registered."""

from __future__ import annotations

from collections.abc import Iterable

from nagsdk.budget import MEASURED, METRICS, check_unit, metric_of
from nagsdk.cost.metric import HIGHER, LOWER, MAXIMUM, PEAK, SUM, Metric
from nagsdk.errors import BudgetError, DeviceError

_LEGAL = {"aggregation": (SUM, MAXIMUM, PEAK), "direction": (LOWER, HIGHER)}


def check_metric(metric: Metric) -> None:
    """Raises an error if a metric is not valid.

    Raises:
        DeviceError: Its aggregation or direction is unknown, or its direction is higher although it is not a sum that
            follows from the layers.
    """
    for name, values in _LEGAL.items():
        if getattr(metric, name) not in values:
            raise DeviceError(
                f"The metric {metric.id} has the invalid {name} {getattr(metric, name)!r}.",
                f"Valid: {', '.join(values)}.",
            )
    if metric.direction == HIGHER and (metric.aggregation != SUM or metric.measured):
        measured = " and measured" if metric.measured else ""
        raise DeviceError(
            f"The metric {metric.id} has the direction {HIGHER}, but is a {metric.aggregation}{measured}.",
            f"Only sums over layers that are not measured may have the direction {HIGHER}.",
        )


def check_units(metric: Metric, others: Iterable[Metric]) -> None:
    """Raises an error if the units of a metric are ambiguous or not valid.

    Args:
        metric: The metric whose units are checked.
        others: All other metrics of plugins.

    Raises:
        BudgetError: It has no unit, or a unit is not a word, has an impossible factor, or belongs to another metric.
    """
    if not metric.units:
        raise BudgetError(f"The metric {metric.id} has no unit.", "Give it one, such as mJ.")
    taken = {unit.lower(): other.id for other in others for unit in other.units}
    for unit, factor in metric.units.items():
        owner = metric_of(str(unit)) or taken.get(str(unit).lower(), metric.id)
        if owner != metric.id or metric.id in (*METRICS, *MEASURED):
            raise BudgetError(f"The unit {unit!r} belongs to the metric {owner}.", "Choose another unit.")
        check_unit(unit, factor)
