"""Adjusts the later passes of a training that was planned for a time to how long its first one took.

The speed of a machine is measured for some seconds. After that it may get hot, or do other work.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace

from nagsdk.supernet.recipe import kept
from nagsdk.training.schedule import Schedule

# Fewer steps would teach too little: a training takes longer than planned then. So few more are not worth a warning.
_LEAST, _ALL = 0.5, 0.95
# So much later than planned, as a share of the whole, the training may end: other parts may take less time.
_LATE = 0.1


def adjusted(schedule: Schedule, first_s: float) -> tuple[Schedule, str]:
    """Shortens the passes after the first one, so that the whole ends hardly later than planned.

    Args:
        schedule: The schedule, with the estimated seconds of its passes.
        first_s: Seconds that the first pass took.

    Returns:
        The schedule that holds from then on, and what to tell about it; nothing if no step is left out.
    """
    first, *later = schedule.passes_s
    slower = max(1.0, first_s / first)
    left = sum(schedule.passes_s) + _LATE * schedule.total_s - first_s
    share = max(_LEAST, left / (slower * sum(later)))
    if share > _ALL:
        return replace(schedule, passes_s=()), ""
    one, *rest = schedule.recipes
    fewer = [(recipe, max(1, round(share * recipe.steps))) for recipe in rest]
    recipes = (one, *(replace(recipe, steps=steps, ema=kept(steps)) for recipe, steps in fewer))
    made = replace(schedule, recipes=recipes, passes_s=())
    return made, (
        f"The first pass took {slower:.1f} times as long as planned: "
        f"{made.steps - one.steps} instead of {schedule.steps - one.steps} steps follow."
    )
