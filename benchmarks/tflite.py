"""Measures the export of 224-pixel subnets to TFLite: its time, how closely LiteRT matches torch, and the 7x7 rewrite.

    python benchmarks/tflite.py [--subnets 20] [--json]      # about a minute

Subnets and weights are random; batch normalisation statistics are those of random images. Every second file is written
with the rewrite of 7x7 convolutions. To measure what the rewrite gains, a subnet with only 7x7 kernels is timed with
and without it in the same session, in alternating bursts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from nagsdk.device.description import Device
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph.lint import lint
from nagsdk.graph.parity import relative_error
from nagsdk.graph.passes import split_large_depthwise
from nagsdk.graph.tflite import write_tflite
from nagsdk.graph.trace import trace
from nagsdk.testing.networks import random_images, random_subnet
from nagsdk_litert.backend import LiteRtBackend

RESOLUTION = 224
TARGET_S, TARGET_ERROR, TARGET_GAIN = 0.15, 1e-5, 3.0
DEVICE = Device("litert", "this machine", "litert")


def exports(count: int, folder: Path) -> dict[str, float]:
    """Times `count` exports and compares their logits with torch's."""
    space = ofa_mobilenet_v3()
    times, errors, transposes, operators = [], [], 0, []
    with LiteRtBackend().open(DEVICE) as session:
        for seed, architecture in enumerate(
            space.decode(space.sample(count + 1, np.random.default_rng(0), RESOLUTION))
        ):
            subnet, images, path = (
                random_subnet(space, architecture, seed),
                random_images(2, RESOLUTION, seed),
                folder / "subnet.tflite",
            )
            wall, cpu = time.perf_counter(), time.process_time()
            graph = trace(subnet, RESOLUTION)
            write_tflite(split_large_depthwise(graph) if seed % 2 else graph, path)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
            handle = session.load(path)
            with torch.no_grad():
                errors.append(relative_error(subnet(torch.from_numpy(images)).numpy(), session.infer(handle, images)))
            session.unload(handle)
            found = lint(path)
            transposes += found.transposes
            operators.append(sum(found.operators.values()))
    # The first export also imports modules, so it does not count.
    wall, cpu = np.array(times[1:]).T
    return {
        "subnets": float(count + 1),
        "wall_s_median": float(np.median(wall)),
        "cpu_s_median": float(np.median(cpu)),
        "cpu_s_worst": float(cpu.max()),
        "error_median": float(np.median(errors)),
        "error_worst": max(errors),
        "beyond_target": float(sum(error > TARGET_ERROR for error in errors)),
        "transposes": float(transposes),
        "operators_median": float(np.median(operators)),
    }


def rewrite(folder: Path) -> dict[str, float]:
    """Shortest CPU times in ms, with 1 thread, of subnets with one kernel size each and of the rewritten 7x7 one."""
    space = ofa_mobilenet_v3()
    names = {}
    for kernel in space.kernels:
        architecture = space.architecture(
            kernels=[kernel] * 15, expansions=[4] * 15, depths=[3] * 5, resolution=RESOLUTION
        )
        names[f"{kernel}x{kernel}"] = trace(space.build(architecture).eval(), RESOLUTION)
    names["7x7 rewritten"] = split_large_depthwise(names["7x7"])
    best: dict[str, float] = {}
    with LiteRtBackend().open(DEVICE) as session:
        handles = {}
        for name, graph in names.items():
            write_tflite(graph, folder / "subnet.tflite")
            handles[name] = session.load(folder / "subnet.tflite")
        for _ in range(10):
            for name, handle in handles.items():
                burst = session.time(handle, 2, 5, 60.0)
                best[name] = min(best.get(name, np.inf), *burst.cpu_ms)
    return best


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        e, r = exports(arguments.subnets, Path(folder)), rewrite(Path(folder))
    if arguments.json:
        print(json.dumps({**e, "cpu_ms": r}))
        return
    print(
        f"{e['subnets']:.0f} random subnets at {RESOLUTION} px, {e['operators_median']:.0f} operators in the median, "
        f"{e['transposes']:.0f} transposes"
    )
    print(
        f"  trace, fold, write   {e['wall_s_median']:.3f} s (CPU {e['cpu_s_median']:.3f} s, "
        f"at worst {e['cpu_s_worst']:.3f} s)   (target {TARGET_S} s)"
    )
    print(
        f"  error                {e['error_median']:.1e} of the output norm in the median, {e['error_worst']:.1e} at "
        f"worst, {e['beyond_target']:.0f} above the target   (target {TARGET_ERROR:.0e})"
    )
    print(f"  load average of the machine {psutil.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("shortest CPU time of an inference, 1 thread")
    for name, ms in r.items():
        print(f"  {name:<20} {ms:.1f} ms")
    print(f"  the rewrite          {r['7x7'] / r['7x7 rewritten']:.1f} times faster   (target {TARGET_GAIN:.0f})")


if __name__ == "__main__":
    main()
