"""Measures how fast this machine trains and measures networks of a space, in some seconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from nagsdk.events import Event, Finished
from nagsdk.families.space import NetworkSpace
from nagsdk.generator.train import GeneratorRecipe, examine
from nagsdk.generator.train import train as train_policy
from nagsdk.images.batches import ArrayBatches, Augmentation, prepare
from nagsdk.images.decoded import square_side
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.predictor.additive import AdditiveScore
from nagsdk.space.space import Codes, extremes
from nagsdk.supernet.processes import Ranks, torch_device
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.resume import Average
from nagsdk.supernet.train import optimizer_of, subnets_of, train_step
from nagsdk.training.schedule import Pace
from nagsdk.training.subnets import LEAST, fit_seconds

# Seconds that a timed step of the largest network may take: batches are made so small. Of large networks, their time is
# in proportion to their images.
_STEP_S, _GROWS = 0.5, 4
_SUBNETS, _SUBNET_IMAGES = 3, 32
# A training of a generator that takes this share of the usual one.
_FEW = GeneratorRecipe(problems=6, steps=10, gradient_steps=3)
_FIT_AT = (LEAST, 100, 200, 300)
_DEVICES = 2


@dataclass(frozen=True)
class Stopwatch:
    """Times steps of training with random weights and random images, one process at a time.

    Attributes:
        space: The space.
        preprocessing: Preprocessing of the images.
        batch: Number of images of a timed step.
    """

    space: NetworkSpace
    preprocessing: Preprocessing
    batch: int

    @classmethod
    def of(cls, space: NetworkSpace, preprocessing: Preprocessing, batch: int) -> Stopwatch:
        """Chooses how many images a step is timed with; the first step of a process also takes longer.

        Args:
            space: The space.
            preprocessing: Preprocessing of the images.
            batch: Number of images of this process in a step of the training.
        """
        images = min(2, batch)
        while True:
            each = cls(space, preprocessing, images).together(TrainRecipe(1, largest_first=1), 1)
            if images == batch or _GROWS * images * each > _STEP_S:
                return cls(space, preprocessing, int(np.clip(_STEP_S / each, images, batch)))
            # So small a network takes long beside its images, and would seem slow with few of them.
            images = min(_GROWS * images, batch)

    def together(self, recipe: TrainRecipe, times: int = 2) -> float:
        """Seconds of one image in a step of a recipe, from the mean of some steps.

        Networks are trained once before, because libraries prepare for shapes that are new, which takes longer than the
        step. If all subnets of a step have the same resolution, these are the highest and the lowest in turn.
        """
        supernet = self.space.supernet().to(torch_device())
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        supernet.train()
        optimizer, batches = optimizer_of(supernet, recipe), self._batches()
        seconds, before = list[float](), set[bytes]()
        ends = (max(self.space.resolutions), min(self.space.resolutions))
        together = recipe.opened is not None
        teacher = supernet.extract(self.space.decode(extremes(self.space))[1]).to(torch_device()) if together else None
        for step in range(times):
            codes = subnets_of(self.space, recipe, step)
            if together or recipe.smallest_first:
                codes[:, 0] = self.space.resolution_index(ends[step % 2])
            run = partial(train_step, supernet, optimizer, recipe, codes, batches, step, Ranks(), teacher)
            if (known := codes.tobytes()) not in before:
                before.add(known)
                run()
            seconds.append(_timed(run))
        return max(float(np.mean(seconds)) - _timed(optimizer.step), 1e-6) / self.batch

    def update(self) -> float:
        """Seconds of updating the weights and their running average, whatever the number of images."""
        supernet = self.space.supernet().to(torch_device())
        for parameter in supernet.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer = optimizer_of(supernet, TrainRecipe(1))
        _timed(optimizer.step)
        average = Average(supernet, 0.9)
        return _timed(optimizer.step) + _timed(partial(average.update, supernet, 1))

    def forward(self) -> float:
        """Seconds of one image through the largest network."""
        largest = self.space.decode(extremes(self.space))[1]
        network = self.space.supernet().extract(largest).to(torch_device())
        images = self._prepared(self.batch, largest.resolution)

        def run() -> None:
            with torch.no_grad():
                network(images.to(torch_device()))

        run()
        return _timed(run) / self.batch

    def subnets(self, seed: int) -> tuple[float, float]:
        """Seconds of cutting a random subnet out, and of one image through it: medians, against a single hold-up."""
        supernet, cut, shown = self.space.supernet().eval(), [], []
        for architecture in self.space.decode(self.space.sample(_SUBNETS, np.random.default_rng(seed))):
            images = self._prepared(min(_SUBNET_IMAGES, 4 * self.batch), architecture.resolution)
            began = time.monotonic()
            subnet = supernet.extract(architecture).to(torch_device())
            cut.append(time.monotonic() - began)
            recalibrate(subnet, images)
            shown.append(_timed(partial(recalibrate, subnet, images)) / len(images))
        return float(np.median(cut)), float(np.median(shown))

    def _batches(self) -> ArrayBatches:
        images = _noise(self.batch, square_side(self.space, self.preprocessing))
        labels = np.arange(self.batch) % self.space.classes
        return ArrayBatches(images, labels, self.batch, self.preprocessing, 0, Augmentation())

    def _prepared(self, count: int, resolution: int) -> torch.Tensor:
        return prepare(_noise(count, square_side(self.space, self.preprocessing)), resolution, self.preprocessing)


def pace_of(watch: Stopwatch, seed: int, generator: bool, smallest: int) -> Pace:
    """Measures everything that a schedule needs.

    Args:
        watch: Times steps.
        seed: Seed of the random subnets.
        generator: Whether a generator is to be trained.
        smallest: Number of images in a step of this process that trains the smallest network alone, which takes long
            beside each of them; 0 trains none.
    """
    cut, subnet = watch.subnets(seed)
    return Pace(
        alone=watch.together(TrainRecipe(4, largest_first=4)),
        smallest=replace(watch, batch=smallest).together(TrainRecipe(4, smallest_first=4)) if smallest else 1.0,
        together=watch.together(TrainRecipe(4)),
        update=watch.update(),
        forward=watch.forward(),
        subnet=subnet,
        cut=cut,
        fit={count: fit_seconds(watch.space, count) for count in _FIT_AT},
        generator=generator_seconds(watch.space) if generator else 1.0,
    )


def generator_seconds(space: NetworkSpace) -> float:
    """Estimates the seconds that training a generator takes, from a very short training on a made-up predictor."""
    teacher, usual = _MadeUp(space), GeneratorRecipe()
    marks: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            marks.append(time.monotonic())

    began = time.monotonic()
    policy = train_policy(space, teacher, _FEW, 0, listen)
    done = time.monotonic()
    examine(space, teacher, policy, _DEVICES)
    examined = (time.monotonic() - done) / _DEVICES
    ends = [began, *marks]
    parts = [later - earlier for earlier, later in itertools.pairwise(ends)]
    lengths = [(usual.problems, _FEW.problems), (usual.steps, _FEW.steps), (usual.gradient_steps, _FEW.gradient_steps)]
    return (
        sum(part * long / short for part, (long, short) in zip(parts, lengths, strict=True)) + usual.examined * examined
    )


class _MadeUp:
    """A predictor with random gains, which rise with the choices as those of trained networks do."""

    hash = "made up"

    def __init__(self, space: NetworkSpace) -> None:
        rng = np.random.default_rng(0)
        table = np.sort(rng.uniform(0, 0.1, (len(space.sizes), int(space.sizes.max()))), axis=1)
        self.additive = AdditiveScore(-3.0, table, 90.0)

    def predict(self, codes: Codes) -> Any:
        """See `Predictor.predict`."""
        return SimpleNamespace(mean=self.additive.inverse(self.additive.score(codes)))


def _timed(run: Callable[[], object]) -> float:
    began = time.monotonic()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - began


def _noise(count: int, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
