"""Images of a training that become part of its bundle: for batch normalisation, and for the test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from nagsdk.bundle.write import RECALIBRATION, TEST, TEST_LABELS
from nagsdk.common.files import write_atomically, writing
from nagsdk.common.reading import read_json
from nagsdk.images.batches import prepare, stratified
from nagsdk.images.decoded import Labelled
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.images.sheets import most_on_sheet, read_sheet, write_sheet

_MOST_LABELS = 10**7
_TEST = 2560
# Below this side, lossy compression costs accuracy: 4 to 5 points of top-1 at 32 to 48 pixels, none at 112 or more.
_SMALL = 96


@dataclass(frozen=True)
class Sheets:
    """Two sheets of images in the work folder.

    Attributes:
        work: The work folder.
        parts: The decoded images.
        side: Side of the images in pixels.
        preprocessing: Preprocessing of the images.
        recalibration: Most images that batch normalisation is recalibrated on.
        seed: Seed of the choice.
    """

    work: Path
    parts: Mapping[str, Labelled]
    side: int
    preprocessing: Preprocessing
    recalibration: int
    seed: int

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Number of images for recalibration and for the test."""
        most = most_on_sheet(self.side)
        return (
            min(self.recalibration, most, len(self.parts["train"].labels)),
            min(_TEST, most, len(self.parts["test"].labels)),
        )

    @property
    def tests(self) -> Labelled:
        """The test images as the bundle has them, so that `evaluate` and `deploy` measure the same figures."""
        labels = np.array(read_json(self.work / TEST_LABELS, _MOST_LABELS), np.int64)
        return Labelled(read_sheet(self.work / TEST, self.counts[1], self.side), labels)

    def write(self) -> None:
        """Writes both sheets and the classes of the test images."""
        for (part, file), count in zip((("train", RECALIBRATION), ("test", TEST)), self.counts, strict=True):
            labelled = self.parts[part]
            rows = stratified(labelled.labels, count, self.seed)
            with writing(self.work):
                write_sheet(labelled.images[rows], self.work / file, lossless=self.side < _SMALL)
            if part == "test":
                write_atomically(self.work / TEST_LABELS, json.dumps(labelled.labels[rows].tolist()).encode())

    def shown(self, resolution: int) -> Tensor:
        """Normalised images for the recalibration of batch normalisation; see `recalibrate`."""
        images = read_sheet(self.work / RECALIBRATION, self.counts[0], self.side)
        return prepare(images, resolution, self.preprocessing)
