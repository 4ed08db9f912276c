"""Budgets in the units of plugins' metrics."""

from __future__ import annotations

from nagsdk.budget import DEFAULT_CONFIDENCE, Budget
from nagsdk.errors import UnknownUnitError
from nagsdk.plugin.host import host


def read_budget(text: str, confidence: float = DEFAULT_CONFIDENCE) -> Budget:
    """Reads a budget, also in the units of the metrics of plugins.

    Plugins are loaded only if nagsdk itself does not know the unit, since that takes time.

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
    try:
        return Budget.parse(text, confidence, loaded.units)
    except UnknownUnitError as error:
        raise UnknownUnitError(error.message, f"{error.next_step} {loaded.missing}".rstrip()) from error
