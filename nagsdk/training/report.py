"""What a training leaves behind, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Top1:
    """A measured top-1.

    Attributes:
        top1: In per cent.
        interval_95: Ends of its 95 % interval (Wilson), in per cent.
    """

    top1: float
    interval_95: tuple[float, float]


@dataclass(frozen=True)
class TrainingReport:
    """What `nagsdk.train` did, or what a dry run found.

    Attributes:
        bundle: The folder of the bundle.
        split: How images were divided into parts: ``given`` by folders or ``automatic``.
        plan: What decides the outcome of the run.
        classes: Images of every class, for each part.
        left_out: Images that were left out because they cannot be decoded.
        already_finished: Whether the finished bundle was there already, so that nothing was done.
        processes: Processes that shared the work; None where nothing was done.
        steps: Updates of the weights; None where an other process than the first asks.
        smallest: Top-1 of the smallest architecture on the test images; None in a dry run.
        largest: Top-1 of the largest architecture.
        predictor: How well the accuracy predictor tells subnets apart that it has not seen; None in a dry run.
        passes: The passes of a dry run.
        estimate: Seconds and bytes that a dry run expects.
    """

    bundle: str
    split: str
    plan: Mapping[str, Any]
    classes: Mapping[str, Mapping[str, int]]
    left_out: int
    already_finished: bool
    processes: int | None = None
    steps: int | None = None
    smallest: Top1 | None = None
    largest: Top1 | None = None
    predictor: Mapping[str, Any] | None = None
    passes: tuple[Mapping[str, Any], ...] | None = None
    estimate: Mapping[str, float] | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> TrainingReport:
        """A report of its JSON form."""
        known = {field.name: facts[field.name] for field in fields(cls) if field.name in facts}
        for name in ("smallest", "largest"):
            if name in known:
                known[name] = Top1(known[name]["top1"], tuple(known[name]["interval_95"]))
        if "passes" in known:
            known["passes"] = tuple(known["passes"])
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """What `nagsdk train --json` prints; keys of what is not known are left out."""
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
            else [f"top-1 {self.smallest.top1:g} to {self.largest.top1:g} %"]
        )
        return f"TrainingReport({', '.join([self.bundle, *ends])})"
