"""Results of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Top1:
    """A measured top-1.

    Attributes:
        top1: Top-1 in per cent.
        interval_95: Lower and upper end of the 95 % interval (Wilson), in per cent.
    """

    top1: float
    interval_95: tuple[float, float]


@dataclass(frozen=True)
class TrainingReport:
    """Result of `nagsdk.train`, or of its dry run.

    Attributes:
        bundle: Folder of the bundle.
        split: How images were divided into parts: ``folders`` if the folder has a subfolder for each part, otherwise
            ``automatic``.
        near_duplicates: Number of images that look nearly the same as others (``images``), in how many sets (``sets``),
            of pairs of them with different classes (``two_labels``), and of those in ``val`` and ``test`` that look
            like one in ``train`` (``across_parts``).
        plan: Settings that determine the result of the run.
        classes: Number of images of every class, for each part.
        left_out: Number of images that were left out because they cannot be decoded.
        already_finished: Whether the bundle was finished before, so that nothing was done.
        processes: Number of processes that shared the work; None if nothing was done.
        steps: Number of weight updates; None in all processes but the first.
        smallest: Top-1 of the smallest architecture on the test images; None in a dry run.
        largest: Top-1 of the largest architecture on the test images; None in a dry run.
        seen: Top-1 of the largest architecture on images that it was trained on, in per cent: far above that on the
            test images, it overfits. None in a dry run.
        guessing: Top-1 of always naming the most frequent class of the test images, in per cent; None in a dry run.
        predictor: Accuracy of the predictor on subnets that it was not fitted to; None in a dry run.
        task: What networks are worth on the test images (`nagsdk.manifest.task_schema.TaskRecord`): the smallest, one
            in between, the largest, how sure it is that they differ, and plain networks; None in a dry run.
        passes: Passes of the training; None except in a dry run.
        schedule: How much of everything the training does; None except in a dry run.
        estimate: Estimated seconds and bytes of the training; None except in a dry run.
    """

    bundle: str
    split: str
    near_duplicates: Mapping[str, int]
    plan: Mapping[str, Any]
    classes: Mapping[str, Mapping[str, int]]
    left_out: int
    already_finished: bool
    processes: int | None = None
    steps: int | None = None
    smallest: Top1 | None = None
    largest: Top1 | None = None
    seen: float | None = None
    guessing: float | None = None
    predictor: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    passes: tuple[Mapping[str, Any], ...] | None = None
    schedule: Mapping[str, Any] | None = None
    estimate: Mapping[str, float] | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> TrainingReport:
        """Creates a report from its JSON form."""
        known = {field.name: facts[field.name] for field in fields(cls) if field.name in facts}
        for name in ("smallest", "largest"):
            if name in known:
                known[name] = Top1(known[name]["top1"], tuple(known[name]["interval_95"]))
        if "passes" in known:
            known["passes"] = tuple(known["passes"])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Returns the object that `nagsdk train --json` prints, without the keys of attributes that are None."""
        result = {
            field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None
        }
        for name in ("smallest", "largest"):
            if (figure := getattr(self, name)) is not None:
                result[name] = {"top1": figure.top1, "interval_95": list(figure.interval_95)}
        if self.passes is not None:
            result["passes"] = list(self.passes)
        return result

    def __repr__(self) -> str:
        ends = (
            []
            if self.smallest is None or self.largest is None
            else [f"top-1 {self.smallest.top1:.2f} to {self.largest.top1:.2f} %"]
        )
        return f"TrainingReport({', '.join([self.bundle, *ends])})"
