"""Watches a training on validation images: how good its largest network is, and whether it overfits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nagsdk.families.protocol import Supernet
from nagsdk.supernet.evaluate import Pictures, top1
from nagsdk.supernet.processes import Ranks
from nagsdk.supernet.recalibrate import teacher_of

# Measurements in a row that must be worse than the best one by more than its standard error.
_PATIENCE = 2


@dataclass(frozen=True)
class Validation:
    """Measures the largest network during a training.

    Attributes:
        recalibration: Returns normalised images at the highest resolution; see `recalibrate`.
        pictures: Labelled batches at the highest resolution; see `top1`.
        count: Number of images in these batches.
    """

    recalibration: Callable[[], Tensor]
    pictures: Pictures
    count: int

    def measure(self, supernet: Supernet, ranks: Ranks) -> float:
        """The top-1 of the largest network in per cent, the same in every process.

        Args:
            supernet: Source of the weights, which stays as it is.
            ranks: Processes that train together; the first one measures.
        """
        found = top1(teacher_of(supernet, self.recalibration()), self.pictures) if ranks.first else 0.0
        return float(ranks.sum(np.array([found]))[0])


@dataclass
class Best:
    """The weights of a pass that were best on the validation images.

    Few images tell little: weights count as worse than the best ones only if they are by more than one standard error
    of the best top-1.

    Attributes:
        count: Number of validation images.
        top1: The best top-1 so far, in per cent; the later of two equal ones.
        step: Number of steps after which it was measured.
        last: The last top-1.
        worse: Number of measurements in a row, late in the training, that were worse.
        weights: The best weights by name.
    """

    count: int
    top1: float = -1.0
    step: int = 0
    last: float = -1.0
    worse: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def see(self, supernet: Supernet, step: int, top1: float, late: bool = True) -> None:
        """Takes note of a measurement.

        Args:
            supernet: The weights that were measured.
            step: Number of steps done.
            top1: What was measured, in per cent.
            late: Whether worse weights are a sign of overfitting. While the learning rate is high, they are not: what a
                training loses then comes back at the end.
        """
        self.last = top1
        if top1 >= self.top1:
            self.top1, self.step, self.worse = top1, step, 0
            self.weights = {name: p.detach().clone() for name, p in supernet.named_parameters()}
        else:
            self.worse = self.worse + 1 if late and self.overfitted else 0

    @property
    def overfitted(self) -> bool:
        """Whether the last weights are worse than the best ones."""
        share = min(max(self.top1 / 100, 1 / (self.count + 2)), 1 - 1 / (self.count + 2))
        return self.top1 - self.last > 100 * math.sqrt(share * (1 - share) / self.count)

    @property
    def ended(self) -> bool:
        """Whether overfitting is certain enough to end the pass."""
        return self.worse >= _PATIENCE

    @torch.no_grad()
    def put_into(self, supernet: Supernet) -> None:
        """Replaces the weights of a supernet by the best ones."""
        for name, parameter in supernet.named_parameters():
            parameter.copy_(self.weights[name])

    def to_dict(self) -> dict[str, float | int]:
        """The figures, for a checkpoint."""
        return {"top1": self.top1, "step": self.step, "last": self.last, "worse": self.worse}

    def restore(self, known: object) -> None:
        """Takes the figures that `to_dict` returned.

        Raises:
            ValueError: They are not such figures.
        """
        if not isinstance(known, dict) or {name: type(value) for name, value in known.items()} != {
            name: type(value) for name, value in self.to_dict().items()
        }:
            raise ValueError("the figures of the validation are missing")
        self.top1, self.step, self.last, self.worse = (known[name] for name in self.to_dict())
