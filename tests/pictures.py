"""Folders of images to train on, whose classes differ in the colour of a square."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "azure": (0, 90, 200),
    "brick": (190, 40, 30),
    "clover": (20, 170, 40),
    "dune": (200, 170, 60),
    "ebony": (20, 20, 20),
}


def draw(colour, rng, size=(28, 24)) -> Image.Image:
    pixels = rng.integers(60, 140, (size[1], size[0], 3), dtype=np.uint8)
    pixels[size[1] // 4 : -size[1] // 4, size[0] // 4 : -size[0] // 4] = np.clip(
        np.array(colour) + rng.integers(-20, 20, 3), 0, 255
    )
    return Image.fromarray(pixels)


def fill(root: Path, counts: dict[str, int], seed=0) -> Path:
    """Writes the given number of images of every class."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw(COLOURS[name], rng).save(root / name / f"{number:03d}.png")
    return root
