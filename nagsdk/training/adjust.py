"""Adjusts the later passes of a training that was planned for a time to how long its first one took.

The speed of a machine is measured for some seconds. After that it may get hot, or do other work.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import replace

from nagsdk.supernet.recipe import TrainRecipe, kept
from nagsdk.training.schedule import Schedule

# Fewer steps would teach too little: a training takes longer than planned then.
_LEAST = 0.5
# A smaller change is not worth a word.
_SMALL = 0.05
# So much later than planned, as a share of the whole, the training may end: other parts may take less time.
_LATE = 0.1


def adjusted(schedule: Schedule, first_s: float) -> tuple[Schedule, str]:
    """Shortens or lengthens the passes after the first one, so that the whole ends when planned or hardly later.

    Args:
        schedule: The schedule, with the estimated seconds of its passes.
        first_s: Seconds that the first pass took.

    Returns:
        The schedule that holds from then on, and what to tell about it; nothing if the steps stay as planned.
    """
    first, *later = schedule.passes_s
    slower = first_s / first
    # Where it was faster, the speed of the later ones is not known to be: they get the time that is left.
    late = _LATE * schedule.total_s if slower > 1 else 0.0
    left = sum(schedule.passes_s) + late - first_s
    share = max(_LEAST, left / (max(1.0, slower) * sum(later)))
    if 1 - _SMALL < share < 1 + _SMALL or (share > 1 and slower > 1):
        return replace(schedule, passes_s=()), ""
    one, *rest = schedule.recipes
    recipes = (one, *(_lasting(recipe, share) for recipe in rest))
    made = replace(schedule, recipes=recipes, passes_s=())
    return made, (
        f"The first pass took {slower:.1f} times as long as planned: "
        f"{made.steps - one.steps} instead of {schedule.steps - one.steps} steps follow."
    )


def _lasting(recipe: TrainRecipe, share: float) -> TrainRecipe:
    """A recipe with a share of its steps, or more of them, and as many measurements on validation images as before."""
    steps, every = (max(1, round(share * number)) for number in (recipe.steps, recipe.validate_every))
    return replace(recipe, steps=steps, ema=kept(steps), validate_every=every if recipe.validate_every else 0)
