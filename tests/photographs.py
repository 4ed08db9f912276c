"""Photographs that scikit-image ships, and crops of them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Classes of ImageNet that are right for a photograph.
TRUE = {"chelsea.png": {281, 282, 285}, "coffee.png": {967}, "rocket.jpg": {657}}
_ALL = (*TRUE, "astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png")


def folder():
    found = find_spec("skimage")
    if found is None:
        pytest.skip("scikit-image, which ships photographs, is not installed: pip install scikit-image")
    return Path(found.submodule_search_locations[0]) / "data"


def crops(size, mean, std, count=24):
    """Normalised crops, shape (count, 3, size, size)."""
    rng, found = np.random.default_rng(0), []
    while len(found) < count:
        with Image.open(folder() / _ALL[len(found) % len(_ALL)]) as opened:
            image = opened.convert("RGB")
        side = int(min(image.size) * rng.uniform(0.5, 1))
        left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
        small = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
        found.append((np.asarray(small, np.float32) / 255 - np.float32(mean)) / np.float32(std))
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))
