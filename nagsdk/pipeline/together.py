"""Budgets that can be held one by one but not together: which value each alone would need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nagsdk.budget import Budget
from nagsdk.errors import InfeasibleError
from nagsdk.generator.strategy import Question

# Easing one budget by more than this is no advice; values are found to half a per cent.
_MOST, _WITHIN = 64.0, 1.005
Ask = Callable[[Sequence[Budget]], Question]
Ease = Callable[[Budget, float], Budget]


def require_together(budgets: Sequence[Budget], ask: Ask, ease: Ease) -> None:
    """Raises an error if no architecture was found that holds all budgets.

    Args:
        budgets: The budgets, each of which can be held.
        ask: Makes the question of one set of budgets.
        ease: Makes a budget easier to hold, by a factor.

    Raises:
        InfeasibleError: They do not hold together; the message names, for each budget that helps, the tightest value
            with which the others can stay as they are.
    """
    question = ask(budgets)
    try:
        _ = question.reserves
    except InfeasibleError as error:
        values = [value for number in range(len(budgets)) if (value := _tightest(budgets, number, ask, ease))]
        asked = " and ".join(map(str, budgets))
        what = f"Each of {asked} can be held" if len(budgets) > 1 else f"Each device can hold {asked}"
        others = ", and leave the others as they are" if len(budgets) > 1 else ""
        step = f"Ask for {' or '.join(map(str, values))}{others}." if values else "Ease several of the limits."
        raise InfeasibleError(
            f"{what}, but no architecture was found that holds all of them together.", step
        ) from error


def _tightest(budgets: Sequence[Budget], number: int, ask: Ask, ease: Ease) -> Budget | None:
    """The tightest value of one budget with which all hold; None if it alone does not help."""

    def eased(factor: float) -> Budget | None:
        budget = ease(budgets[number], factor)
        try:
            _ = ask([*budgets[:number], budget, *budgets[number + 1 :]]).reserves
        except InfeasibleError:
            return None
        return budget

    found, low, high = eased(_MOST), 1.0, _MOST
    while found is not None and high / low > _WITHIN:
        middle = math.sqrt(low * high)
        tighter = eased(middle)
        low, high, found = (middle, high, found) if tighter is None else (low, middle, tighter)
    return found
