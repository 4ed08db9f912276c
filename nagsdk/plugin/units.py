"""Budgets in the units of plugins' metrics."""

from __future__ import annotations

from nagsdk.budget import DEFAULT_CONFIDENCE, Budget
from nagsdk.errors import UnknownUnitError
from nagsdk.plugin.host import host


def read_budget(text: str, confidence: float = DEFAULT_CONFIDENCE) -> Budget:
    """Reads a budget; plugins, whose metrics have units of their own, are loaded only for units that nagsdk itself does not know.

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
