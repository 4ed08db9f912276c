"""Compares fine-tuning that rounds as int8 does with plain fine-tuning that is quantised afterwards.

    python benchmarks/finetune_int8.py [--work build/glyphs] [--networks 4] [--steps 150]

Subnets of glyphs from small to large are trained both ways for the same number of weight updates, with the same
teacher, images and order. What the integer files compute is measured by the approximation that differs from them by
single steps. With --work, the work folder of recipes/glyphs/build.py, they train on pictures of its training fonts and
are measured on all test images of the bundle. Without it, they train on one half of these test images and are measured
on the other half, and then the halves change places; so few images say less.
"""

from __future__ import annotations

import argparse
from math import ceil
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.graph.integers import IntegerGraph, approximated
from nagsdk.graph.schemes import Scheme
from nagsdk.graph.trace import trace
from nagsdk.images.batches import ArrayBatches, Batches
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.finetune import finetune, finetune_integers
from nagsdk.supernet.recalibrate import teacher_of
from nagsdk.training.tuner import integer_steps

_BATCH, _CANDIDATES = 64, 200


class Half:
    """Batches of some of a bundle's test images; see `nagsdk.images.batches.Batches`."""

    def __init__(self, bundle: Bundle, rows: np.ndarray) -> None:
        self.bundle, self.rows = bundle, rows
        self.known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def at(self, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
        """All images and labels at a resolution."""
        if resolution not in self.known:
            test = self.bundle.test_set(resolution)
            assert test is not None, DESCRIPTION
            images, labels = test.inputs[self.rows], test.labels[self.rows]
            self.known[resolution] = torch.from_numpy(images), torch.from_numpy(labels)
        return self.known[resolution]

    def __call__(self, step: int, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, place = divmod(step, len(self.rows) // _BATCH)
        order = np.random.default_rng((0, epoch)).permutation(len(self.rows))
        images, labels = self.at(resolution)
        rows = torch.from_numpy(order[place * _BATCH : (place + 1) * _BATCH])
        return images[rows], labels[rows]


def integers_of(bundle: Bundle, architecture: Architecture, train: Batches, steps: int) -> IntegerGraph:
    """A subnet after plain fine-tuning, in integers."""
    recalibration = bundle.recalibration_images(architecture.resolution)
    subnet = bundle.subnet(architecture, recalibration)
    largest = bundle.recalibration_images(max(bundle.space.resolutions))
    teacher = teacher_of(bundle.supernet, torch.from_numpy(largest))
    finetune(subnet, teacher, train, steps, torch.from_numpy(recalibration))
    return Scheme().quantised(trace(subnet, architecture.resolution), recalibration)


def compared(
    bundle: Bundle, architecture: Architecture, train: Batches, test: Half, steps: int
) -> tuple[float, float, float]:
    """The top-1 in per cent without training, quantised after training, and trained in integers at the end."""
    images, labels = test.at(architecture.resolution)

    def top1(graph: IntegerGraph) -> float:
        return 100 * float((approximated(graph, images).argmax(1) == labels).float().mean())

    untrained = top1(integers_of(bundle, architecture, train, 0))
    after = top1(integers_of(bundle, architecture, train, steps))
    last = integer_steps(steps)
    plain = integers_of(bundle, architecture, train, steps - len(last))
    largest = bundle.recalibration_images(max(bundle.space.resolutions))
    teacher = teacher_of(bundle.supernet, torch.from_numpy(largest))
    return untrained, after, top1(finetune_integers(plain, teacher, train, last))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--work", type=Path, help="work folder of recipes/glyphs/build.py")
    arguments = parser.parse_args()
    bundle = load_bundle("glyphs")
    space = bundle.space
    drawn = space.decode(space.sample(_CANDIDATES, np.random.default_rng(0)))
    ordered = sorted(drawn, key=space.macs)
    chosen = [ordered[ceil((i + 0.5) * _CANDIDATES / arguments.networks) - 1] for i in range(arguments.networks)]
    count = bundle.description.images.test.count  # type: ignore[union-attr]
    if arguments.work is None:
        halves = [
            Half(bundle, np.sort(part)) for part in np.array_split(np.random.default_rng(0).permutation(count), 2)
        ]
        pairs: list[tuple[Batches, Half]] = [(halves[0], halves[1]), (halves[1], halves[0])]
    else:
        pictures, labels = (
            np.load(arguments.work / f"train.{name}.npy", mmap_mode="r") for name in ("images", "labels")
        )
        pairs = [(ArrayBatches(pictures, labels, _BATCH, bundle.preprocessing), Half(bundle, np.arange(count)))]
    gains = []
    for architecture in chosen:
        for train, test in pairs:
            untrained, after, trained = compared(bundle, architecture, train, test, arguments.steps)
            gains.append(trained - after)
            shown = f"quantised afterwards {after:.2f} %, trained in integers {trained:.2f} %"
            print(f"{architecture}: before {untrained:.2f} %, {shown}", flush=True)
    mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1) / len(gains) ** 0.5)
    reach = error * float(student.ppf(0.975, len(gains) - 1))
    print(f"gain {mean:+.2f} points, 95 % interval {mean - reach:+.2f} to {mean + reach:+.2f}, {len(gains)} pairs")


if __name__ == "__main__":
    main()
