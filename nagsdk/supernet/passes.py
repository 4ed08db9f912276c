"""Splits a training into passes with a schedule each: one for the sandwich rule, several for progressive shrinking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from nagsdk.events import Listener, ignore
from nagsdk.families.protocol import Supernet
from nagsdk.images.batches import Batches
from nagsdk.space.space import SearchSpace
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.supernet.recipe import TrainRecipe, kept
from nagsdk.supernet.train import train
from nagsdk.supernet.validation import Validation

RECIPES = ("sandwich", "shrinking")


def passes(
    recipe: str,
    space: SearchSpace,
    steps: int,
    rate: float,
    seed: int,
    learnt: bool,
    every: int,
    validations: int = 0,
) -> tuple[TrainRecipe, ...]:
    """Plans the passes of a training.

    Args:
        recipe: Name of the recipe, ``sandwich`` or ``shrinking``.
        space: Space of the supernet.
        steps: Number of steps of all passes together.
        rate: Peak learning rate of the first pass.
        seed: Seed of the first pass; it grows by one for each further pass.
        learnt: Whether the weights come from an earlier training.
        every: Number of steps between checkpoints.
        validations: Number of times that the largest network is measured on validation images, over all passes.

    Returns:
        One recipe for each pass, in order.
    """
    validate = max(1, -(-steps // validations)) if validations else 0
    if recipe == "sandwich":
        alone = steps // (10 if learnt else 5)
        return (
            TrainRecipe(
                steps,
                rate,
                largest_first=alone,
                seed=seed,
                checkpoint_every=every,
                ema=kept(steps),
                validate_every=validate,
            ),
        )
    plan = space.shrinking()
    total = sum(stage.share for stage in plan)
    result = []
    for number, stage in enumerate(plan):
        own = max(1, round(steps * stage.share / total))
        result.append(
            TrainRecipe(
                own,
                rate * stage.rate,
                random_subnets=stage.subnets,
                seed=seed + number,
                checkpoint_every=every,
                ema=kept(own),
                opened=stage.opened,
                sorts=stage.sorts,
                validate_every=validate,
            )
        )
    return tuple(result)


def train_passes(
    supernet: Supernet,
    batches: Callable[[TrainRecipe], Batches],
    recipes: Sequence[TrainRecipe],
    recalibration: Callable[[], Tensor],
    on_event: Listener = ignore,
    folder: Path | None = None,
    ranks: Ranks | None = None,
    validation: Callable[[TrainRecipe], Validation] | None = None,
    start: int = 0,
) -> None:
    """Trains a supernet in place, pass after pass, and resumes from the last checkpoint if there is one.

    Args:
        supernet: Supernet to train in place.
        batches: Maps the recipe of a pass to its training data.
        recipes: Recipes of the passes, from `passes`.
        recalibration: Returns normalised images for the batch normalisation of the teacher in progressive shrinking.
        on_event: Receives the events of `train`.
        folder: Folder of the checkpoints of all passes; None stores none.
        ranks: Processes that train together; see `train`.
        validation: Maps the recipe of a pass to what measures its largest network now and then.
        start: Number of the first pass to train; the supernet has the weights that the passes before it ended with.

    Raises:
        UsageError: A pass cannot be trained; see `train`.
        DamagedBundleError: A checkpoint is damaged.
    """
    teacher: nn.Module | None = None
    for number, recipe in enumerate(recipes[start:], start):
        train(
            supernet,
            batches(recipe),
            recipe,
            on_event,
            None if folder is None else folder / f"pass{number}",
            ranks,
            teacher,
            None if validation is None else validation(recipe),
        )
        if teacher is None and number + 1 < len(recipes) and recipe.opened is not None:
            teacher = teacher_of(supernet, recalibration())
