"""How a supernet is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainRecipe:
    """How a supernet is trained.

    Attributes:
        steps: Updates of the weights.
        learning_rate: Peak of AdamW's rate; it rises linearly, then falls along a cosine to zero.
        warmup: Share of the steps in which it rises.
        weight_decay: On weights of convolutions and the classifier.
        random_subnets: Drawn per step beside the smallest and the largest.
        label_smoothing: Of the largest network's loss; the others learn from its outputs.
        largest_first: Steps at the start in which the largest network learns alone, as in Once-for-All's progressive shrinking:
            a teacher that knows nothing yet only holds the others back.
        seed: Decides the random subnets of every step and their resolutions.
        checkpoint_every: Steps between checkpoints.
        ema: Share of the running average of the weights that a step keeps; the average is what the training ends in. 0 keeps none.
        opened: Of progressive shrinking: what may be drawn; see `nagsdk.space.space.ShrinkingStage`. No extremes are trained then, but `random_subnets` of these, from the labels
            and from a teacher. None trains by the sandwich rule.
        sorts: Whether channels are sorted by importance at the start.
    """

    steps: int
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 0.02
    random_subnets: int = 2
    label_smoothing: float = 0.05
    largest_first: int = 0
    seed: int = 0
    checkpoint_every: int = 500
    ema: float = 0.0
    opened: dict[str, int] | None = None
    sorts: bool = False

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))
