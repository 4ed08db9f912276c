"""Measures whether different processes measure the same latencies on this machine.

    python benchmarks/repeatability.py [--networks 20] [--processes 4] [--json]      # about three minutes

Every process opens a fresh session and measures the same random subnets of the ImageNet space. The figures of one
process are compared with the median of the other processes, without any correction for differences between processes.
Before them, one more process finds the quiet latency of the reference network, as a calibration does. The rival, in the
same processes, is the usual way: one burst per network, with as many runs as the protocol has at least over all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from nagsdk.device.description import Device
from nagsdk.errors import MeasurementError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.measuring.measure import measure
from nagsdk.measuring.protocol import Protocol
from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

BAND, TARGET = 0.05, 0.96
DEVICE = Device("cpu", "this machine", "onnxruntime")
WAYS = {
    "one_shot": "one burst per network",
    "normalised": "interleaved rounds, all readings, normalised",
    "quiet": "interleaved rounds, quiet readings as timed",
}


def export(count: int, folder: Path) -> None:
    """Writes the files of the networks and of the reference network."""
    import torch

    from nagsdk.graph.trace import trace

    space = ofa_mobilenet_v3()
    for number, architecture in enumerate(space.decode(space.sample(count, np.random.default_rng(0)))):
        OnnxRuntimeBackend().export(
            trace(space.build(architecture).eval(), architecture.resolution), folder / f"{number:03d}.onnx", DEVICE
        )
    middle = space.architecture(kernels=[5] * 15, expansions=[4] * 15, depths=[3] * 5, resolution=192)
    torch.manual_seed(0)
    OnnxRuntimeBackend().export(trace(space.build(middle).eval(), 192), folder / "reference.onnx", DEVICE)


def session(folder: Path, known_ms: float | None) -> dict[str, dict[str, float | None] | float]:
    """Measures every network both ways; runs in a process of its own."""
    protocol = Protocol()
    models = {path.stem: path for path in sorted(folder.glob("[0-9]*.onnx"))}
    with OnnxRuntimeBackend().open(DEVICE) as opened:
        one_shot = {}
        for name, path in models.items():
            handle = opened.load(path)
            one_shot[name] = float(
                np.median(opened.time(handle, protocol.warmup, protocol.runs * protocol.rounds, 60.0).wall_ms)
            )
            opened.unload(handle)
        start = time.perf_counter()
        found = measure(
            opened, models, folder / "reference.onnx", protocol, reference_quiet_ms=known_ms, seed=os.getpid()
        )
        seconds = time.perf_counter() - start
    quiet: dict[str, float | None] = {}
    for name, measurement in found.items():
        try:
            quiet[name] = measurement.latency()
        except MeasurementError:
            quiet[name] = None
    readings = [reading for measurement in found.values() for reading in measurement.readings]
    return {
        "one_shot": dict(one_shot),
        "normalised": {name: measurement.normalised_ms() for name, measurement in found.items()},
        "quiet": quiet,
        "seconds_per_network": seconds / len(models),
        "readings_per_network": len(readings) / len(models),
        "contention": float(np.median([reading.contention for reading in readings])),
        "reference_quiet_ms": next(iter(found.values())).reference_quiet_ms,
    }


def process(folder: str, *options: str) -> dict[str, Any]:
    """Runs `session` in a subprocess."""
    command = [sys.executable, __file__, "--session", folder, *options]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the median of the other processes, shape (processes, networks); NaN where a value is missing."""
    others = np.empty_like(values)
    for (row, column), _ in np.ndenumerate(values):
        rest = np.delete(values[:, column], row)
        others[row, column] = np.median(rest[np.isfinite(rest)]) if np.isfinite(rest).any() else np.nan
    return values / others - 1


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--session", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--known-ms", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.session:
        print(json.dumps(session(arguments.session, arguments.known_ms)))
        return
    with tempfile.TemporaryDirectory() as name:
        export(arguments.networks, Path(name))
        known_ms = process(name)["reference_quiet_ms"]
        runs = [process(name, "--known-ms", str(known_ms)) for _ in range(arguments.processes)]
    result: dict[str, object] = {}
    for way in WAYS:
        values = np.array([[np.nan if v is None else v for v in run[way].values()] for run in runs], dtype=np.float64)
        found = deviations(values)
        known = found[np.isfinite(found)]
        result[way] = {
            "measured": float(np.isfinite(values).mean()),
            "within_5_percent": float((np.abs(known) <= BAND).mean()) if len(known) else None,
            "p96_deviation": float(np.quantile(np.abs(known), TARGET)) if len(known) else None,
            # The deviation that all networks of a process have in common.
            "common_percent": [
                100 * float(np.median(row[np.isfinite(row)])) if np.isfinite(row).any() else None for row in found
            ],
        }
    for key in ("seconds_per_network", "readings_per_network", "contention", "reference_quiet_ms"):
        result[key] = [run[key] for run in runs]
    result["load_average"] = psutil.getloadavg()[1]
    if arguments.json:
        print(json.dumps(result))
        return
    print(
        f"{arguments.networks} random subnets, {arguments.processes} processes; "
        f"load average of the machine {result['load_average']:.1f} on {os.cpu_count()} cores"
    )
    for way, title in WAYS.items():
        figures = result[way]
        assert isinstance(figures, dict)
        share = (
            "nothing to compare"
            if figures["within_5_percent"] is None
            else f"{figures['within_5_percent']:6.1%} within ±5 %, 96 % within ±{figures['p96_deviation']:.1%}"
        )
        common = ", ".join("-" if value is None else f"{value:+.1f}" for value in figures["common_percent"])
        print(f"  {title:45s} {share}   ({figures['measured']:.0%} measured; common to each process: {common} %)")
    print(f"  target                                        {TARGET:.0%} within ±5 %")
    seconds, readings = (
        np.mean([run["seconds_per_network"] for run in runs]),
        np.mean([run["readings_per_network"] for run in runs]),
    )
    levels = ", ".join(f"{run['reference_quiet_ms']:.2f}" for run in runs)
    print(f"  {seconds:.2f} s and {readings:.1f} readings per network; quiet latency of the reference {levels} ms")


if __name__ == "__main__":
    main()
