"""Compares integers with float32 on this machine's processor: latency, in turns round by round, and the file's making.

    python benchmarks/int8.py [--networks 4] [--bundle imagenet] [--rounds 25]

The networks are subnets of the bundle from small to large, with random weights. For each one, the ratio of two
latencies is taken in every round, since the speed of a shared machine drifts. The rival of LiteRT is the dynamic-range
file of Google's ai-edge-quantizer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from nagsdk.bundle.bundle import load_bundle
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.graph.ir import Graph
from nagsdk.graph.trace import trace
from nagsdk.plugin.host import host
from nagsdk.testing import random_images, random_subnet

_CANDIDATES, _IMAGES = 200, 16
# What is compared with what, and the ratio of latencies that the first one must reach.
PAIRS = (
    ("litert int8", "litert ai-edge-quantizer", 1.5),
    ("litert int8", "litert int8-dynamic", 1.5),
    ("litert int8", "litert fp32", 0.0),
    ("cpu int8", "cpu fp32", 1.1),
    ("openvino int8", "openvino fp32", 1.25),
)


def write(name: str, graph: Graph, images: np.ndarray, path: Path) -> float:
    """Writes the file of a contestant, and returns the seconds beyond the calibration of its integers."""
    device, backend = reached(name)
    if name.endswith("quantizer"):
        from ai_edge_quantizer import quantizer, recipe

        backend.export(graph, path, device)
        theirs = quantizer.Quantizer(path.read_bytes())
        theirs.load_quantization_recipe(recipe.dynamic_wi8_afp32())
        path.write_bytes(bytes(theirs.quantize().quantized_model))
        return 0.0
    if device.precision in backend.integer_precisions:
        kept = backend.quantised(graph, device, images).ranges.to_statistics()  # type: ignore[attr-defined]
        start = time.perf_counter()
        graph = backend.quantised(graph, device, None, kept)
    else:
        start = time.perf_counter()
    backend.export(graph, path, device)
    return time.perf_counter() - start


def reached(name: str) -> tuple[Device, Backend]:
    """The device and the backend of a contestant."""
    id_, precision = name.split()
    device: Device = host().devices.get(id_)
    backend = host().backend_of(device)
    return replace(device, precision=precision if precision in backend.precisions else "fp32"), backend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--bundle", default="imagenet")
    arguments = parser.parse_args()
    space = load_bundle(arguments.bundle).space
    candidates = space.decode(space.sample(_CANDIDATES, np.random.default_rng(0)))
    largest = [a for a in candidates if a.resolution == max(space.resolutions)]
    largest.sort(key=space.macs)
    chosen = [largest[i] for i in np.linspace(0, len(largest) - 1, arguments.networks).astype(int)]
    names = sorted({name for pair in PAIRS for name in pair[:2]})
    ratios: dict[tuple[str, str], list[float]] = {pair[:2]: [] for pair in PAIRS}
    print(processor())
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        sessions = {name: stack.enter_context(reached(name)[1].open(reached(name)[0])) for name in names}
        for architecture in chosen:
            graph = trace(random_subnet(space, architecture), architecture.resolution)
            images, handles = random_images(_IMAGES, architecture.resolution), {}
            for name in names:
                path = Path(work) / f"{name}-{architecture.hash}{reached(name)[1].suffix}"
                seconds = write(name, graph, images, path)
                handles[name] = sessions[name].load(path)
                if "int8" in name:
                    print(f"  {name}: written in {seconds:.3f} s, {path.stat().st_size / 1e6:.2f} MB")
            taken: dict[str, list[float]] = {name: [] for name in names}
            for number in range(arguments.rounds):
                for name in names if number % 2 else names[::-1]:
                    taken[name].append(float(np.median(sessions[name].time(handles[name], 2, 5, 60.0).wall_ms)))
            print(f"{space.macs(architecture) / 1e6:.0f} MMACs, {architecture}")
            for first, second, _ in PAIRS:
                each = np.array(taken[second]) / np.array(taken[first])
                low, middle, high = np.percentile(each, (10, 50, 90))
                ratios[first, second].append(float(middle))
                print(f"  {second} / {first}: {middle:.2f} ({low:.2f}-{high:.2f})")
            for name in names:
                sessions[name].unload(handles[name])
    for first, second, least in PAIRS:
        mean = float(np.exp(np.mean(np.log(ratios[first, second]))))
        target = f", at least {least} wanted: {'yes' if mean >= least else 'NO'}" if least else ""
        print(f"{first} is {mean:.2f} times as fast as {second}{target}")


if __name__ == "__main__":
    main()
