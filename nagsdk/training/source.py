"""Labelled images of a user for a given bundle, to measure or fine-tune its subnets with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nagsdk.bundle.bundle import RECALIBRATION_IMAGES, Bundle
from nagsdk.bundle.split import recorded_split
from nagsdk.errors import DataError, ImagesMissingError
from nagsdk.events import Listener, ignore
from nagsdk.images.batches import Shown, prepare, stratified
from nagsdk.images.decoded import Labelled, decode, square_side
from nagsdk.images.entries import one_line, some
from nagsdk.images.folder import scan
from nagsdk.supernet.evaluate import Pictures


@dataclass(frozen=True)
class Source:
    """Images of the classes of a bundle.

    Attributes:
        bundle: Bundle whose preprocessing and recalibration images are used.
        parts: Parts ``train``, ``val`` and ``test`` of a folder; None if there are only the bundle's own test images.
        fingerprint: Fingerprint of the folder; see `ImageFolder`.
        own_tests: Whether the test images are those in the bundle.
        root: The folder.
    """

    bundle: Bundle
    parts: dict[str, Labelled] | None
    fingerprint: str = ""
    own_tests: bool = True
    root: Path | None = None

    @classmethod
    def of(
        cls, bundle: Bundle, data: str | Path | None, skip_broken: bool = False, on_event: Listener = ignore
    ) -> Source:
        """Opens a folder of images, or the bundle's own test images if no folder is given.

        Of the folder that the bundle was trained on, the test images are taken from the bundle, if it holds them all:
        they are compressed there, and `deploy` and `evaluate` measure the same figure.

        Raises:
            DataError: The folder cannot be used, or its classes are not those of the bundle.
            ImagesMissingError: No folder is given, and the bundle has no labelled images.
        """
        if data is None:
            if bundle.test_set(min(bundle.space.resolutions)) is None:
                raise ImagesMissingError(
                    f"The bundle {bundle.name} has no labelled images.", "Give a folder of images with --data."
                )
            return cls(bundle, None)
        found = scan(Path(data), recorded_split(bundle), on_event=on_event).with_classes(bundle.labels or ())
        if len(found.classes) != bundle.space.classes or bundle.labels not in (None, found.classes):
            known = (
                some(bundle.labels) if bundle.labels is not None else f"{bundle.space.classes} classes without names"
            )
            raise DataError(
                f"The class folders of {data} ({some(found.classes)}) are not the classes of the bundle {bundle.name} "
                f"({known}).",
                "Give the images that the bundle was trained on, or others with the same class folders.",
            )
        parts = decode(found, square_side(bundle.space, bundle.preprocessing), skip_broken, on_event)
        trained_on = bundle.description.provenance.get("images")
        own = isinstance(trained_on, dict) and trained_on.get("fingerprint") == found.fingerprint
        images = bundle.description.images
        own = own and bundle.has_test_images and images is not None and images.test.count == len(parts["test"].labels)
        return cls(bundle, parts, found.fingerprint, own, found.root)

    def recalibration(self, resolution: int) -> Tensor:
        """Returns normalised images for `recalibrate`: the bundle's own, or training images if it has none."""
        if self.bundle.has_images:
            return torch.from_numpy(self.bundle.recalibration_images(resolution))
        assert self.parts is not None
        train = self.parts["train"]
        rows = stratified(train.labels, RECALIBRATION_IMAGES, seed=0)
        return prepare(train.images[rows], resolution, self.bundle.preprocessing)

    def shown(self, part: str) -> Callable[[int], Pictures]:
        """Returns a function from a resolution to the labelled batches of a part."""

        def pictures(resolution: int) -> Pictures:
            if self.parts is not None and not (part == "test" and self.own_tests):
                return Shown(self.parts[part].images, self.parts[part].labels, resolution, self.bundle.preprocessing)
            test = self.bundle.test_set(resolution)
            assert test is not None
            inputs, labels = torch.from_numpy(test.inputs), torch.from_numpy(test.labels)
            return list(zip(torch.split(inputs, Shown.batch), torch.split(labels, Shown.batch), strict=True))

        return pictures

    def some(self, part: str, most: int, resolution: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns normalised images of a part of the folder, and their classes, at most `most` of them."""
        assert self.parts is not None
        found = self.parts[part]
        rows = stratified(found.labels, min(most, len(found.labels)), seed=0)
        inputs = prepare(found.images[rows], resolution, self.bundle.preprocessing).contiguous()
        return inputs.numpy(), np.asarray(found.labels[rows], np.int64)

    def names(self, part: str) -> list[str]:
        """Returns the names of the images of a part: paths inside the folder, or numbers of the bundle's images."""
        if self.parts is None or self.root is None:
            return [f"{part} image {number}" for number in range(1, self.count(part) + 1)]
        return [one_line(path.relative_to(self.root).as_posix()) for path in self.parts[part].paths]

    def count(self, part: str) -> int:
        """Returns the number of images of a part."""
        if self.parts is not None:
            return len(self.parts[part].labels)
        assert self.bundle.description.images is not None
        return self.bundle.description.images.test.count
