"""Pictures as networks want them, and batches that depend on nothing but a seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nagsdk.images.preprocessing import Preprocessing

_MOST_KEPT_BYTES = 2**29


class Batches(Protocol):
    """Training data.

    What a call returns depends on its arguments only: that is what lets a run be resumed without a trace.
    """

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """The batch of a step: normalised images, float32 (n, 3, resolution, resolution), and labels, int64 (n,)."""
        ...


@dataclass(frozen=True)
class Augmentation:
    """How training images vary from epoch to epoch.

    Attributes:
        area: Least share of the square that a crop keeps.
        stretch: Most ratio of a crop's sides.
        flip: Whether half of the images are mirrored; letters and signs must not be.
        colour: Most relative change of brightness, contrast and saturation.
    """

    area: float = 0.35
    stretch: float = 4 / 3
    flip: bool = True
    colour: float = 0.3

    def crops(self, draws: NDArray[np.float64], side: int) -> NDArray[np.int64]:
        """Left, top, width and height of crops, shape (n, 4), from uniform draws of shape (n, 4 or more)."""
        area = self.area + draws[:, 0] * (1 - self.area)
        ratio = self.stretch ** (2 * draws[:, 1] - 1)
        size = np.clip(np.rint(side * np.sqrt(np.stack([area * ratio, area / ratio], 1))), 1, side)
        return np.concatenate([np.floor(draws[:, 2:4] * (side - size + 1)), size], 1).astype(np.int64)

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.float64], resolution: int) -> Tensor:
        """Varied images in 0–1.

        Args:
            images: uint8, shape (n, side, side, 3).
            draws: Uniform in 0–1, shape (n, DRAWS).
            resolution: Of the result.

        Returns:
            float32, shape (n, 3, resolution, resolution).
        """
        parts = []
        for image, (left, top, width, height) in zip(images, self.crops(draws, images.shape[1]).tolist(), strict=True):
            cut = torch.from_numpy(np.ascontiguousarray(image[top : top + height, left : left + width])).permute(
                2, 0, 1
            )[None]
            parts.append(functional.interpolate(cut, (resolution, resolution), mode="bilinear", antialias=True))
        pixels = torch.cat(parts).float() / 255
        if self.flip:
            mirrored = torch.from_numpy(draws[:, 4] < 0.5)
            pixels[mirrored] = pixels[mirrored].flip(3)
        bright, contrast, colourful = (1 + self.colour * torch.from_numpy(2 * draws[:, 5:8].T - 1).float())[
            ..., None, None, None
        ]
        pixels = pixels * bright
        pixels = torch.lerp(pixels.mean((1, 2, 3), keepdim=True), pixels, contrast)
        return torch.lerp(pixels.mean(1, keepdim=True), pixels, colourful).clamp(0, 1)


DRAWS = 8


@dataclass(frozen=True)
class ArrayBatches:
    """`Batches` out of arrays in memory or mapped into it: every epoch a new order, incomplete last batches left out.

    Attributes:
        images: uint8, shape (n, side, side, 3).
        labels: Integers, shape (n,).
        batch: Images per batch.
        preprocessing: How images become inputs.
        seed: Decides the order and how images vary.
        augmentation: How images vary; None shows all of each as it is.
        rank: Which of `ranks` equal parts of each batch is asked for.
        ranks: Processes that share a batch.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    batch: int
    preprocessing: Preprocessing
    seed: int = 0
    augmentation: Augmentation | None = None
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.batch <= len(self.images) or len(self.images) != len(self.labels) or self.batch % self.ranks:
            shared = f" shared by {self.ranks}" if self.ranks > 1 else ""
            raise ValueError(
                f"{len(self.images)} images and {len(self.labels)} labels do not make batches of {self.batch}{shared}."
            )

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        epoch, place = divmod(step, len(self.images) // self.batch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        # Every so many rows: images often lie sorted by class, and no process may see few classes only.
        mine = slice(self.rank, None, self.ranks)
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])[mine]
        labels = torch.from_numpy(self.labels[rows]).long()
        if self.augmentation is None:
            return prepare(self.images[rows], resolution, self.preprocessing), labels
        draws = np.random.default_rng((self.seed, step, 1)).random((self.batch, DRAWS))[mine]
        return normalised(self.augmentation.apply(self.images[rows], draws, resolution), self.preprocessing), labels


def prepare(images: NDArray[np.uint8], resolution: int, preprocessing: Preprocessing) -> Tensor:
    """`Preprocessing.apply` for many square images at once; pixels agree with Pillow's within one grey level, or two where images are enlarged.

    Args:
        images: uint8, shape (n, side, side, 3).
        resolution: Of the result.
        preprocessing: Its steps.

    Returns:
        float32, shape (n, 3, resolution, resolution), channels last in memory.
    """
    # Files are mapped read-only, which torch would warn of.
    pixels = torch.from_numpy(np.require(images, requirements="W")).permute(0, 3, 1, 2)
    side = round(resolution / preprocessing.crop_fraction)
    if pixels.shape[-1] != side:
        pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    edge = (side - resolution) // 2
    pixels = pixels[:, :, edge : edge + resolution, edge : edge + resolution]
    return normalised(pixels.float() / 255, preprocessing)


def normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Pixels in 0–1, (n, 3, h, w), as networks want them; channels last in memory."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Shown:
    """Labelled images at one resolution in batches, as often as asked; kept where they fit, else prepared anew.

    Attributes:
        images: uint8, shape (n, side, side, 3).
        labels: Integers, shape (n,).
        resolution: Of the inputs.
        preprocessing: How images become inputs.
        batch: Images per batch.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    resolution: int
    preprocessing: Preprocessing
    batch: int = 256

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images, float32, and labels, int64."""
        if 12 * len(self.images) * self.resolution**2 <= _MOST_KEPT_BYTES:
            yield from self._kept
        else:
            yield from self._made()

    @cached_property
    def _kept(self) -> list[tuple[Tensor, Tensor]]:
        return list(self._made())

    def _made(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.images), self.batch):
            rows = slice(start, start + self.batch)
            yield (
                prepare(self.images[rows], self.resolution, self.preprocessing),
                torch.from_numpy(np.asarray(self.labels[rows])).long(),
            )


def portions(images: Tensor, size: int) -> Sequence[Tensor]:
    """Parts of equal size for `recalibrate`; a remainder is left out, for its statistics would weigh as much as a whole part's.

    Args:
        images: Shape (n, …).
        size: Images per part.
    """
    return [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
