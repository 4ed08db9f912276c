"""The images of a training as its passes, its measurements and its choices see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nagsdk.images.batches import ArrayBatches, Augmentation, Shown, stratified
from nagsdk.images.decoded import Labelled
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import SearchSpace
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.validation import Validation
from nagsdk.training.schedule import Schedule
from nagsdk.training.sheets import Sheets

_MOST_VALIDATION, _SEEN = 1000, 512


@dataclass(frozen=True)
class Material:
    """Which images a training learns from, and which ones its choices rest on.

    Attributes:
        parts: The decoded images.
        schedule: How much of everything is done.
        preprocessing: Preprocessing of the images.
        classes: Number of classes.
        flip: Whether training mirrors images.
        balanced: Whether training shows images of rare classes more often.
        seed: Seed of the choice.
    """

    parts: Mapping[str, Labelled]
    schedule: Schedule
    preprocessing: Preprocessing
    classes: int
    flip: bool
    balanced: bool
    seed: int

    @cached_property
    def held_out(self) -> NDArray[np.intp]:
        """Places of the training images that the first passes leave out; of no class all."""
        labels = self.parts["train"].labels
        rows = stratified(labels, self.schedule.held_out, self.seed)
        left = np.bincount(labels) - np.bincount(labels[rows], minlength=int(labels.max()) + 1)
        return rows[left[labels[rows]] > 0]

    @cached_property
    def learning(self) -> Labelled:
        """The training images of the first passes."""
        train = self.parts["train"]
        if not self.schedule.held_out:
            return train
        rows = np.setdiff1d(np.arange(len(train.labels)), self.held_out)
        return Labelled(train.images[rows], train.labels[rows])

    @cached_property
    def choosing(self) -> Labelled:
        """The images that choices rest on: those for validation, and training images that were left out."""
        train, val = self.parts["train"], self.parts["val"]
        if not self.schedule.held_out:
            return val
        return _both(val, Labelled(train.images[self.held_out], train.labels[self.held_out]))

    def judging(self, tests: Labelled) -> Labelled:
        """The images that tell how far predictions are from the top-1 on images of their kind.

        These are the test images and, where images are few, those for validation, which no pass trains on either.

        Args:
            tests: The test images as the bundle has them.
        """
        return _both(tests, self.parts["val"]) if self.schedule.held_out else tests

    @property
    def seen(self) -> Labelled:
        """Some images that the training learns from."""
        return self._some(self.parts["train"], _SEEN)

    def batches(self, recipe: TrainRecipe, ranks: Ranks) -> ArrayBatches:
        """Returns the training data of a pass: one process's part of every batch."""
        train = self.learning if recipe.held_out else self.parts["train"]
        return ArrayBatches(
            train.images, train.labels, self.schedule.batch, self.preprocessing, recipe.seed,
            Augmentation(flip=self.flip), ranks.rank, ranks.count, self.balanced, recipe.mixup, self.classes,
        )  # fmt: skip

    def validation(self, recipe: TrainRecipe, space: SearchSpace, sheets: Sheets) -> Validation:
        """Returns the validation of a pass, by images that it does not train on."""
        part = self._some(self.choosing if recipe.held_out else self.parts["val"], _MOST_VALIDATION)
        highest = max(space.resolutions)
        return Validation(lambda: sheets.shown(highest), self.shown(part)(highest), len(part.labels))

    def shown(self, labelled: Labelled) -> Callable[[int], Shown]:
        """Returns a function from a resolution to labelled batches of these images."""
        return lambda resolution: Shown(labelled.images, labelled.labels, resolution, self.preprocessing)

    def _some(self, part: Labelled, most: int) -> Labelled:
        rows = stratified(part.labels, min(most, len(part.labels)), self.seed)
        return Labelled(part.images[rows], part.labels[rows])

    def for_losses(self, most: int) -> Labelled:
        """The validation images on which the loss in int8 is measured."""
        return self._some(self.parts["val"], most)


def _both(one: Labelled, other: Labelled) -> Labelled:
    return Labelled(np.concatenate([one.images, other.images]), np.concatenate([one.labels, other.labels]))
