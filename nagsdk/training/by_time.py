"""Plans a training for the time that it may take: one network alone first, then all networks together.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nagsdk.common.wording import counted
from nagsdk.errors import UsageError
from nagsdk.supernet.recipe import TrainRecipe, kept
from nagsdk.training.asked import Asked
from nagsdk.training.schedule import (
    BESIDE,
    BESIDE_FEW,
    PARTS,
    PASSES,
    Pace,
    Schedule,
    most_recalibration,
    rate_of,
)

# Opening images and writing the bundle.
_START_S = 10.0
_CHECKPOINTS, _VALIDATIONS = 20, 5
_MIXUP, _MOST_MIXED, _OFTEN = 0.2, 5000, 10
# How often the images should be seen at least, alone and together, with and without pretrained weights; and how many
# images suffice however many there are. Where even that does not fit, the highest resolution is left out.
_LEAST_SEEN, _ENOUGH_SEEN = {True: (6, 12), False: (20, 12)}, {True: 8_000, False: 20_000}
# How often they are seen at most; then a training only overfits.
_MOST_SEEN = {True: (20, 60), False: (600, 300)}
# Shares of the time of training: of one network alone, less with pretrained weights, which the largest takes up within
# some epochs; and in the rest of the last pass.
_ALONE, _LAST = {True: 0.2, False: 0.7}, 0.12
# Steps from which on a pretrained network alone bears the whole learning rate; then all learn at that for random
# weights, because the smaller ones know little, whatever the largest does. A share of it in the last pass.
_SETTLED, _AT_LAST = 200, 0.15
# The smallest network alone learns best at so many times the usual rate.
_SMALLEST_RATE = 3.0
_LEAST_STEPS = 20
_RESOLUTIONS_FEW = 3
# Of the highest, in a narrowed space: pretrained networks know little at low resolutions.
_LOWEST = 0.7
_SUBNETS = (300, 200, 100, 50)
_MOST_MEASURING, _MOST_BESIDE, _MOST_LOSSES = 0.2, 0.06, 0.05
_MOST_GENERATOR, _LEAST_GENERATOR = 0.15, 0.04
# In less than an hour, batch normalisation is recalibrated on fewer images, and pretrained networks are trained without
# the smallest choices: these know nothing at first, and there is no time to teach them.
LONG_S, _FEWER = 3600.0, 4
# Subnets whose answers for the test images are looked at.
_STUDIED = 3


def by_time(asked: Asked, pace: Pace) -> Schedule:
    """Plans a training that takes a given time on this machine.

    Args:
        asked: What is asked.
        pace: Speeds on this machine.

    Raises:
        UsageError: The time is too short for the space.
    """
    length = min(1.0, _MOST_GENERATOR * asked.seconds / pace.generator) if asked.generator else 0.0
    length = length if length >= _LEAST_GENERATOR else 0.0
    fewest = 1 if asked.narrow else len(asked.resolutions)
    tried = [_Attempt(asked, pace, keep, length) for keep in range(len(asked.resolutions), fewest - 1, -1)]
    # Without a generator at last: the first deployment trains one, or another strategy needs none.
    tried.append(_Attempt(asked, pace, fewest, 0.0))
    attempt = next((one for one in tried if one.suffices), tried[-1])
    attempt.check()
    return attempt.schedule


@dataclass(frozen=True)
class _Attempt:
    """A plan with the lowest resolutions of a space, and a generator of some length."""

    asked: Asked
    pace: Pace
    keep: int
    generator: float

    @property
    def schedule(self) -> Schedule:
        asked = self.asked
        seconds = {**self.fixed_s, "training": sum(self.passes_s) + _START_S}
        return Schedule(
            minutes=asked.seconds / 60,
            batch=asked.step_images,
            resolutions=self._resolutions,
            narrowed=asked.narrowed,
            held_out=asked.held_out,
            recipes=self.recipes,
            subnets=self.subnets,
            footing=self.footing,
            losses=self.losses,
            recalibration=self.recalibration,
            generator=round(self.generator, 3),
            seconds={part: round(seconds[part], 1) for part in PARTS},
            passes_s=tuple(round(each, 3) for each in self.passes_s),
            enough=self.suffices,
        )

    @property
    def suffices(self) -> bool:
        """Whether there are steps enough, and the images are seen often enough."""
        learnt = self.asked.pretrained
        return self._steps_enough and all(
            recipe.steps * self.asked.step_images >= min(times * self.asked.learning, _ENOUGH_SEEN[learnt])
            for recipe, times in zip(self.recipes, _LEAST_SEEN[learnt], strict=False)
        )

    @property
    def _steps_enough(self) -> bool:
        return min(recipe.steps for recipe in self.recipes[:2]) >= _LEAST_STEPS

    def check(self) -> None:
        """Raises an error if there is time for next to no training."""
        if self._steps_enough:
            return
        minutes = self.asked.seconds / 60
        needed = sum(self.fixed_s.values()) + _START_S + 4 * _LEAST_STEPS * (self.alone_s + self.together_s)
        raise UsageError(
            f"{minutes:g} minutes are too short: beside {_listed(self.fixed_s)}, {max(self.left_s, 0):.0f} seconds are "
            f"left for training, in which this machine takes {counted(sum(r.steps for r in self.recipes), 'step')}.",
            f"Give --minutes {max(needed / 60, minutes + 1):.0f} or more, a smaller --space, or --no-generator.",
        )

    @property
    def share(self) -> float:
        """What an image takes here, as a share of what it takes at the highest resolution of the space."""
        return (self.asked.resolutions[self.keep - 1] / self.asked.resolutions[-1]) ** 2

    @property
    def _resolutions(self) -> tuple[int, ...]:
        """Few of the kept resolutions where there are few images: the lowest, the highest, and one between them."""
        asked, highest = self.asked, self.asked.resolutions[self.keep - 1]
        least = _LOWEST * highest if asked.narrow and asked.narrowed else 0
        kept_ones = [side for side in asked.resolutions if least <= side <= highest]
        if not (asked.narrow and asked.few and len(kept_ones) > _RESOLUTIONS_FEW):
            return tuple(kept_ones)
        places = {round(i * (len(kept_ones) - 1) / (_RESOLUTIONS_FEW - 1)) for i in range(_RESOLUTIONS_FEW)}
        return tuple(kept_ones[place] for place in sorted(places))

    @property
    def recalibration(self) -> int:
        return most_recalibration(self.asked.resolutions) // (1 if self.asked.seconds >= LONG_S else _FEWER)

    @property
    def chosen_on(self) -> int:
        return self.asked.counts.val + self.asked.held_out

    def measuring_s(self, subnets: int, images: int) -> float:
        """Seconds of measuring subnets on some images."""
        used = min(self.recalibration, self.asked.counts.train)
        return subnets * (self.pace.cut + self.pace.subnet * self.share * (used + images)) / self.asked.ranks

    def fit_s(self, subnets: int) -> float:
        """Seconds of a fit, in proportion to the nearest number of subnets that was timed."""
        nearest = min(self.pace.fit, key=lambda known: abs(known - subnets))
        return self.pace.fit[nearest] * subnets / nearest

    @cached_property
    def subnets(self) -> int:
        """Number of subnets to measure: not many more than images that tell them apart."""
        if self.asked.subnets is not None:
            return self.asked.subnets
        return next(
            (
                count
                for count in _SUBNETS
                if count <= self.chosen_on
                and self.measuring_s(count, self.chosen_on) + self.fit_s(count) < _MOST_MEASURING * self.asked.seconds
            ),
            _SUBNETS[-1],
        )

    @cached_property
    def footing(self) -> tuple[int, int]:
        seconds = self.measuring_s(sum(BESIDE.footing), self.asked.judging)
        return (BESIDE if seconds < _MOST_BESIDE * self.asked.seconds else BESIDE_FEW).footing

    @cached_property
    def losses(self) -> int:
        if not self.asked.integers:
            return 0
        most = _MOST_LOSSES * self.asked.seconds
        return next((count for count in (BESIDE.losses, BESIDE_FEW.losses) if count * self._loss_s < most), 0)

    @property
    def _loss_s(self) -> float:
        """Seconds of measuring the loss of one subnet, which the first process does alone."""
        return PASSES * self.measuring_s(1, self.asked.counts.val) * self.asked.ranks

    @cached_property
    def fixed_s(self) -> dict[str, float]:
        """Seconds of everything but the passes."""
        counts = self.asked.counts
        beside = self.measuring_s(sum(self.footing), self.asked.judging) + self.losses * self._loss_s
        beside += self.measuring_s(2 + _STUDIED, counts.test)
        # The largest network answers for all images, so that wrong labels are found.
        beside += self.pace.forward * self.share * (counts.train + counts.val)
        return {
            "measuring": self.measuring_s(self.subnets, self.chosen_on) + beside,
            "predictor": self.fit_s(self.subnets),
            "generator": self.generator * self.pace.generator,
        }

    @property
    def left_s(self) -> float:
        return self.asked.seconds - _START_S - sum(self.fixed_s.values())

    @property
    def alone_s(self) -> float:
        """Seconds of a step of one network alone: pretrained, the largest; or the smallest, which learns faster."""
        asked, pace = self.asked, self.pace
        timed_at = asked.resolutions[0], asked.resolutions[-1]
        each = pace.alone if asked.pretrained else pace.smallest * _area(self._resolutions) / _area(timed_at)
        return each * self.share * asked.step_images / asked.ranks + pace.update

    @property
    def together_s(self) -> float:
        """Seconds of a step of several networks: of the largest, and of others at all resolutions."""
        others = self.pace.together - self.pace.alone
        each = self.pace.alone + others * _area(self._resolutions) / _area(self.asked.resolutions)
        return each * self.share * self.asked.step_images / self.asked.ranks + self.pace.update

    @property
    def _validation_s(self) -> float:
        """Seconds of the measurements of the largest network during a pass."""
        images = min(self.recalibration, self.asked.counts.train) + self.chosen_on
        return _VALIDATIONS * self.pace.forward * self.share * images

    @cached_property
    def steps(self) -> tuple[int, int, int]:
        """Steps of one network alone, of all together, and of all on all images."""
        learnt, epoch = self.asked.pretrained, self.asked.learning / self.asked.step_images
        left = max(0.0, self.left_s - (3 if self.asked.held_out else 2) * self._validation_s)
        alone, together = (int(times * epoch) for times in _MOST_SEEN[learnt])
        # However short the time, some steps are left for all together.
        first_s = min(_ALONE[learnt] * left, max(left - 2 * _LEAST_STEPS * self.together_s, 0.0))
        alone = min(alone, int(first_s / self.alone_s))
        together = min(together, int((left - alone * self.alone_s) / self.together_s))
        last = int(_LAST * together) if self.asked.held_out else 0
        return alone, together - last, last

    @property
    def passes_s(self) -> tuple[float, ...]:
        """Seconds of each pass."""
        each = [self.together_s if number else self.alone_s for number in range(len(self.recipes))]
        return tuple(r.steps * s + self._validation_s for r, s in zip(self.recipes, each, strict=True))

    @property
    def _mixup(self) -> float:
        """Images are mixed where they are few and, from random weights, so often seen that they are learnt by heart."""
        often = self.steps[0] * self.asked.step_images >= _OFTEN * self.asked.learning
        return _MIXUP if often and not self.asked.pretrained and self.asked.learning < _MOST_MIXED else 0.0

    @cached_property
    def recipes(self) -> tuple[TrainRecipe, ...]:
        learnt = self.asked.pretrained
        alone, usual = (rate_of(self.asked.peak_rate, self.asked.step_images, known) for known in (learnt, False))
        if learnt:
            # In few steps, a high rate spoils more than they teach.
            alone *= min(1.0, (self.steps[0] / _SETTLED) ** 0.5)
        else:
            alone *= _SMALLEST_RATE
        rates = alone, usual, _AT_LAST * usual
        return tuple(
            TrainRecipe(
                steps=steps,
                learning_rate=rate,
                largest_first=steps if learnt and number == 0 else 0,
                smallest_first=steps if not learnt and number == 0 else 0,
                seed=self.asked.seed + number,
                checkpoint_every=max(1, steps // _CHECKPOINTS),
                ema=kept(steps),
                mixup=self._mixup,
                # Before narrower networks join the largest, so that they get the most important channels.
                sorts=learnt and number == 1,
                held_out=self.asked.held_out > 0 and number < 2,
                validate_every=max(1, -(-steps // _VALIDATIONS)),
                # A pretrained network is at its best before the smaller ones have learnt anything.
                ends_early=not (learnt and number == 1),
            )
            for number, (steps, rate) in enumerate(zip(self.steps, rates, strict=True))
            if steps or number < 2
        )


def _area(resolutions: Sequence[int]) -> float:
    """What an image takes at one of some resolutions on average, as a share of what it takes at the last of them."""
    return sum((side / resolutions[-1]) ** 2 for side in resolutions) / len(resolutions)


def _listed(seconds: Mapping[str, float]) -> str:
    names = {
        "measuring": "measuring subnets",
        "predictor": "the predictor",
        "generator": "the generator",
    }
    return ", ".join(f"{names[part]} ({value:.0f} s)" for part, value in seconds.items() if value >= 0.5)
