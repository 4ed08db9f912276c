"""Estimates how long a training takes and what it needs, from a few steps on this machine."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch

from nagsdk.common.processes import peak_memory_bytes
from nagsdk.events import stage
from nagsdk.families.protocol import Supernet
from nagsdk.images.batches import Shown, prepare
from nagsdk.images.decoded import Labelled
from nagsdk.predictor.losses import SUBNETS
from nagsdk.supernet.evaluate import measure
from nagsdk.supernet.passes import teacher_of
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import optimizer_of, subnets_of, train_step
from nagsdk.training.losses import LOSS_IMAGES, PASSES
from nagsdk.training.run import TrainingRun
from nagsdk.training.subnets import LEAST, fit_seconds

_IMAGES = 256
_FEW_EPOCHS = 10


def estimate(run: TrainingRun) -> dict[str, float]:
    """Estimates a training by running a few steps of each pass and measuring one subnet.

    Args:
        run: Run to estimate, which is not started.

    Returns:
        Seconds of a step (``seconds_per_step``), of all steps (``training_s``), of measuring subnets (``measuring_s``)
        and of fitting the accuracy predictor (``predictor_s``), and the memory and disk space needed (``memory_bytes``,
        ``disk_bytes``); and the seconds (``shorter_s``) of a training of ``shorter_epochs`` epochs with the fewest
        subnets and no generator.
    """
    supernet = run.fresh()
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    supernet.train()
    training, fitting = 0.0, fit_seconds(run.space, run.plan.subnets)
    with stage(run.on_event, "Measuring the speed", len(run.recipes)) as advance:
        for number, recipe in enumerate(run.recipes):
            training += _pass_seconds(run, supernet, recipe)
            advance(number + 1, f"Measuring the speed of pass {number + 1}")
    one = _subnet_seconds(run, supernet.eval())
    # The first process measures the loss in int8 alone.
    losses = one * PASSES * SUBNETS * min(1.0, LOSS_IMAGES / len(run.parts["val"].labels))
    measuring = one * run.plan.subnets / run.ranks.count + losses
    epochs = min(_FEW_EPOCHS, run.plan.epochs)
    return {
        "seconds_per_step": training / run.steps,
        "training_s": training,
        "measuring_s": measuring,
        "predictor_s": fitting,
        # The shortest training that makes a complete bundle worth trying.
        "shorter_epochs": epochs,
        "shorter_s": training * epochs / run.plan.epochs
        + (measuring - losses) * LEAST / run.plan.subnets
        + losses
        + fit_seconds(run.space, LEAST),
        "memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory_bytes(),
        "disk_bytes": run.disk_bytes(),
    }


def _subnet_seconds(run: TrainingRun, supernet: Supernet) -> float:
    """Seconds of measuring one subnet at the highest resolution, scaled up from a sample of the images."""
    (probe,) = run.space.decode(run.space.sample(1, np.random.default_rng(run.plan.seed), max(run.space.resolutions)))
    few = {name: Labelled(part.images[:_IMAGES], part.labels[:_IMAGES]) for name, part in run.parts.items()}
    began = time.monotonic()
    measure(
        supernet,
        [probe],
        lambda r: prepare(few["train"].images, r, run.preprocessing),
        lambda r: Shown(few["val"].images, few["val"].labels, r, run.preprocessing),
    )
    seconds = time.monotonic() - began
    images = run.sheet_counts[0] + len(run.parts["val"].labels)
    return seconds * images / (len(few["train"].labels) + len(few["val"].labels))


def _pass_seconds(run: TrainingRun, supernet: Supernet, recipe: TrainRecipe) -> float:
    """Seconds of a pass, from the mean of two steps after one that warms up.

    If all subnets of a step have the same resolution, the two steps use the largest and the smallest one.
    """
    scratch = copy.deepcopy(supernet)
    optimizer, batches = optimizer_of(scratch, recipe), run.batches(recipe.seed)
    highest, lowest = max(run.space.resolutions), min(run.space.resolutions)
    has_teacher = recipe.opened is not None and recipe is not run.recipes[0]
    teacher = (
        teacher_of(scratch, prepare(run.parts["train"].images[:2], highest, run.preprocessing)) if has_teacher else None
    )
    total = 0.0
    # A pass may start with steps of the largest network alone, which are faster.
    for steps, start in ((recipe.largest_first, 0), (recipe.steps - recipe.largest_first, recipe.largest_first)):
        seconds = []
        for step, resolution in enumerate((highest, highest, lowest) if steps else (), start):
            codes = subnets_of(run.space, recipe, step)
            if recipe.opened is not None:
                codes[:, 0] = run.space.resolution_index(resolution)
            began = time.monotonic()
            train_step(scratch, optimizer, recipe, codes, batches, step, run.ranks, teacher)
            seconds.append(time.monotonic() - began)
        total += steps * float(np.mean(seconds[1:] or [0.0]))
    return total
