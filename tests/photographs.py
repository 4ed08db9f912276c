"""Photographs that scikit-image ships, and crops of them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

# Classes of ImageNet that are right for a photograph.
TRUE = {"chelsea.png": {281, 282, 285}, "coffee.png": {967}, "rocket.jpg": {657}}
_ALL = (*TRUE, "astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png")


def folder() -> Path:
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        pytest.skip("scikit-image, which ships photographs, is not installed: pip install scikit-image")
    return Path(found.submodule_search_locations[0]) / "data"


def crops(size: int, mean: tuple[float, ...], std: tuple[float, ...], count: int = 24) -> NDArray[np.float32]:
    """Normalised crops, shape (count, 3, size, size)."""
    rng = np.random.default_rng(0)
    found: list[NDArray[np.float32]] = []
    while len(found) < count:
        with Image.open(folder() / _ALL[len(found) % len(_ALL)]) as opened:
            image = opened.convert("RGB")
        side = int(min(image.size) * rng.uniform(0.5, 1))
        left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
        small = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
        found.append((np.asarray(small, np.float32) / 255 - np.float32(mean)) / np.float32(std))
    stacked: NDArray[np.float32] = np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))
    return stacked
