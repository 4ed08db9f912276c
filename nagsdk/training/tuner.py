"""Fine-tuning of one subnet on a user's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nagsdk.events import Listener, ignore
from nagsdk.families.protocol import Subnet
from nagsdk.images.batches import ArrayBatches, Augmentation
from nagsdk.supernet.finetune import finetune
from nagsdk.supernet.passes import teacher_of
from nagsdk.training.source import Source

_BATCH = 64


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes a bundle's subnet on a folder of images, taught by the bundle's largest network.

    Attributes:
        source: With a folder of images.
        epochs: Over its training images.
        seed: Of order and augmentation.
        on_event: Receives progress.
    """

    source: Source
    epochs: int
    seed: int = 0
    on_event: Listener = ignore

    def tune(self, subnet: Subnet) -> None:
        """Trains a subnet in place."""
        assert self.source.parts is not None
        bundle, train = self.source.bundle, self.source.parts["train"]
        batch = min(_BATCH, len(train.labels))
        # Only a bundle whose training mirrored images says that mirrored ones are the same.
        flip = bundle.description.provenance.get("plan", {}).get("flip") is True
        batches = ArrayBatches(
            train.images, train.labels, batch, bundle.preprocessing, self.seed, Augmentation(flip=flip)
        )
        recalibration = self.source.recalibration(subnet.architecture.resolution)
        teacher = teacher_of(bundle.supernet, self.source.recalibration(max(bundle.space.resolutions)))
        finetune(
            subnet, teacher, batches, self.epochs * (len(train.labels) // batch), recalibration, on_event=self.on_event
        )

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        assert self.source.parts is not None
        return {"epochs": self.epochs, "images": len(self.source.parts["train"].labels), "teacher": "largest"}
