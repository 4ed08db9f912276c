"""Compares fine-tuning that rounds as int8 does with plain fine-tuning that is quantised afterwards.

    python benchmarks/finetune_int8.py [--networks 4] [--epochs 6]

On one half of the test images of glyphs, subnets from small to large are fine-tuned; the other half measures the top-1
of what the integer files compute, by the approximation that differs from them by single steps. Then the halves change
places. Both ways train for the same number of epochs with the same teacher, images and order.
"""

from __future__ import annotations

import argparse
from math import ceil

import numpy as np
import torch
from scipy.stats import t as student

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.graph.integer_passes import without_hard_functions
from nagsdk.graph.integers import IntegerGraph, approximated, integer_graph
from nagsdk.graph.trace import trace
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


def integers_of(bundle: Bundle, architecture: Architecture, train: Half, steps: int) -> IntegerGraph:
    """A subnet after plain fine-tuning, in integers."""
    recalibration = bundle.recalibration_images(architecture.resolution)
    subnet = bundle.subnet(architecture, recalibration)
    largest = bundle.recalibration_images(max(bundle.space.resolutions))
    teacher = teacher_of(bundle.supernet, torch.from_numpy(largest))
    finetune(subnet, teacher, train, steps, torch.from_numpy(recalibration))
    return integer_graph(without_hard_functions(trace(subnet, architecture.resolution)), recalibration)


def compared(
    bundle: Bundle, architecture: Architecture, train: Half, test: Half, epochs: int
) -> tuple[float, float, float]:
    """The top-1 in per cent without training, quantised after training, and trained in integers at the end."""
    steps = epochs * (len(train.rows) // _BATCH)
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
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    bundle = load_bundle("glyphs")
    space = bundle.space
    drawn = space.decode(space.sample(_CANDIDATES, np.random.default_rng(0)))
    ordered = sorted(drawn, key=space.macs)
    chosen = [ordered[ceil((i + 0.5) * _CANDIDATES / arguments.networks) - 1] for i in range(arguments.networks)]
    rows = np.random.default_rng(0).permutation(bundle.description.images.test.count)  # type: ignore[union-attr]
    halves = [Half(bundle, np.sort(part)) for part in np.array_split(rows, 2)]
    gains = []
    for architecture in chosen:
        for train, test in (halves, halves[::-1]):
            untrained, after, trained = compared(bundle, architecture, train, test, arguments.epochs)
            gains.append(trained - after)
            shown = f"quantised afterwards {after:.2f} %, trained in integers {trained:.2f} %"
            print(f"{architecture}: before {untrained:.2f} %, {shown}", flush=True)
    mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1) / len(gains) ** 0.5)
    reach = error * float(student.ppf(0.975, len(gains) - 1))
    print(f"gain {mean:+.2f} points, 95 % interval {mean - reach:+.2f} to {mean + reach:+.2f}, {len(gains)} pairs")


if __name__ == "__main__":
    main()
