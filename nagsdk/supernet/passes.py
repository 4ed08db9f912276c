"""Splits a training into passes with a schedule each: one for the sandwich rule, several for progressive shrinking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from nagsdk.events import Listener, ignore
from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.images.batches import Batches
from nagsdk.space.space import SearchSpace, extremes
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import train

RECIPES = ("sandwich", "shrinking")
_LEARNT = 0.25
_AVERAGED = 0.02


def passes(
    recipe: str, space: SearchSpace, steps: int, rate: float, seed: int, learnt: bool, every: int
) -> tuple[TrainRecipe, ...]:
    """Plans the passes of a training.

    Args:
        recipe: Name of the recipe, ``sandwich`` or ``shrinking``.
        space: Space of the supernet.
        steps: Number of steps of all passes together.
        rate: Peak learning rate for a network with random weights.
        seed: Seed of the first pass; it grows by one for each further pass.
        learnt: Whether the weights come from an earlier training; the learning rate is then lower.
        every: Number of steps between checkpoints.

    Returns:
        One recipe for each pass, in order.
    """
    rate *= _LEARNT if learnt else 1
    if recipe == "sandwich":
        alone = steps // (10 if learnt else 5)
        return (TrainRecipe(steps, rate, largest_first=alone, seed=seed, checkpoint_every=every, ema=_kept(steps)),)
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
                ema=_kept(own),
                opened=stage.opened,
                sorts=stage.sorts,
            )
        )
    return tuple(result)


def _kept(steps: int) -> float:
    """Decay of the running average, so that it covers the last two per cent of a training of any length."""
    return 1 - 1 / max(10.0, _AVERAGED * steps)


def train_passes(
    supernet: Supernet,
    batches: Callable[[int], Batches],
    recipes: Sequence[TrainRecipe],
    recalibration: Callable[[], Tensor],
    on_event: Listener = ignore,
    folder: Path | None = None,
    ranks: Ranks | None = None,
) -> None:
    """Trains a supernet in place, pass after pass, and resumes from the last checkpoint if there is one.

    Args:
        supernet: Supernet to train in place.
        batches: Maps the seed of a pass to its training data.
        recipes: Recipes of the passes, from `passes`.
        recalibration: Returns normalised images for the batch normalisation of the teacher in progressive shrinking.
        on_event: Receives the events of `train`.
        folder: Folder of the checkpoints of all passes; None stores none.
        ranks: Processes that train together; see `train`.

    Raises:
        UsageError: A pass cannot be trained; see `train`.
        DamagedBundleError: A checkpoint is damaged.
    """
    teacher: nn.Module | None = None
    for number, recipe in enumerate(recipes):
        train(
            supernet,
            batches(recipe.seed),
            recipe,
            on_event,
            None if folder is None else folder / f"pass{number}",
            ranks,
            teacher,
        )
        if teacher is None and number + 1 < len(recipes) and recipe.opened is not None:
            teacher = teacher_of(supernet, recalibration())


def teacher_of(supernet: Supernet, recalibration: Tensor) -> Subnet:
    """Cuts out the largest network as it is now, in eval mode, with recalibrated batch normalisation.

    Args:
        supernet: Source of the weights.
        recalibration: Normalised images at the highest resolution; see `recalibrate`.
    """
    where = next(supernet.parameters()).device
    teacher = supernet.extract(supernet.space.decode(extremes(supernet.space))[1]).to(where)
    recalibrate(teacher, recalibration)
    return teacher.requires_grad_(False)
