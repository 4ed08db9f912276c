"""Batches of normalised images, which depend only on a seed and the step."""

from __future__ import annotations

from collections.abc import Iterator
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

    The result of a call depends only on its arguments, so that a resumed run gets the same data as one without
    interruption.
    """

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Returns the batch of a step.

        Returns:
            Images, float32 (n, 3, resolution, resolution), and labels, int64 (n,); where images are mixed, the labels
            are the shares of the classes, float32 (n, classes).
        """
        ...


def classes_of(labels: Tensor) -> Tensor:
    """The class of each image, int64, shape (n,); of mixed images, the one with the largest share."""
    return labels if labels.ndim == 1 else labels.argmax(1)


@dataclass(frozen=True)
class Augmentation:
    """Settings of the random variation of training images.

    Attributes:
        area: Smallest share of the square that a crop keeps.
        stretch: Largest ratio of the sides of a crop.
        flip: Whether half of the images are mirrored; use False for letters and signs.
        colour: Largest relative change of brightness, contrast and saturation.
    """

    area: float = 0.35
    stretch: float = 4 / 3
    flip: bool = True
    colour: float = 0.3

    def crops(self, draws: NDArray[np.float64], side: int) -> NDArray[np.int64]:
        """Computes left, top, width and height of crops, shape (n, 4), from uniform draws of shape (n, 4 or more)."""
        area = self.area + draws[:, 0] * (1 - self.area)
        ratio = self.stretch ** (2 * draws[:, 1] - 1)
        size = np.clip(np.rint(side * np.sqrt(np.stack([area * ratio, area / ratio], 1))), 1, side)
        return np.concatenate([np.floor(draws[:, 2:4] * (side - size + 1)), size], 1).astype(np.int64)

    def apply(self, images: NDArray[np.uint8], draws: NDArray[np.float64], resolution: int) -> Tensor:
        """Crops, mirrors and recolours images.

        Args:
            images: Images, uint8, shape (n, side, side, 3).
            draws: Uniform random numbers in 0–1, shape (n, DRAWS).
            resolution: Side of the resulting images.

        Returns:
            Pixels in 0–1, float32, shape (n, 3, resolution, resolution).
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
    """`Batches` from arrays in memory or memory-mapped files.

    The order of the images is new in every epoch, and an incomplete last batch is dropped.

    Attributes:
        images: Images, uint8, shape (n, side, side, 3).
        labels: Class of each image, integers, shape (n,).
        batch: Number of images per batch, over all processes.
        preprocessing: Preprocessing of the images.
        seed: Seed of the order and of the augmentation.
        augmentation: Random variation of the images; None uses every image unchanged.
        rank: Number of this process, which gets one of `ranks` equal parts of each batch.
        ranks: Number of processes that share a batch.
        balanced: Whether images of rare classes are shown more often: the share of a class in an epoch is then
            proportional to the square root of its number of images.
        mixup: Strength of mixup: each image is mixed with another one of the batch, in a share drawn from
            Beta(mixup, mixup) for the whole batch; 0 mixes none.
        classes: Number of classes; needed only where images are mixed.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    batch: int
    preprocessing: Preprocessing
    seed: int = 0
    augmentation: Augmentation | None = None
    rank: int = 0
    ranks: int = 1
    balanced: bool = False
    mixup: float = 0.0
    classes: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.batch <= len(self.images) or len(self.images) != len(self.labels) or self.batch % self.ranks:
            shared = f" shared by {self.ranks}" if self.ranks > 1 else ""
            raise ValueError(
                f"{len(self.images)} images and {len(self.labels)} labels do not make batches of {self.batch}{shared}."
            )

    def __call__(self, step: int, resolution: int) -> tuple[Tensor, Tensor]:
        """See `Batches`."""
        epoch, place = divmod(step, len(self.images) // self.batch)
        order = self._order(np.random.default_rng((self.seed, epoch)))
        # Each process takes every n-th row: images are often sorted by class, and each process must see many classes.
        mine = slice(self.rank, None, self.ranks)
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])[mine]
        labels = torch.from_numpy(self.labels[rows]).long()
        if self.augmentation is None:
            return prepare(self.images[rows], resolution, self.preprocessing), labels
        draws = np.random.default_rng((self.seed, step, 1)).random((self.batch, DRAWS))[mine]
        shown = normalised(self.augmentation.apply(self.images[rows], draws, resolution), self.preprocessing)
        return self._mixed(shown, labels, step) if self.mixup else (shown, labels)

    def _mixed(self, shown: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Mixes every image with another one of this process's part; the same ones at every resolution."""
        rng = np.random.default_rng((self.seed, step, 2, self.rank))
        share, other = float(rng.beta(self.mixup, self.mixup)), torch.from_numpy(rng.permutation(len(labels)))
        whole = functional.one_hot(labels, self.classes).float()
        return torch.lerp(shown[other], shown, share), torch.lerp(whole[other], whole, share)

    def _order(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """The images of an epoch."""
        count = len(self.images)
        if not self.balanced:
            return rng.permutation(count)
        rows = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        shares = np.sqrt([len(of_class) for of_class in rows])
        ends = np.rint(count * np.cumsum(shares) / shares.sum()).astype(int)
        # Every image of a class comes once before one comes again.
        drawn = [
            np.concatenate([rng.permutation(of_class) for _ in range(-(-wanted // len(of_class)))])[:wanted]
            for of_class, wanted in zip(rows, np.diff(ends, prepend=0), strict=True)
            if wanted
        ]
        return rng.permutation(np.concatenate(drawn))


def prepare(images: NDArray[np.uint8], resolution: int, preprocessing: Preprocessing) -> Tensor:
    """Preprocesses many square images at once, like `Preprocessing.apply`.

    Pixels agree with Pillow's within one grey level, or two if images are enlarged.

    Args:
        images: Images, uint8, shape (n, side, side, 3).
        resolution: Side of the resulting images.
        preprocessing: Preprocessing to apply.

    Returns:
        Normalised images, float32, shape (n, 3, resolution, resolution), channels last in memory.
    """
    # Memory-mapped files are read-only, and torch would warn about that.
    pixels = torch.from_numpy(np.require(images, requirements="W")).permute(0, 3, 1, 2)
    side = round(resolution / preprocessing.crop_fraction)
    if pixels.shape[-1] != side:
        pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    edge = (side - resolution) // 2
    pixels = pixels[:, :, edge : edge + resolution, edge : edge + resolution]
    return normalised(pixels.float() / 255, preprocessing)


def normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalises pixels in 0–1, shape (n, 3, h, w), for a network; the result is channels last in memory."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Shown:
    """Batches of labelled images at one resolution, which can be iterated several times.

    The batches are kept in memory if they are small enough, otherwise they are prepared again for each iteration.

    Attributes:
        images: Images, uint8, shape (n, side, side, 3).
        labels: Class of each image, integers, shape (n,).
        resolution: Side of the prepared images.
        preprocessing: Preprocessing of the images.
        batch: Number of images per batch.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]
    resolution: int
    preprocessing: Preprocessing
    batch: int = 256

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields batches of normalised images, float32, and labels, int64."""
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


def stratified(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.intp]:
    """Chooses images at random so that every class has its share of them, and at least one if there are enough.

    Args:
        labels: Class of each image, integers, shape (n,).
        count: Number of images to choose, at most n.
        seed: Seed of the choice.

    Returns:
        Places of the images, ascending, shape (count,).
    """
    draws = np.random.default_rng(seed).random(len(labels))
    order = np.lexsort((draws, labels))
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    place = (np.arange(len(labels)) - np.repeat(starts, sizes)) / np.repeat(sizes, sizes)
    chosen: NDArray[np.intp] = np.sort(order[np.lexsort((draws[order], place))[:count]])
    return chosen
