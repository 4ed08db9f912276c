"""Times the gradients of depthwise convolutions of images smaller than their kernels, ours and torch's in turns.

    python benchmarks/depthwise.py [--batch 32] [--repeats 9] [--threads 2]

First single convolutions at the ends of networks for small images, then a whole step of training of the largest network
of two spaces. Printed are the fastest times each way and their ratio. Takes two minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from nagsdk.common.memory import memory_kept
from nagsdk.families import elastic, preset
from nagsdk.families.depthwise import SmallDepthwise
from nagsdk.space.space import extremes

# Channels, side of the image, kernel, stride.
SHAPES = ((384, 2, 5, 1), (384, 2, 3, 1), (240, 4, 5, 1), (240, 4, 5, 2), (1152, 4, 5, 1), (960, 5, 7, 1))
STEPS = (("small", 32), ("small", 48), ("efficientnet-lite0", 96))


def torchs(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The convolution with torch's own gradients."""
    return functional.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])


def fastest(repeats: int, *ways: Callable[[], object]) -> list[float]:
    """The fastest milliseconds of each way; they run in turns."""
    found = [float("inf")] * len(ways)
    for repeat in range(repeats + 1):
        for number, way in enumerate(ways):
            began = time.perf_counter()
            way()
            if repeat:
                found[number] = min(found[number], 1000 * (time.perf_counter() - began))
    return found


def tell(what: str, ours: float, theirs: float) -> None:
    """Prints both times."""
    print(f"{what:50} ours {ours:7.2f} ms, torch {theirs:7.2f} ms: {ours / theirs:.2f} times as long", flush=True)


def of_convolution(options: argparse.Namespace, channels: int, side: int, kernel: int, stride: int) -> list[float]:
    """Milliseconds of a convolution and its gradients, ours and torch's."""
    x = torch.randn(options.batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(channels, 1, kernel, kernel, requires_grad=True)
    given = torch.randn_like(torchs(x, weight, stride, kernel // 2))

    def gradients(way: Callable[..., Tensor]) -> object:
        return torch.autograd.grad(way(x, weight, stride, kernel // 2), (x, weight), given)

    return fastest(options.repeats, partial(gradients, SmallDepthwise.apply), partial(gradients, torchs))


def of_step(options: argparse.Namespace, name: str, side: int) -> list[float]:
    """Milliseconds of a step of training of the largest network of a space, ours and torch's."""
    space = preset(name)
    code = extremes(space)[1].tolist()
    supernet = space.supernet().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images = torch.randn(options.batch, 3, side, side).to(memory_format=torch.channels_last)
    labels = torch.zeros(options.batch, dtype=torch.long)

    def step() -> None:
        supernet.zero_grad()
        torch.autograd.backward(functional.cross_entropy(supernet(images, code), labels))

    def usual() -> None:
        with patch.object(elastic, "SmallDepthwise", SimpleNamespace(apply=torchs)):
            step()

    with memory_kept():
        return fastest(options.repeats, step, usual)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for channels, side, kernel, stride in SHAPES:
        what = f"{channels} channels, {side}x{side}, kernel {kernel}, stride {stride}"
        tell(what, *of_convolution(options, channels, side, kernel, stride))
    for name, side in STEPS:
        tell(f"a step of {name}, {side} px, {options.batch} images", *of_step(options, name, side))


if __name__ == "__main__":
    main()
