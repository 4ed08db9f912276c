"""Times steps of a training with memory that is kept between them, and without, in turns.

    python benchmarks/training_memory.py [--space efficientnet-lite0] [--pixels 160] [--batch 48] [--steps 6]

One thread trains the largest network of a space on noise. Printed are the median time of a step each way, their ratio,
and the page faults of a step. Takes some minutes; where glibc is not the C library, both ways are the same.
"""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import nullcontext

import numpy as np
import torch
from torch.nn import functional

from nagsdk.common.memory import memory_kept
from nagsdk.families import preset
from nagsdk.space.space import extremes

TURNS = 3


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="efficientnet-lite0")
    parser.add_argument("--pixels", type=int, default=160)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    space = preset(options.space)
    network = space.build(space.decode(extremes(space))[1]).train()
    images = torch.randn(options.batch, 3, options.pixels, options.pixels)
    labels = torch.zeros(options.batch, dtype=torch.long)

    def step() -> tuple[float, int]:
        start, faults = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults

    found: dict[str, list[tuple[float, int]]] = {"default": [], "kept": []}
    for _ in range(TURNS):
        for name, way in (("default", nullcontext), ("kept", memory_kept)):
            with way():
                step()
                found[name] += [step() for _ in range(options.steps)]
    seconds, faults = ({name: np.median(np.array(rows)[:, i]) for name, rows in found.items()} for i in (0, 1))
    for name in found:
        print(f"{name:<10}{seconds[name]:.2f} s a step, {faults[name]:.0f} page faults")
    print(f"kept takes {seconds['kept'] / seconds['default']:.2f} times as long")


if __name__ == "__main__":
    main()
