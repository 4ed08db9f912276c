"""What metrics of plugins must be, checked when they are registered."""

from __future__ import annotations

from collections.abc import Iterable

from nagsdk.budget import METRICS, check_unit, metric_of
from nagsdk.cost.metric import HIGHER, LOWER, MAXIMUM, PEAK, SUM, Metric
from nagsdk.errors import BudgetError, DeviceError

_LEGAL = {"aggregation": (SUM, MAXIMUM, PEAK), "direction": (LOWER, HIGHER)}


def check_metric(metric: Metric) -> None:
    """Refuses a metric that makes no sense.

    Raises:
        DeviceError: It adds up in an unknown way, or is better where it is more although no limit can be made of that.
    """
    for name, values in _LEGAL.items():
        if getattr(metric, name) not in values:
            raise DeviceError(
                f"The metric {metric.id} has the {name} {getattr(metric, name)!r}.", f"Legal: {', '.join(values)}."
            )
    if metric.direction == HIGHER and (metric.aggregation != SUM or metric.measured):
        raise DeviceError(
            f"The metric {metric.id} should be high, but is a {metric.aggregation}{', and measured' if metric.measured else ''}.",
            "Only sums that follow from layers may have the direction higher.",
        )


def check_units(metric: Metric, others: Iterable[Metric]) -> None:
    """Refuses units in which a budget could not say which metric it limits.

    Args:
        metric: Whose units are checked.
        others: All other metrics of plugins.

    Raises:
        BudgetError: There is none, or one is no word, has an impossible factor, or belongs to another metric.
    """
    if not metric.units:
        raise BudgetError(f"The metric {metric.id} has no unit.", "Give it one, such as mJ.")
    taken = {unit.lower(): other.id for other in others for unit in other.units}
    for unit, factor in metric.units.items():
        owner = metric_of(str(unit)) or taken.get(str(unit).lower(), metric.id)
        if owner != metric.id or metric.id in METRICS:
            raise BudgetError(f"The unit {unit!r} belongs to the metric {owner}.", "Choose another unit.")
        check_unit(unit, factor)
