"""Pictures as networks want them, and batches that depend on nothing but a seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


class Batches(Protocol):
    """Training data.

    What a call returns depends on its arguments only: that is what lets a run be resumed without a trace.
    """

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: normalised images, float32 (n, 3, resolution, resolution), and labels, int64 (n,)."""
        ...


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the channels, for pixels scaled to 0..1."""

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)

    def __call__(self, images: Tensor) -> Tensor:
        """Maps uint8 (n, 3, h, w) to float32 of the same shape."""
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def resize(images: Tensor, resolution: int) -> Tensor:
    """Resizes uint8 (n, 3, h, w) to a square, bilinear with antialiasing: what Pillow's ``BILINEAR`` gives, within one grey level."""
    if images.shape[-2:] == (resolution, resolution):
        return images
    return functional.interpolate(images, (resolution, resolution), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class ArrayBatches:
    """`Batches` out of arrays in memory: every epoch a new order, incomplete last batches left out.

    Attributes:
        images: uint8, shape (n, side, side, 3).
        labels: Integers, shape (n,).
        batch: Images per batch.
        normalisation: Applied after resizing.
        seed: Decides the order.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    batch: int
    normalisation: Normalisation = Normalisation()
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.batch <= len(self.images) or len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images and {len(self.labels)} labels do not make batches of {self.batch}.")

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        epoch, place = divmod(step, len(self.images) // self.batch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])
        return prepare(self.images[rows], resolution, self.normalisation), torch.from_numpy(self.labels[rows]).long()


def prepare(images: NDArray[np.uint8], resolution: int, normalisation: Normalisation) -> Tensor:
    """Resizes and normalises uint8 (n, h, w, 3) to float32 (n, 3, resolution, resolution), channels last in memory."""
    nchw = torch.from_numpy(images).permute(0, 3, 1, 2)
    return normalisation(resize(nchw, resolution)).contiguous(memory_format=torch.channels_last)


def portions(images: Tensor, size: int) -> Sequence[Tensor]:
    """Parts of equal size for `recalibrate`; a remainder is left out, for its statistics would weigh as much as a whole part's.

    Args:
        images: Shape (n, …).
        size: Images per part.
    """
    return [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
