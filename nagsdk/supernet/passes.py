"""Trainings as a row of passes, each with its own schedule: the sandwich rule in one, progressive shrinking in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
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
    """The passes of a recipe.

    Args:
        recipe: ``sandwich`` or ``shrinking``.
        space: Of the supernet.
        steps: Of all passes together.
        rate: Peak learning rate for a network that knows nothing.
        seed: Of the first pass; the others count on.
        learnt: Whether the weights come from another training: they are then changed more gently.
        every: Steps between checkpoints.
    """
    rate *= _LEARNT if learnt else 1
    if recipe == "sandwich":
        alone = steps // (10 if learnt else 5)
        return (TrainRecipe(steps, rate, largest_first=alone, seed=seed, checkpoint_every=every, ema=_kept(steps)),)
    plan = space.shrinking()
    whole = sum(stage.share for stage in plan)
    result = []
    for number, stage in enumerate(plan):
        own = max(1, round(steps * stage.share / whole))
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
    """Averages the weights over the last hundredths of a training, however long it is."""
    return 1 - 1 / max(10.0, _AVERAGED * steps)


def train_passes(
    supernet: Supernet,
    batches: Callable[[int], Batches],
    recipes: Sequence[TrainRecipe],
    recalibration: Callable[[], Sequence[Tensor]],
    on_event: Listener = ignore,
    folder: Path | None = None,
    ranks: Ranks | None = None,
) -> None:
    """Trains a supernet in place, pass after pass, from the last checkpoint where there is one.

    Args:
        supernet: Trained in place.
        batches: Seed of a pass to its data.
        recipes: From `passes`.
        recalibration: Normalised batches for the statistics of the teacher that progressive shrinking learns from.
        on_event: See `train`.
        folder: Where the passes' checkpoints go; None keeps none.
        ranks: See `train`.

    Raises:
        UsageError: See `train`.
        DamagedBundleError: See `train`.
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


def teacher_of(supernet: Supernet, recalibration: Sequence[Tensor]) -> Subnet:
    """The largest network as it is now, in eval mode, with statistics of its own.

    Args:
        supernet: Where its weights come from.
        recalibration: Normalised batches at the highest resolution; see `recalibrate`.
    """
    where = next(supernet.parameters()).device
    teacher = supernet.extract(supernet.space.decode(extremes(supernet.space))[1]).to(where)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recalibrate(teacher, (images.to(where) for images in recalibration))
    return teacher.requires_grad_(False)
