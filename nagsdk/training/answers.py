"""What a network answers for each of many labelled images, and what that says of classes and of labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.files import write_atomically
from nagsdk.families.protocol import Supernet
from nagsdk.images.entries import one_line
from nagsdk.measuring.accuracy import probabilities
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.evaluate import logits_of, wilson
from nagsdk.training.source import Source

# Answers of which so many are shown: pairs of classes that are confused, and images that are answered wrongly.
_MOST_PAIRS, MOST_WRONG = 20, 24
COLUMNS = ("architecture", "part", "image", "label", "predicted", "probability", "label_probability", "right")


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the images of one class; shares in per cent.

    Attributes:
        name: Name of the class.
        images: Number of its images.
        top1: Share of them that are recognised (recall).
        top1_low: Lower end of its 95 % interval (Wilson).
        top1_high: Upper end of the interval.
        precision: Share of the images that are taken for this class and belong to it; None if none is taken for it.
    """

    name: str
    images: int
    top1: float | None
    top1_low: float | None
    top1_high: float | None
    precision: float | None


@dataclass(frozen=True)
class WrongAnswer:
    """An image that a network takes for another class; the surer it is, the more a look at the label is worth.

    Attributes:
        image: Name of the file, or number of the bundle's image.
        part: The part that the image is in.
        label: Its class.
        predicted: The class that it is taken for.
        probability: The probability of that class, 0 to 1.
        label_probability: The probability of the label.
    """

    image: str
    part: str
    label: str
    predicted: str
    probability: float
    label_probability: float


@dataclass(frozen=True)
class Answers:
    """The answers of one network for the images of one part.

    Attributes:
        part: The part.
        names: Names of the images.
        classes: Names of the classes.
        labels: Class of each image, shape (n,).
        probabilities: Probabilities of the classes, shape (n, classes).
    """

    part: str
    names: Sequence[str]
    classes: Sequence[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, source: Source, supernet: Supernet, architecture: Architecture, part: str = "test") -> Answers:
        """Runs a subnet on a part, as `nagsdk.supernet.evaluate.measure` does."""
        resolution = architecture.resolution
        logits, labels = logits_of(
            supernet, architecture, source.recalibration(resolution), source.shown(part)(resolution)
        )
        classes = source.bundle.labels or tuple(map(str, range(source.bundle.space.classes)))
        return cls(part, source.names(part), classes, labels, probabilities(logits))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most likely class is the label, by image."""
        found: NDArray[np.bool_] = self.probabilities.argmax(1) == self.labels
        return found

    @property
    def top1(self) -> float:
        """Share of right answers in per cent."""
        return 100.0 * int(self.right.sum()) / len(self.labels)

    @property
    def confusion(self) -> NDArray[np.intp]:
        """Number of images by label and predicted class, shape (classes, classes)."""
        count = len(self.classes)
        pairs = self.labels * count + self.probabilities.argmax(1)
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    def per_class(self) -> list[ClassAccuracy]:
        """The accuracy of every class."""
        matrix = self.confusion
        found = []
        for label, name in enumerate(self.classes):
            images, right, taken = int(matrix[label].sum()), int(matrix[label, label]), int(matrix[:, label].sum())
            precision = 100 * right / taken if taken else None
            if not images:
                found.append(ClassAccuracy(name, 0, None, None, None, precision))
                continue
            low, high = wilson(right / images, images)
            found.append(ClassAccuracy(name, images, 100 * right / images, 100 * low, 100 * high, precision))
        return found

    def confused(self) -> list[dict[str, Any]]:
        """The pairs of classes that are confused most often: label, predicted and number of images."""
        matrix = self.confusion
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix, axis=None, kind="stable")[:_MOST_PAIRS]
        places = [divmod(int(place), len(self.classes)) for place in order]
        return [
            {"label": self.classes[a], "predicted": self.classes[b], "images": int(matrix[a, b])}
            for a, b in places
            if matrix[a, b]
        ]

    def wrong(self) -> list[tuple[int, WrongAnswer]]:
        """The wrong answers with the places of their images, the surest first."""
        rows = np.flatnonzero(~self.right)
        taken, own = self.probabilities[rows].max(1), self.probabilities[rows, self.labels[rows]]
        order = np.lexsort((rows, -(taken - own)))[:MOST_WRONG]
        return [(int(rows[i]), self._answer(int(rows[i]))) for i in order]

    def rows(self, architecture: str) -> Iterator[tuple[object, ...]]:
        """The rows of a table with `COLUMNS`."""
        for place, right in enumerate(self.right.tolist()):
            found = asdict(self._answer(place))
            facts = {**found, "architecture": architecture, "right": int(right)}
            shown = {name: f"{facts[name]:.6f}" for name in ("probability", "label_probability")}
            yield tuple({**facts, **shown}[name] for name in COLUMNS)

    def to_dict(self) -> dict[str, Any]:
        """Returns accuracies by class, what is confused, and wrong answers, JSON-ready."""
        per_class = self.per_class()
        known = [of.top1 for of in per_class if of.top1 is not None]
        return {
            "balanced_top1": sum(known) / len(known),
            "classes": [asdict(of) for of in per_class],
            "confused": self.confused(),
            "wrong": [asdict(answer) for _, answer in self.wrong()],
        }

    def _answer(self, place: int) -> WrongAnswer:
        chances, label = self.probabilities[place], int(self.labels[place])
        predicted = int(chances.argmax())
        return WrongAnswer(
            self.names[place], self.part, self.classes[label], self.classes[predicted], float(chances[predicted]),
            float(chances[label]),
        )  # fmt: skip


def write_answers(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    """Writes a CSV table with one row for each image and network.

    Args:
        path: The file.
        rows: The rows; see `Answers.rows`.

    Raises:
        OutputError: It cannot be written.
    """
    table = StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([one_line(value) if isinstance(value, str) else value for value in row] for row in rows)
    write_atomically(path, table.getvalue().encode())
