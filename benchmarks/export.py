"""Measures how long the export of a 224-pixel subnet to ONNX takes, and how closely the file's logits match torch's.

    python benchmarks/export.py [--subnets 20] [--json]      # about a minute

The rival, torch.onnx.export (TorchScript, opset 17), exports the same subnets in the same run, one after the other.
Weights are random; batch normalisation statistics are those of random images.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch

from nagsdk.device.description import Device
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph.onnx import write_onnx
from nagsdk.graph.parity import relative_error
from nagsdk.graph.trace import trace
from nagsdk.testing.networks import random_images, random_subnet
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

RESOLUTION = 224
TARGET_S, TARGET_ERROR = 0.3, 1e-5


def ours(subnet: torch.nn.Module, path: Path) -> None:
    """Traces the subnet, folds batch normalisation and writes the file."""
    write_onnx(trace(subnet, RESOLUTION), path)


def rival(subnet: torch.nn.Module, path: Path) -> None:
    """Exports with torch's own exporter."""
    image = torch.zeros(1, 3, RESOLUTION, RESOLUTION)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            subnet, (image,), str(path), opset_version=17, input_names=["image"], output_names=["logits"], dynamo=False
        )


def timed(export: Callable[[torch.nn.Module, Path], None], subnet: torch.nn.Module, path: Path) -> tuple[float, float]:
    """Wall and CPU seconds of an export."""
    wall, cpu = time.perf_counter(), time.process_time()
    export(subnet, path)
    return time.perf_counter() - wall, time.process_time() - cpu


def run(count: int) -> dict[str, float | str | None]:
    """Exports `count` random subnets both ways, and compares the logits of nagsdk's files with torch's."""
    torch.set_num_threads(1)
    space, device = ofa_mobilenet_v3(), Device("cpu", "this machine", "onnxruntime")
    times: list[tuple[float, float]] = []
    rival_times: list[tuple[float, float]] = []
    errors, sizes, missing = [], [], None
    with tempfile.TemporaryDirectory() as folder, OnnxRuntimeBackend().open(device) as session:
        path = Path(folder) / "subnet.onnx"
        for seed, architecture in enumerate(
            space.decode(space.sample(count + 1, np.random.default_rng(0), RESOLUTION))
        ):
            subnet, images = random_subnet(space, architecture, seed), random_images(2, RESOLUTION, seed)
            times.append(timed(ours, subnet, path))
            if missing is None:
                try:
                    rival_times.append(timed(rival, subnet, path.with_name("rival.onnx")))
                except ImportError as error:
                    missing = str(error)
            handle = session.load(path)
            with torch.no_grad():
                errors.append(relative_error(subnet(torch.from_numpy(images)).numpy(), session.infer(handle, images)))
            session.unload(handle)
            sizes.append(path.stat().st_size)
    # The first export also imports modules on both sides, so it does not count.
    wall, cpu = np.array(times[1:]).T
    result: dict[str, float | str | None] = {
        "subnets": float(count),
        "wall_s_median": float(np.median(wall)),
        "wall_s_worst": float(wall.max()),
        "cpu_s_median": float(np.median(cpu)),
        "rival_wall_s_median": None,
        "rival_cpu_s_median": None,
        "rival_over_ours": None,
        "rival_missing": missing,
        "error_worst": max(errors),
        "megabytes_median": float(np.median(sizes)) / 1e6,
    }
    if missing is None:
        rival_wall, rival_cpu = np.array(rival_times[1:]).T
        result["rival_wall_s_median"], result["rival_cpu_s_median"] = (
            float(np.median(rival_wall)),
            float(np.median(rival_cpu)),
        )
        result["rival_over_ours"] = float(np.median(rival_wall / wall))
    return result


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = run(arguments.subnets)
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{result['subnets']:.0f} random subnets at {RESOLUTION} px, {result['megabytes_median']:.1f} MB in the median"
    )
    print(
        f"  trace, fold, write   {result['wall_s_median']:.3f} s (CPU {result['cpu_s_median']:.3f} s) in the median, "
        f"{result['wall_s_worst']:.3f} s at worst   (target {TARGET_S} s)"
    )
    if result["rival_over_ours"] is None:
        print(f"  torch.onnx.export    cannot run on this machine: {result['rival_missing']}")
    else:
        print(
            f"  torch.onnx.export    {result['rival_wall_s_median']:.3f} s (CPU {result['rival_cpu_s_median']:.3f} s): "
            f"{result['rival_over_ours']:.1f} times as long, same subnets, same run"
        )
    print(f"  load average of the machine {psutil.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"  worst error          {result['error_worst']:.1e} of the output norm   (target {TARGET_ERROR:.0e})")


if __name__ == "__main__":
    main()
