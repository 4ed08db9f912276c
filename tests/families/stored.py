"""Bundles of small families, for tests."""

import json

import numpy as np

from nagsdk.bundle.write import Facts, write_bundle
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.images.sheets import write_sheet
from nagsdk.supernet.weights import half

PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def stored(space, folder):
    """Writes a bundle with random weights and random pictures, and returns its folder."""
    parts = folder.with_name(f"{folder.name}-parts")
    parts.mkdir()
    supernet = space.supernet()
    supernet.initialise(0)
    (parts / "supernet.safetensors").write_bytes(half(supernet))
    images = np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), dtype=np.uint8)
    for name in ("recalibration", "test"):
        write_sheet(images, parts / f"{name}.webp")
    (parts / "test_labels.json").write_text(json.dumps([0] * 20))
    names = ("supernet.safetensors", "recalibration.webp", "test.webp", "test_labels.json")
    facts = Facts(space.family, "A small family", "none", {})
    write_bundle(folder, facts, space, PLAIN, list("abcde"), [parts / name for name in names], (16, 20, 20))
    return folder
