"""Renders characters as a camera might see them: rotated, sheared, blurred, coloured, unevenly lit and with noise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from fonts import CAP_HEIGHT, CHARACTERS, Face, Masks, load
from numpy.typing import NDArray
from PIL import Image, ImageFilter

CHUNK = 512


@dataclass(frozen=True)
class Look:
    """Ranges from which the properties of pictures are drawn; lengths are shares of the picture's side.

    Attributes:
        height: Smallest and largest height of a capital.
        shift: Largest displacement from the centre.
        turn: Largest rotation in degrees.
        shear: Largest horizontal shear.
        stretch: Largest change of the width, as a logarithm.
        blur: Largest blur radius.
        contrast: Smallest difference between the mean colours of letter and background, 0 to 1.
        ground: Largest strength of the uneven light.
        noise: Largest standard deviation of the noise.
    """

    height: tuple[float, float] = (0.3, 0.8)
    shift: float = 0.09
    turn: float = 15.0
    shear: float = 0.2
    stretch: float = 0.15
    blur: float = 0.025
    contrast: float = 0.3
    ground: float = 0.3
    noise: float = 0.08


class Pictures(NamedTuple):
    """Rendered pictures.

    Attributes:
        images: Pixels, uint8, shape (n, side, side, 3).
        labels: Class of each picture, int64, shape (n,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def place(mask: Image.Image, side: int, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Puts one character into a square by a random affine map, and blurs it; shape (side, side)."""
    scale = rng.uniform(*look.height) * side / CAP_HEIGHT
    turn, shear = np.deg2rad(rng.uniform(-look.turn, look.turn)), rng.uniform(-look.shear, look.shear)
    cos, sin = np.cos(turn), np.sin(turn)
    forward = np.array([[cos, -sin], [sin, cos]]) @ np.array(
        [[np.exp(rng.uniform(-look.stretch, look.stretch)), shear], [0, 1]]
    )
    half = np.array(mask.size) / 2
    reach = np.abs(forward) @ half
    scale = min(scale, 0.48 * side / reach.max())
    room = side / 2 - scale * reach
    centre = side / 2 + np.clip(rng.uniform(-look.shift, look.shift, 2) * side, -room, room)
    inverse = np.linalg.inv(forward * scale)
    offset = half - inverse @ centre
    data = (*inverse[0].tolist(), float(offset[0]), *inverse[1].tolist(), float(offset[1]))
    placed = mask.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(placed.filter(ImageFilter.GaussianBlur(rng.uniform(0, look.blur) * side)))


def colour(placed: NDArray[np.uint8], look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Adds colours, uneven light and noise: shape (n, side, side) becomes (n, side, side, 3)."""
    count, side, _ = placed.shape
    ground, letter = rng.random((count, 3), dtype=np.float32), rng.random((count, 3), dtype=np.float32)
    while (close := np.abs(ground.mean(1) - letter.mean(1)) < look.contrast).any():
        ground[close], letter[close] = rng.random((2, int(close.sum()), 3), dtype=np.float32)
    image = ground[:, None, None] + (letter - ground)[:, None, None] * (placed[..., None] / np.float32(255))
    for grid in (2, 4):
        # A bilinear enlargement of a random grid is a product with the same matrix on both sides.
        at = np.linspace(0, grid - 1, side, dtype=np.float32)[:, None]
        enlarge = np.maximum(0, 1 - np.abs(at - np.arange(grid, dtype=np.float32)))
        light = rng.uniform(-0.25, 0.25, (count, grid, grid, 3)).astype(np.float32) * rng.uniform(
            0, look.ground, (count, 1, 1, 1)
        ).astype(np.float32)
        image += np.einsum("ya,xb,nabc->nyxc", enlarge, enlarge, light, optimize=True)
    image += rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0, look.noise, (count, 1, 1, 1)).astype(
        np.float32
    )
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


@functools.lru_cache(maxsize=2000)
def _load(path: str) -> Masks:
    drawn = load(path)
    if drawn is None:
        raise FileNotFoundError(
            f"{path} was removed or replaced since the fonts were catalogued. Delete fonts.json in the work folder."
        )
    return drawn


def render(
    face: Callable[[int], Masks], groups: Sequence[int], count: int, side: int, look: Look, rng: np.random.Generator
) -> Pictures:
    """Renders pictures. Classes, groups of fonts, and fonts within a group are drawn uniformly.

    Args:
        face: Returns the characters of a font, given its index in `groups`; see `fonts.masks`.
        groups: Group of every font.
        count: Number of pictures.
        side: Height and width in pixels.
        look: Ranges from which the properties are drawn.
        rng: Random number generator.
    """
    members = [np.flatnonzero(np.asarray(groups) == group) for group in sorted(set(groups))]
    labels = rng.integers(0, len(CHARACTERS), count)
    chosen = [int(rng.choice(members[rng.integers(len(members))])) for _ in range(count)]
    placed = np.array([place(face(font)[label], side, look, rng) for font, label in zip(chosen, labels, strict=True)])
    return Pictures(colour(placed, look, rng), labels)


def _chunk(faces: Sequence[Face], count: int, side: int, look: Look, seed: tuple[int, int]) -> Pictures:
    return render(
        lambda font: _load(faces[font].path),
        [face.group for face in faces],
        count,
        side,
        look,
        np.random.default_rng(seed),
    )


def render_many(faces: Sequence[Face], count: int, side: int, look: Look, seed: int, processes: int = 2) -> Pictures:
    """Runs `render` in several processes; the result depends only on the seed, not on the number of processes."""
    tasks = [(faces, min(CHUNK, count - start), side, look, (seed, start)) for start in range(0, count, CHUNK)]
    images = np.empty((count, side, side, 3), np.uint8)
    labels = np.empty(count, np.int64)
    with get_context("spawn").Pool(processes) as pool:
        parts = pool.imap(functools.partial(_star, _chunk), tasks)
        for start, part in zip(range(0, count, CHUNK), parts, strict=True):
            images[start : start + CHUNK], labels[start : start + CHUNK] = part
    return Pictures(images, labels)


def _star(function: Callable[..., Pictures], arguments: tuple[object, ...]) -> Pictures:
    return function(*arguments)
