"""Fine-tunes one subnet on a user's images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nagsdk.common.memory import memory_kept
from nagsdk.events import Listener, ignore
from nagsdk.families.protocol import Subnet
from nagsdk.images.batches import ArrayBatches, Augmentation
from nagsdk.supernet.finetune import finetune, finetune_integers
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.training.source import Source

if TYPE_CHECKING:
    from torch import Tensor

    from nagsdk.graph.integers import IntegerGraph

_BATCH = 64
# Share of the weight updates in which a network for integers rounds as its file does.
_INTEGER_SHARE = 1 / 3


def integer_steps(steps: int) -> range:
    """The last weight updates, in which a network for integers rounds as its file does."""
    return range(steps - round(_INTEGER_SHARE * steps), steps)


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes a subnet of a bundle on a folder of images, with the bundle's largest network as teacher.

    Attributes:
        source: Images, which must come from a folder.
        epochs: Number of epochs over the training images.
        seed: Seed of the order and of the augmentation.
        on_event: Receives progress.
    """

    source: Source
    epochs: int
    seed: int = 0
    on_event: Listener = ignore

    @memory_kept()
    def tune(self, subnet: Subnet, integers: bool = False) -> None:
        """Trains a subnet in place.

        Args:
            subnet: The subnet.
            integers: Whether `tune_integers` follows, for which the last weight updates are left.
        """
        batches, steps = self._batches()
        recalibration = self.source.recalibration(subnet.architecture.resolution)
        before = steps - len(integer_steps(steps)) if integers else steps
        finetune(subnet, self._teacher(), batches, before, recalibration, on_event=self.on_event)

    @memory_kept()
    def tune_integers(self, graph: IntegerGraph, fed: Callable[[Tensor], Tensor]) -> IntegerGraph:
        """Trains the network in integers that was made of a tuned subnet; it rounds as the file will.

        Args:
            graph: The network in integers.
            fed: Turns normalised images into what the file is fed with.
        """
        batches, steps = self._batches()
        last = integer_steps(steps)
        return finetune_integers(graph, self._teacher(), batches, last, fed, on_event=self.on_event)

    def _batches(self) -> tuple[ArrayBatches, int]:
        """The training images, and the number of weight updates over all epochs."""
        assert self.source.parts is not None
        bundle, train = self.source.bundle, self.source.parts["train"]
        batch = min(_BATCH, len(train.labels))
        # Images may be mirrored only if the training of the bundle mirrored them: letters, for example, must not be.
        flip = bundle.description.provenance.get("plan", {}).get("flip") is True
        augmentation = Augmentation(flip=flip)
        batches = ArrayBatches(train.images, train.labels, batch, bundle.preprocessing, self.seed, augmentation)
        return batches, self.epochs * (len(train.labels) // batch)

    def _teacher(self) -> Subnet:
        bundle = self.source.bundle
        return teacher_of(bundle.supernet, self.source.recalibration(max(bundle.space.resolutions)))

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry of the manifest."""
        assert self.source.parts is not None
        return {"epochs": self.epochs, "images": len(self.source.parts["train"].labels), "teacher": "largest"}
