"""How much of everything a training does: planned from the images, the space, the initial weights, and the time.

Needs no torch. A schedule is made once, from speeds measured on this machine, and kept in the work folder: a run that
was killed goes on with the same steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.predictor.losses import SUBNETS
from nagsdk.supernet.recipe import TrainRecipe, kept

# Below this number of images for training and validation, choices would rest on some dozens of images.
SMALL = 1000
# Minutes of a training of so few images if no other length is given.
DEFAULT_MINUTES = 15.0
# What a measured step of training is multiplied by: copies of weights for the running average, checkpoints.
_START_S = 10.0
_RATE, _RATE_BATCH, _LEARNT = 4e-3, 64, 0.25
_CHECKPOINTS, _VALIDATIONS = 20, 10
_MIXUP, _MOST_MIXED = 0.2, 5000
# Least and most images that the largest network, and all together, should see, in passes over the training images; and
# a number that is enough however many images there are.
_LEAST_SEEN = {True: (5, 4, 4_000), False: (20, 12, 20_000)}
_MOST_SEEN = {True: (20, 60), False: (200, 300)}
_ALONE, _MERGED = {True: 0.35, False: 0.45}, 0.12
_LEAST_STEPS = 20
_CHOSEN_ON, _MOST_HELD = 200, 0.2
_MOST_RESOLUTIONS = 3
_SUBNETS = (300, 200, 100, 50)
_MOST_MEASURING, _MOST_LOSSES, _MOST_GENERATOR, _LEAST_GENERATOR = 0.22, 0.06, 0.15, 0.04
_LONG_S = 3600.0
# Images for batch normalisation; few make it noisier, many take longer than the measuring itself.
_LARGE, _RECALIBRATION = 128, {True: 512, False: 1024}
_FEATURES = 4000
# One network is measured once in float32 and once rounded, which takes twice as long.
PASSES = 3
PARTS = ("frozen", "training", "measuring", "predictor", "generator")


@dataclass(frozen=True)
class Pace:
    """Seconds of the parts of the work on this machine, at the resolutions of the whole space.

    Attributes:
        alone: One image in a step that trains the largest network alone.
        together: One image in a step that trains several.
        update: Updating the weights and their running average, once per step.
        forward: One image through the largest network.
        subnet: One image through a random subnet, on average.
        cut: Cutting out a subnet, on average.
        fit: Fitting the accuracy predictor, by the number of measured subnets.
        generator: Training the generator as long as usual.
    """

    alone: float
    together: float
    update: float
    forward: float
    subnet: float
    cut: float
    fit: Mapping[int, float]
    generator: float


@dataclass(frozen=True)
class Counts:
    """Numbers of images: for training, for validation, and for the test."""

    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Schedule:
    """How much of everything a training does.

    Attributes:
        minutes: The time that it was planned for; None if it was planned by epochs.
        batch: Number of images per step, over all processes.
        resolutions: The resolutions of the space that are trained; the others are left out of the bundle's space.
        frozen: Number of images whose frozen features a first classifier is fitted to; 0 fits none.
        held_out: Number of training images that the first passes leave out, so that choices rest on more than the
            validation images. The last pass trains on them too.
        recipes: Recipes of the passes, in order.
        subnets: Number of subnets measured for the accuracy predictor.
        footing: Number of subnets measured on the test images: near the frontier, and anywhere.
        losses: Number of subnets whose loss in int8 is measured.
        recalibration: Most images that batch normalisation is recalibrated on.
        generator: Length of the generator's training as a share of the usual one; 0 trains none.
        seconds: Estimated seconds of each part.
        memory_bytes: Estimated memory of a step of training.
    """

    minutes: float | None
    batch: int
    resolutions: tuple[int, ...]
    frozen: int
    held_out: int
    recipes: tuple[TrainRecipe, ...]
    subnets: int
    footing: tuple[int, int]
    losses: int
    recalibration: int
    generator: float
    seconds: Mapping[str, float]
    memory_bytes: int = 0

    @property
    def steps(self) -> int:
        """Number of steps of all passes together."""
        return sum(recipe.steps for recipe in self.recipes)

    @property
    def total_s(self) -> float:
        """Estimated seconds of the whole run."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """Returns the schedule as it is kept, JSON-ready."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    @classmethod
    def from_dict(cls, known: Any) -> Schedule:
        """Rebuilds a schedule from the result of `to_dict`.

        Raises:
            ValueError: It is not one.
        """
        try:
            values = {field.name: known[field.name] for field in fields(cls)}
            recipes = tuple(TrainRecipe(**recipe) for recipe in values.pop("recipes"))
            resolutions = tuple(int(side) for side in values.pop("resolutions"))
            near, anywhere = values.pop("footing")
            return cls(**values, recipes=recipes, resolutions=resolutions, footing=(int(near), int(anywhere)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it holds no schedule ({error})") from error


def rate_of(batch: int, learnt: bool) -> float:
    """The peak learning rate for a batch.

    Args:
        batch: Number of images per step, over all processes.
        learnt: Whether the weights come from an earlier training.
    """
    return _RATE * math.sqrt(batch / _RATE_BATCH) * (_LEARNT if learnt else 1)


@dataclass(frozen=True)
class _Effort:
    """Seconds of the parts at the first `keep` resolutions of a space; see `Pace`."""

    pace: Pace
    share: float
    counts: Counts
    chosen_on: int
    recalibration: int
    pretrained: bool
    ranks: int

    def measuring(self, subnets: int, images: int) -> float:
        each = self.pace.cut + self.pace.subnet * self.share * (self.recalibration + images)
        return subnets * each / self.ranks

    def validation(self) -> float:
        """One measurement of the largest network during training."""
        return self.pace.forward * self.share * (self.recalibration + self.chosen_on)


def by_minutes(
    seconds: float,
    counts: Counts,
    resolutions: Sequence[int],
    pace: Pace,
    *,
    pretrained: bool,
    batch: int | None = None,
    subnets: int | None = None,
    generator: bool = True,
    seed: int = 0,
    ranks: int = 1,
    narrow: bool = True,
) -> Schedule:
    """Plans a training that takes a given time on this machine.

    The largest network is trained alone first, then all together. Resolutions that leave too few steps are left out.

    Args:
        seconds: The time of the whole run.
        counts: Numbers of images.
        resolutions: Resolutions of the space, ascending.
        pace: Speeds on this machine.
        pretrained: Whether the initial weights come from an earlier training.
        batch: Number of images per step; None chooses it.
        subnets: Number of subnets to measure; None chooses it.
        generator: Whether to train a generator.
        seed: Seed of the first pass.
        ranks: Number of processes that share the work.
        narrow: Whether resolutions may be left out.

    Raises:
        UsageError: The time is too short for the space.
    """
    small = counts.train + counts.val < SMALL
    held = min(int(_MOST_HELD * counts.train), max(0, _CHOSEN_ON - counts.val)) if small else 0
    large = max(resolutions) >= _LARGE
    recalibration = _RECALIBRATION[large] // (1 if seconds >= _LONG_S else 8)
    batch = batch or max(2 * ranks, min(32 if counts.train < 2 * SMALL else 64, counts.train - held) // ranks * ranks)
    length = min(1.0, _MOST_GENERATOR * seconds / pace.generator) if generator else 0.0
    length = length if length >= _LEAST_GENERATOR else 0.0
    fewest = 1 if narrow else len(resolutions)
    tried = [(keep, length) for keep in range(len(resolutions), fewest - 1, -1)]
    # Without a generator at last: the first deployment trains one, or another strategy needs none.
    for keep, length in [*tried, (fewest, 0.0)]:
        share = (resolutions[keep - 1] / resolutions[-1]) ** 2
        effort = _Effort(pace, share, counts, counts.val + held, min(recalibration, counts.train), pretrained, ranks)
        several = subnets or next(
            (n for n in _SUBNETS if effort.measuring(n, effort.chosen_on) + pace.fit[n] < _MOST_MEASURING * seconds
             and n <= max(_SUBNETS[-1], effort.chosen_on)),
            _SUBNETS[-1],
        )  # fmt: skip
        near = (24, 12) if effort.measuring(36, counts.test) < _MOST_MEASURING * seconds / 2 else (12, 6)
        each = PASSES * effort.measuring(1, counts.val) * ranks
        losses = next((n for n in (SUBNETS, 8) if n * each < _MOST_LOSSES * seconds), 0)
        frozen = min(_FEATURES, counts.train - held) if pretrained else 0
        fixed = {
            "frozen": 2 * frozen * pace.forward * share + 5 if frozen else 0.0,
            "measuring": effort.measuring(several, effort.chosen_on) + effort.measuring(sum(near) + 2, counts.test)
            + losses * each,
            "predictor": _fit_s(pace, several),
            "generator": length * pace.generator,
        }  # fmt: skip
        left = seconds - _START_S - sum(fixed.values())
        recipes, spent = _passes(effort, left, batch, held, seed)
        seen = [r.steps * batch for r in recipes[:2]]
        least = _LEAST_SEEN[pretrained]
        images = counts.train - held
        enough = all(
            have >= min(times * images, least[2]) for have, times in zip(seen, least[:2], strict=True)
        )  # fmt: skip
        if enough:
            break
    if min(recipe.steps for recipe in recipes[:2]) < _LEAST_STEPS:
        needed = seconds - left + 2 * _LEAST_STEPS * batch * (pace.alone + pace.together) * share
        raise UsageError(
            f"{seconds / 60:g} minutes are too short: beside {_listed(fixed)}, {max(left, 0):.0f} seconds are left for "
            f"training, in which this machine takes {counted(sum(r.steps for r in recipes), 'step')}.",
            f"Give --minutes {max(needed / 60, 1):.0f} or more, a smaller --space, or fewer --subnets.",
        )
    fixed["training"] = spent + _START_S
    return Schedule(
        minutes=seconds / 60,
        batch=batch,
        resolutions=_thinned(resolutions[:keep], counts) if narrow else tuple(resolutions),
        frozen=frozen,
        held_out=held,
        recipes=recipes,
        subnets=several,
        footing=near,
        losses=losses,
        recalibration=recalibration,
        generator=round(length, 3),
        seconds={part: round(fixed[part], 1) for part in PARTS},
    )


def _passes(effort: _Effort, left: float, batch: int, held: int, seed: int) -> tuple[tuple[TrainRecipe, ...], float]:
    """The passes that fit into the time that is left for training, and the seconds that they take."""
    images, pretrained = effort.counts.train - held, effort.pretrained
    pace, own = effort.pace, batch / effort.ranks
    alone_s, together_s = (each * effort.share * own + pace.update for each in (pace.alone, pace.together))
    most_alone, most_together = _MOST_SEEN[pretrained]
    validations = (2 + (held > 0)) * _VALIDATIONS * effort.validation()
    left = max(0.0, left - validations)
    alone = min(int(_ALONE[pretrained] * left / alone_s), most_alone * images // batch)
    together = min(int((left - alone * alone_s) / together_s), most_together * images // batch)
    merged = int(_MERGED * together) if held else 0
    together -= merged
    rate = rate_of(batch, pretrained)
    mixup = _MIXUP if images < _MOST_MIXED else 0.0
    found = []
    for number, (steps, share, first) in enumerate(((alone, 1.0, True), (together, 0.5, False), (merged, 0.15, False))):
        if number < 2 or steps:
            found.append(
                TrainRecipe(
                    steps=steps,
                    learning_rate=rate * share,
                    largest_first=steps if first else 0,
                    seed=seed + number,
                    checkpoint_every=max(1, steps // _CHECKPOINTS),
                    ema=kept(steps),
                    mixup=mixup,
                    held_out=held > 0 and number < 2,
                    validate_every=max(1, -(-steps // _VALIDATIONS)),
                    ends_early=True,
                )
            )
    return tuple(found), alone * alone_s + (together + merged) * together_s + validations


def _thinned(resolutions: Sequence[int], counts: Counts) -> tuple[int, ...]:
    """Few resolutions where there are few images: the lowest, the highest, and some between them."""
    most = _MOST_RESOLUTIONS if counts.train + counts.val < SMALL else len(resolutions)
    if len(resolutions) <= most:
        return tuple(resolutions)
    places = {round(i * (len(resolutions) - 1) / (most - 1)) for i in range(most)}
    return tuple(resolutions[place] for place in sorted(places))


def _fit_s(pace: Pace, subnets: int) -> float:
    """Seconds of a fit to any number of subnets, in proportion to the nearest number that was timed."""
    nearest = min(pace.fit, key=lambda known: abs(known - subnets))
    return pace.fit[nearest] * subnets / nearest


def _listed(seconds: Mapping[str, float]) -> str:
    names = {"frozen": "the first classifier", "measuring": "measuring subnets", "predictor": "the predictor",
             "generator": "the generator"}  # fmt: skip
    return ", ".join(f"{names[part]} ({value:.0f} s)" for part, value in seconds.items() if value >= 0.5)
