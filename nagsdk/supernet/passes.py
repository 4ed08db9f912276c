"""Trainings as a row of passes, each with its own schedule: the sandwich rule in one, progressive shrinking in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nagsdk.events import Listener, ignore
from nagsdk.families.mobilenet_v3.shrinking import Open
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.subnet import Subnet, extract
from nagsdk.families.mobilenet_v3.supernet import Supernet
from nagsdk.images.batches import Batches
from nagsdk.space.space import extremes
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import train

RECIPES = ("sandwich", "shrinking")
_LEARNT = 0.25
_AVERAGED = 0.02


def passes(recipe: str, space: MobileNetV3Space, steps: int, rate: float, seed: int, learnt: bool, every: int) -> tuple[TrainRecipe, ...]:
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
    # Shares of the steps and of the rate follow the epochs and rates of Once-for-All's own training.
    plan = [(Open(1, 1, 1), 0.30, 1.0, 1)]
    kernels, depths, expansions = len(space.kernels), max(len(stage.depths) for stage in space.stages), len(space.expansions)
    if kernels > 1:
        plan.append((Open(kernels, 1, 1), 0.20, 0.4, 1))
    plan += [(Open(kernels, d, 1), *((0.21, 0.3) if d == depths else (0.04, 0.1)), 2) for d in range(2, depths + 1)]
    plan += [(Open(kernels, depths, e), *((0.21, 0.3) if e == expansions else (0.04, 0.1)), 4) for e in range(2, expansions + 1)]
    whole = sum(share for _, share, _, _ in plan)
    result = []
    for number, (opened, share, slower, count) in enumerate(plan):
        own = max(1, round(steps * share / whole))
        sorts = opened.expansions == 2
        result.append(
            TrainRecipe(
                own,
                rate * slower,
                random_subnets=count,
                seed=seed + number,
                checkpoint_every=every,
                ema=_kept(own),
                opened=opened,
                sorts=sorts,
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
        train(supernet, batches(recipe.seed), recipe, on_event, None if folder is None else folder / f"pass{number}", ranks, teacher)
        if teacher is None and number + 1 < len(recipes) and recipe.opened is not None:
            teacher = teacher_of(supernet, recalibration())


def teacher_of(supernet: Supernet, recalibration: Sequence[Tensor]) -> Subnet:
    """The largest network as it is now, in eval mode, with statistics of its own.

    Args:
        supernet: Where its weights come from.
        recalibration: Normalised batches at the highest resolution; see `recalibrate`.
    """
    where = supernet.classifier.weight.device
    teacher = extract(supernet, supernet.space.decode(extremes(supernet.space))[1]).to(where)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recalibrate(teacher, (images.to(where) for images in recalibration))
    return teacher.requires_grad_(False)
