"""Settings of the training of a supernet."""

from __future__ import annotations

import math
from dataclasses import dataclass

_AVERAGED = 0.02


@dataclass(frozen=True)
class TrainRecipe:
    """Settings of one training pass of a supernet.

    Attributes:
        steps: Number of weight updates.
        learning_rate: Peak learning rate of AdamW; the rate rises linearly to it and then falls to zero along a cosine.
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Weight decay of the convolutions and the classifier.
        random_subnets: Number of random subnets per step, in addition to the smallest and the largest network.
        label_smoothing: Label smoothing in the loss of the largest network; the others learn from its outputs.
        largest_first: Number of steps at the start in which the largest network learns alone, as in Once-for-All's
            progressive shrinking: as long as the teacher has not learnt anything, it only slows the others down.
        smallest_first: Number of steps at the start in which the smallest network learns alone, at any resolution; see
            `nagsdk.supernet.nest`.
        seed: Seed of the random subnets of every step and their resolutions.
        checkpoint_every: Number of steps between checkpoints.
        ema: Decay of the running average of the weights (the share of the old average that each step keeps). The
            training ends with the averaged weights; 0 turns averaging off.
        opened: Open choices in progressive shrinking; see `nagsdk.space.space.ShrinkingStage`. Each step then trains
            `random_subnets` of them from the labels and from a teacher, without the smallest and the largest network.
            None trains by the sandwich rule.
        sorts: Whether channels are sorted by importance at the start.
        mixup: Strength of mixup (Zhang et al., 2018), the parameter of its Beta distribution; 0 mixes no images.
        held_out: Whether images that choices rest on are left out of this pass; see `nagsdk.training.schedule`.
        validate_every: Number of steps between measurements of the largest network on validation images; 0 measures
            none.
        ends_early: Whether the pass ends, with the best weights so far, as soon as validation shows overfitting.
    """

    steps: int
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 0.02
    random_subnets: int = 2
    label_smoothing: float = 0.05
    largest_first: int = 0
    smallest_first: int = 0
    seed: int = 0
    checkpoint_every: int = 500
    ema: float = 0.0
    opened: dict[str, int] | None = None
    sorts: bool = False
    mixup: float = 0.0
    held_out: bool = False
    validate_every: int = 0
    ends_early: bool = False

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


def kept(steps: int) -> float:
    """Decay of the running average, so that it covers the last two per cent of a training of any length."""
    return 1 - 1 / max(10.0, _AVERAGED * steps)
