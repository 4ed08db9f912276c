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

from nagsdk.preprocessing import Preprocessing


class Batches(Protocol):
    """Training data.

    What a call returns depends on its arguments only: that is what lets a run be resumed without a trace.
    """

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: normalised images, float32 (n, 3, resolution, resolution), and labels, int64 (n,)."""
        ...


@dataclass(frozen=True)
class ArrayBatches:
    """`Batches` out of arrays in memory: every epoch a new order, incomplete last batches left out.

    Attributes:
        images: uint8, shape (n, side, side, 3).
        labels: Integers, shape (n,).
        batch: Images per batch.
        preprocessing: How images become inputs.
        seed: Decides the order.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    batch: int
    preprocessing: Preprocessing
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.batch <= len(self.images) or len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images and {len(self.labels)} labels do not make batches of {self.batch}.")

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        epoch, place = divmod(step, len(self.images) // self.batch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])
        return prepare(self.images[rows], resolution, self.preprocessing), torch.from_numpy(self.labels[rows]).long()


def prepare(images: NDArray[np.uint8], resolution: int, preprocessing: Preprocessing) -> Tensor:
    """`Preprocessing.apply` for many square images at once; pixels agree with Pillow's within one grey level.

    Args:
        images: uint8, shape (n, side, side, 3).
        resolution: Of the result.
        preprocessing: Its steps.

    Returns:
        float32, shape (n, 3, resolution, resolution), channels last in memory.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    side = round(resolution / preprocessing.crop_fraction)
    if pixels.shape[-1] != side:
        pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    edge = (side - resolution) // 2
    pixels = pixels[:, :, edge : edge + resolution, edge : edge + resolution]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def portions(images: Tensor, size: int) -> Sequence[Tensor]:
    """Parts of equal size for `recalibrate`; a remainder is left out, for its statistics would weigh as much as a whole part's.

    Args:
        images: Shape (n, …).
        size: Images per part.
    """
    return [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
