"""Compares a supernet that is trained with fake quantisation with one that is not: is `train --quantised` worth it?

    python benchmarks/quantised_supernet.py [--networks 8] [--epochs 6]

The supernet of glyphs is trained further on one half of the bundle's test images, in two ways that see the same images,
subnets and order: as it is, and with every input and weight of a layer rounded to int8, whose gradients pass the
rounding unchanged. The other half measures subnets from small to large, in float32 and as the integer files compute
them (by the approximation that differs from them by single steps). Then the halves change places.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from math import ceil
from typing import Any

import numpy as np
import torch
from finetune_int8 import Half
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.families.protocol import Supernet
from nagsdk.graph.integers import approximated
from nagsdk.graph.schemes import Scheme
from nagsdk.graph.trace import trace
from nagsdk.space.architecture import Architecture
from nagsdk.supernet.recalibrate import recalibrate
from nagsdk.supernet.recipe import TrainRecipe
from nagsdk.supernet.train import train

_BATCH, _CANDIDATES, _STEPS = 64, 200, 255
# A tenth of the rate with which a supernet is trained from the beginning.
_RATE = 0.1


class Rounded(TorchFunctionMode):
    """Rounds inputs and weights of convolutions and linear layers to int8, where gradients ignore the rounding."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Kernels are made from larger ones by a linear function too, of three dimensions, which no file computes.
        if func in (functional.conv2d, functional.linear) and args[0].ndim != len("c1k"):
            images, weight, *rest = args
            args = (_asymmetric(images), _symmetric(weight), *rest)
        return func(*args, **(kwargs or {}))


def _asymmetric(x: Tensor) -> Tensor:
    """One scale and zero point, from the smallest and the largest value of the batch."""
    with torch.no_grad():
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        scale = ((high - low) / _STEPS).clamp(min=1e-9)
        rounded = ((x - low) / scale).round() * scale + low
    return x + (rounded - x).detach()


def _symmetric(weight: Tensor) -> Tensor:
    """One scale for each output channel, without a zero point."""
    with torch.no_grad():
        scale = (weight.abs().flatten(1).amax(1) / (_STEPS // 2)).clamp(min=1e-9)
        scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
        rounded = (weight / scale).round() * scale
    return weight + (rounded - weight).detach()


def trained(batches: Half, epochs: int, quantised: bool) -> Supernet:
    """The supernet of glyphs after more training."""
    supernet = load_bundle("glyphs").supernet
    steps = epochs * (len(batches.rows) // _BATCH)
    recipe = TrainRecipe(steps=steps, learning_rate=_RATE * TrainRecipe.learning_rate)
    with Rounded() if quantised else nullcontext():
        train(supernet, batches, recipe)
    return supernet


def top1(bundle: Bundle, supernet: Supernet, architecture: Architecture, test: Half) -> tuple[float, float]:
    """Top-1 of a subnet in per cent: in float32, and in integers."""
    recalibration = bundle.recalibration_images(architecture.resolution)
    subnet = supernet.extract(architecture)
    recalibrate(subnet, torch.from_numpy(recalibration))
    images, labels = test.at(architecture.resolution)
    graph = Scheme().quantised(trace(subnet, architecture.resolution), recalibration)
    with torch.no_grad():
        found = subnet(images), approximated(graph, images)
    exact, rounded = (100 * float((logits.argmax(1) == labels).float().mean()) for logits in found)
    return exact, rounded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    bundle = load_bundle("glyphs")
    space = bundle.space
    ordered = sorted(space.decode(space.sample(_CANDIDATES, np.random.default_rng(0))), key=space.macs)
    chosen = [ordered[ceil((i + 0.5) * _CANDIDATES / arguments.networks) - 1] for i in range(arguments.networks)]
    rows = np.random.default_rng(0).permutation(bundle.description.images.test.count)  # type: ignore[union-attr]
    halves = [Half(bundle, np.sort(part)) for part in np.array_split(rows, 2)]
    found: dict[str, list[tuple[float, float]]] = {}
    for learnt, test in (halves, halves[::-1]):
        supernets = {
            "not trained further": bundle.supernet,
            "trained further": trained(learnt, arguments.epochs, False),
            "trained further, quantised": trained(learnt, arguments.epochs, True),
        }
        for name, supernet in supernets.items():
            found.setdefault(name, []).extend(top1(bundle, supernet, architecture, test) for architecture in chosen)
            print(f"  {name}: float32, int8: {found[name][-len(chosen) :]}", flush=True)
    for name, pairs in found.items():
        exact, rounded = np.array(pairs).T
        means = f"{exact.mean():.2f} % in float32, {rounded.mean():.2f} % in int8"
        print(f"{name}: {means}, loss {(exact - rounded).mean():.2f}")
    usual, quantised = (np.array(found[name])[:, 1] for name in list(found)[1:])
    gains = quantised - usual
    error = float(np.std(gains, ddof=1) / len(gains) ** 0.5)
    print(f"gain in int8 {gains.mean():+.2f} points (standard error {error:.2f}) on {len(gains)} pairs")


if __name__ == "__main__":
    main()
