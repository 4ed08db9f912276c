"""Makes the schedule of a training: by the time that it may take, or by epochs."""

from __future__ import annotations

from dataclasses import replace

import torch

from nagsdk.common.processes import peak_memory_bytes
from nagsdk.events import Listener, ignore, stage
from nagsdk.families.space import NetworkSpace
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import without_integers
from nagsdk.supernet.passes import passes
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.training.asked import Asked
from nagsdk.training.by_time import LONG_S, by_time
from nagsdk.training.pace import Stopwatch, pace_of
from nagsdk.training.plan import DEFAULT_BATCH, DEFAULT_SUBNETS, Plan
from nagsdk.training.schedule import BESIDE, PASSES, Counts, Pace, Schedule, most_recalibration, rate_of
from nagsdk.training.subnets import fit_seconds

_CHECKPOINTS, _VALIDATIONS = 50, 20


def schedule_of(
    plan: Plan,
    space: NetworkSpace,
    preprocessing: Preprocessing,
    counts: Counts,
    generator: bool,
    ranks: Ranks,
    on_event: Listener = ignore,
) -> Schedule:
    """Plans a training; the same schedule in every process.

    Args:
        plan: Settings of the training.
        space: The space.
        preprocessing: Preprocessing of the images.
        counts: Numbers of images.
        generator: Whether to train a generator.
        ranks: Processes that work together, each of which measures its own speed while the others do.
        on_event: Receives progress.

    Raises:
        UsageError: The time is too short.
    """
    whole, learnt = space, plan.init != "none"
    if plan.minutes is not None and 60 * plan.minutes < LONG_S and learnt:
        space = whole.narrowed()
    asked = None
    if plan.minutes is not None:
        asked = Asked(
            seconds=60 * plan.minutes,
            counts=counts,
            resolutions=space.resolutions,
            pretrained=learnt,
            batch=plan.batch,
            subnets=plan.subnets,
            generator=generator,
            seed=plan.seed,
            ranks=ranks.count,
            narrow=bool(space.resolution_field),
            narrowed=space.fingerprint != whole.fingerprint,
            peak_rate=space.peak_rate,
            integers=not without_integers(space),
        )
    with stage(on_event, "Measuring the speed of this machine"):
        before, own = _peak(), max(2, (asked.step_images if asked else plan.batch or DEFAULT_BATCH) // ranks.count)
        watch = Stopwatch.of(space, preprocessing, own)
        pace = pace_of(watch, plan.seed, generator, own if asked and not learnt else 0)
        made = by_time(asked, pace) if asked else _by_epochs(plan, space, counts, watch, pace, generator, ranks)
    memory = before + (_peak() - before) * made.batch // ranks.count // watch.batch
    return Schedule.from_dict(ranks.of_first(replace(made, memory_bytes=memory).to_dict()))


def _peak() -> int:
    """The most memory so far, that of the GPU if there is one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory_bytes()


def _by_epochs(
    plan: Plan, space: NetworkSpace, counts: Counts, watch: Stopwatch, pace: Pace, generator: bool, ranks: Ranks
) -> Schedule:
    batch, subnets = plan.batch or DEFAULT_BATCH, plan.subnets or DEFAULT_SUBNETS
    learnt = plan.init != "none"
    steps = max(1, (plan.epochs or 0) * (counts.train // batch))
    every = max(1, min(500, steps // _CHECKPOINTS))
    recipes = passes(
        plan.recipe, space, steps, rate_of(space.peak_rate, batch, learnt), plan.seed, learnt, every, _VALIDATIONS
    )
    recalibration = most_recalibration(space.resolutions)
    used = min(recalibration, counts.train)
    own = batch // ranks.count
    losses = 0 if without_integers(space) else BESIDE.losses
    each = pace.cut + pace.subnet * (used + counts.val)
    training = sum(
        recipe.steps * pace.update
        + own * recipe.largest_first * pace.alone
        + own * (recipe.steps - recipe.largest_first) * _together(watch, pace, recipe)
        for recipe in recipes
    )
    validating = sum(r.steps // r.validate_every for r in recipes) * pace.forward * (used + min(counts.val, 1000))
    seconds = {
        "training": training + validating,
        # The first process measures the loss in int8 alone.
        "measuring": each * (subnets + sum(BESIDE.footing)) / ranks.count
        + PASSES * losses * each
        + pace.forward * (counts.train + counts.val),
        "predictor": fit_seconds(space, subnets),
        "generator": pace.generator if generator else 0.0,
    }
    return Schedule(
        None, batch, space.resolutions, False, 0, recipes, subnets, BESIDE.footing, losses, recalibration,
        1.0 if generator else 0.0, seconds,
    )  # fmt: skip


def _together(watch: Stopwatch, pace: Pace, recipe: TrainRecipe) -> float:
    """Seconds of one image in a step of a recipe after its first steps."""
    return pace.together if recipe.opened is None else watch.together(recipe)
