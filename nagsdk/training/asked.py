"""What is asked of a training that is planned for a time.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nagsdk.training.schedule import SMALL, Counts

# Images per step, of trainings with few images and with others.
_BATCH_FEW, _BATCH = 32, 64
# With few images, choices rest on this number if a fifth of the training images suffices for it.
_CHOSEN_ON, _MOST_HELD = 200, 0.2


@dataclass(frozen=True)
class Asked:
    """What is asked of a training.

    Attributes:
        seconds: The time of the whole run.
        counts: Numbers of images.
        resolutions: Resolutions of the space, ascending.
        pretrained: Whether the initial weights come from an earlier training.
        batch: Number of images per step; None chooses it.
        subnets: Number of subnets to measure; None chooses it.
        generator: Whether to train a generator.
        seed: Seed of the first pass.
        ranks: Number of processes that share the work.
        narrow: Whether resolutions may be left out.
        narrowed: Whether the smallest of the other choices are left out; the pace is that without them.
        peak_rate: Learning rate of the space; see `NetworkSpace.peak_rate`.
        integers: Whether its networks have an integer form, so that the loss in int8 can be measured.
    """

    seconds: float
    counts: Counts
    resolutions: Sequence[int]
    pretrained: bool
    batch: int | None = None
    subnets: int | None = None
    generator: bool = True
    seed: int = 0
    ranks: int = 1
    narrow: bool = True
    narrowed: bool = False
    peak_rate: float = 4e-3
    integers: bool = True

    @property
    def few(self) -> bool:
        """Whether there are so few images that choices need more than those for validation."""
        return self.counts.train + self.counts.val < SMALL

    @property
    def held_out(self) -> int:
        """Number of training images that the first passes leave out."""
        return min(int(_MOST_HELD * self.counts.train), max(0, _CHOSEN_ON - self.counts.val)) if self.few else 0

    @property
    def learning(self) -> int:
        """Number of training images of the first passes."""
        return self.counts.train - self.held_out

    @property
    def judging(self) -> int:
        """Number of images that predictions are compared with; see `nagsdk.training.material.Material.judging`."""
        return self.counts.test + (self.counts.val if self.held_out else 0)

    @property
    def step_images(self) -> int:
        """Number of images per step, over all processes."""
        usual = _BATCH_FEW if self.counts.train < 2 * SMALL else _BATCH
        return self.batch or max(2 * self.ranks, min(usual, self.learning) // self.ranks * self.ranks)
