"""Compares the training throughput of two processes under torchrun with that of one, with the same global batch.

    python benchmarks/training_ranks.py [--batch 64] [--steps 20] [--times 4] [--json]

Takes three minutes and needs two idle cores: each process has its own core and one thread. The steps are those of
nagsdk's own training: each process computes its part of every batch, and Gloo averages the gradients once per step.
Both ways take the same steps several times, in turns. The shortest time of each step counts, because other work on a
shared host only makes steps longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

TARGET = 1.6


def worker(batch: int, steps: int) -> None:
    """Trains in one of the processes; the first process prints the seconds of every step."""
    import numpy as np
    import torch

    from nagsdk.families.mobilenet_v3.presets import small_mobilenet_v3
    from nagsdk.images.batches import ArrayBatches, Augmentation
    from nagsdk.images.preprocessing import Preprocessing
    from nagsdk.supernet.processes import together
    from nagsdk.supernet.recipe import TrainRecipe
    from nagsdk.supernet.train import TrainAdvanced, train

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch, 48, 48, 3), dtype=np.uint8)
    with together() as ranks:
        if hasattr(own := psutil.Process(), "cpu_affinity"):
            allowed = sorted(own.cpu_affinity())
            own.cpu_affinity([allowed[ranks.rank % len(allowed)]])
        supernet = small_mobilenet_v3().supernet()
        supernet.initialise(0)
        plain = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        batches = ArrayBatches(
            images, rng.integers(0, 47, 4 * batch), batch, plain, 0, Augmentation(), ranks.rank, ranks.count
        )
        times: list[float] = []

        def on_event(event: object) -> None:
            if isinstance(event, TrainAdvanced):
                times.append(time.monotonic())

        train(supernet, batches, TrainRecipe(steps + 1), on_event, None, ranks)
        if ranks.first:
            print(json.dumps(np.diff(times).tolist()))


def seconds(processes: int, batch: int, steps: int) -> list[float]:
    """Runs `worker` in the given number of processes, and returns the seconds of every step."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, str(Path(__file__)), "--worker", "--batch", str(batch), "--steps", str(steps)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--times", type=int, default=4, help="number of times that both ways take the steps (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.batch, options.steps)
        return
    turns = [[seconds(processes, options.batch, options.steps) for processes in (1, 2)] for _ in range(options.times)]
    one, two = (
        sum(min(repeats) for repeats in zip(*way, strict=True)) / options.steps for way in zip(*turns, strict=True)
    )
    single = [sum(a) / sum(b) for a, b in turns]
    result = {
        "one_s": one,
        "two_s": two,
        "ratio": one / two,
        "ratios_of_single_turns": single,
        "load": psutil.getloadavg()[0],
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"one process {one:.3f} s a step, two {two:.3f} s: {one / two:.2f} times the throughput (target ≥ {TARGET})"
        )
        print(
            f"single turns: {', '.join(f'{ratio:.2f}' for ratio in single)}; "
            f"load average {result['load']:.1f} on {os.cpu_count()} cores"
        )


if __name__ == "__main__":
    main()
