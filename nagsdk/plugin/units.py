"""Budgets in the units of plugins' metrics."""

from __future__ import annotations

from nagsdk.budget import DEFAULT_CONFIDENCE, ENERGY_UNITS, Budget
from nagsdk.errors import UnknownUnitError
from nagsdk.plugin.host import host


def read_budget(text: str, confidence: float = DEFAULT_CONFIDENCE) -> Budget:
    """Reads a budget, also in the units of the metrics of plugins.

    Plugins are loaded only if nagsdk itself does not know the unit, since that takes time. Energy is measured, unless a
    plugin has a metric in these units.

    Args:
        text: The budget, such as ``80ms``.
        confidence: How sure the cost model must be that a latency holds the budget.

    Raises:
        BudgetError: See `Budget.parse`.
    """
    try:
        return Budget.parse(text, confidence)
    except UnknownUnitError:
        loaded = host()
    own = {} if loaded.missing else ENERGY_UNITS  # the plugin that is missing may have the unit
    taken = {unit.lower() for of in loaded.units.values() for unit in of}
    free = {metric: {u: f for u, f in of.items() if u.lower() not in taken} for metric, of in own.items()}
    try:
        return Budget.parse(text, confidence, {**loaded.units, **free})
    except UnknownUnitError as error:
        raise UnknownUnitError(error.message, f"{error.next_step} {loaded.missing}".rstrip()) from error
