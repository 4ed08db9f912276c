"""Compares the finished networks of imagenet-lite with an independent implementation, and a training's start with both.

    python benchmarks/finished.py [--pictures 24] [--json]      # a minute; needs nagsdk[zoo] and scikit-image

For each network: the largest difference of logits on crops of photographs, at its own resolution, between nagsdk's
network and plain functions of torch that follow the publication. For the space efficientnet-lite0 with the weights of
EfficientNet-Lite0: how often its largest network, the same with other padding, and smaller ones name the same class.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the independent implementation is the one of the tests

from nagsdk.families import preset
from nagsdk.families.finished import OWN
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.space.space import extremes
from nagsdk.supernet.recalibrate import recalibrate
from tests.families import lite
from tests.photographs import crops

MOST_DIFFERENCE, LEAST_AGREEMENT = 1e-4, 95.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {"difference": {}, "same_class": {}}
    with torch.no_grad():
        for number, network in enumerate(OWN):
            space = network.network_space()
            architecture = space.parse(network.architecture)
            images = torch.from_numpy(crops(architecture.resolution, network.mean, network.std, options.pictures))
            built = network.supernet(space).extract(architecture)
            difference = (built(images) - lite.logits(lite.load(network.path()), images, number)).abs().max()
            found["difference"][network.id] = float(difference)
        images = torch.from_numpy(crops(224, OWN[0].mean, OWN[0].std, options.pictures))
        expected = lite.logits(lite.load(OWN[0].path()), images, 0).argmax(1)
        space = preset("efficientnet-lite0")
        assert isinstance(space, MobileNetV3Space)
        for name, chosen in (("largest", space), ("largest, zeros on both sides", replace(space, padding="symmetric"))):
            supernet = OWN[0].supernet(chosen)
            (largest,) = supernet.space.decode(extremes(supernet.space)[1:])
            same = supernet.extract(largest)(images).argmax(1) == expected
            found["same_class"][name] = 100 * float(same.float().mean())
        supernet = OWN[0].supernet(space)
        most = space.settings(largest)
        for name, expansion, kernel in (("expansion 4", 4, 5), ("kernels 3", 6, 3)):
            count = len(most.kernels)
            smaller = space.architecture(
                kernels=[kernel] * count, expansions=[expansion] * count, depths=most.depths, resolution=224
            )
            subnet = supernet.extract(smaller)
            recalibrate(subnet, images)
            same = subnet(images).argmax(1) == expected
            found["same_class"][f"{name}, recalibrated on the same crops"] = 100 * float(same.float().mean())
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, difference in found["difference"].items():
        print(f"{name}: logits differ by {difference:.1e} at most (target: {MOST_DIFFERENCE:g})")
    for name, share in found["same_class"].items():
        target = f" (target: {LEAST_AGREEMENT:g})" if name == "largest" else ""
        print(f"same class as the finished network, {name}: {share:.0f} %{target}")


if __name__ == "__main__":
    main()
