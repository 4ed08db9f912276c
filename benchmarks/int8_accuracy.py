"""What integers cost in accuracy, and how exactly runtimes compute them, on subnets of glyphs from small to large.

    python benchmarks/int8_accuracy.py [--networks 20] [--images 150] [--devices litert,cpu,openvino]

Top-1 of the files is measured on all test images and compared with that of the same subnet in float32. The subnets are
others than those from which the predicted loss comes, and that is the one of the device's scheme. The simulation in
float32 which measured it is compared with the files on all test images, by top-1; the logits of the first IMAGES are
compared with those of the simulation in integers. One step is what an integer of the output stands for.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

import numpy as np
import torch

from nagsdk.bundle.bundle import Bundle, load_bundle
from nagsdk.device.description import Device
from nagsdk.graph.integers import IntegerGraph, approximated
from nagsdk.graph.parity import overall_error
from nagsdk.graph.simulate import simulated
from nagsdk.graph.trace import trace
from nagsdk.pipeline.choices import loss_of
from nagsdk.plugin.host import host
from nagsdk.space.architecture import Architecture

_CANDIDATES, _SEED, _PRECISION, _BATCH = 200, 1, "int8", 128
# Mean and worst loss in points of top-1 of 20 networks, and how many of them lie inside the predicted interval.
LOSSES = "mean <= 0.4, worst <= 1.0, >= 18 of 20 inside"
PARITY = {
    "litert": "0 steps",
    "cpu": "error <= 0.05, same class >= 99 %",
    "openvino": "error <= 0.15, same class >= 97 %",
}


@dataclass
class Found:
    """What was found on one device, an entry for each network, but `same` for each image."""

    losses: list[float] = field(default_factory=list)
    simulated: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)


def add(found: Found, bundle: Bundle, architecture: Architecture, device: Device, images: int, folder: Path) -> None:
    """Writes the file of a network, and adds what it computes."""
    backend, test = host().backend_of(device), bundle.test_set(architecture.resolution)
    assert test is not None
    recalibration = bundle.recalibration_images(architecture.resolution)
    subnet = bundle.subnet(architecture, recalibration)
    made = backend.quantised(trace(subnet, architecture.resolution), device, recalibration)
    assert isinstance(made, IntegerGraph)
    path = folder / f"{device.id}-{architecture.hash}{backend.suffix}"
    backend.export(made, path, device)
    with backend.open(device) as session:
        logits = session.infer(session.load(path), test.inputs)
    parts = torch.split(torch.from_numpy(test.inputs), _BATCH)
    with torch.no_grad():
        exact = torch.cat([subnet(part) for part in parts]).numpy()
    fast = torch.cat([approximated(made, part) for part in parts]).numpy()
    right = [100 * float(np.mean(outputs.argmax(1) == test.labels)) for outputs in (exact, logits, fast)]
    expected, actual = simulated(made, test.inputs[:images]), logits[:images]
    found.losses.append(right[0] - right[1])
    found.simulated.append(right[0] - right[2])
    found.steps.append(int(np.rint(np.abs(actual - expected) / made.affine(made.output).scale).max()))
    found.errors.append(overall_error(expected, actual))
    found.same += (expected.argmax(1) == actual.argmax(1)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--devices", default="litert,cpu,openvino")
    arguments = parser.parse_args()
    bundle = load_bundle("glyphs")
    space = bundle.space
    drawn = space.decode(space.sample(_CANDIDATES, np.random.default_rng(_SEED)))
    ordered = sorted(drawn, key=space.macs)
    chosen = [ordered[ceil((i + 0.5) * _CANDIDATES / arguments.networks) - 1] for i in range(arguments.networks)]
    for name in arguments.devices.split(","):
        device, found = replace(host().devices.get(name), precision=_PRECISION), Found()
        loss = loss_of(bundle, host().backend_of(device), device)
        assert loss is not None
        with tempfile.TemporaryDirectory() as folder:
            for architecture in chosen:
                add(found, bundle, architecture, device, arguments.images, Path(folder))
        losses = np.array(found.losses)
        inside = int(((losses >= loss.low) & (losses <= loss.high)).sum())
        print(f"{name}: top-1 lost {losses.mean():.2f} points, at worst {losses.max():.2f}; {inside} of {len(losses)}")
        print(f"  networks inside the predicted {loss.low:.2f} to {loss.high:.2f}   wanted: {LOSSES}")
        off = np.array(found.simulated) - losses
        error = off.std(ddof=1) / len(off) ** 0.5
        print(f"  the simulation in float32 loses {off.mean():+.3f} points more (standard error {error:.3f})")
        shown = f"{max(found.steps)} steps, error {max(found.errors):.3f}, same class {np.mean(found.same):.2%}"
        print(
            f"  from the simulation, {arguments.images} images each: {shown}   wanted: {PARITY.get(name, '-')}",
            flush=True,
        )


if __name__ == "__main__":
    main()
