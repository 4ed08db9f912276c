"""Compares OpenVINO with ONNX Runtime on this machine's processor, on the same networks, in turns round by round.

    python benchmarks/runtimes.py [--networks 8] [--bundle imagenet]

The networks are subnets of the bundle from small to large, with random weights. For each one, the ratio of the two
latencies is taken in every round. The speed of a shared machine drifts; a ratio of latencies that were measured one
right after the other cancels the drift.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nagsdk.bundle.bundle import load_bundle
from nagsdk.device.description import Device
from nagsdk.graph import parity
from nagsdk.graph.trace import trace
from nagsdk.plugin.host import host
from nagsdk.testing import random_images, random_subnet

NAMES = ("openvino", "cpu")
_CANDIDATES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bundle", default="imagenet")
    arguments = parser.parse_args()
    space = load_bundle(arguments.bundle).space
    candidates = space.decode(space.sample(_CANDIDATES, np.random.default_rng(0)))
    candidates.sort(key=space.macs)
    chosen = [candidates[i] for i in np.linspace(0, _CANDIDATES - 1, arguments.networks).astype(int)]
    devices: dict[str, Device] = {name: host().devices.get(name) for name in NAMES}
    ratios = []
    print(f"{'MMACs':>7}  {'openvino':>9}  {'cpu (ONNX Runtime)':>18}  {'ratio':>6}  10-90 % of rounds   largest error")
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        sessions = {name: stack.enter_context(host().backend_of(d).open(d)) for name, d in devices.items()}
        for architecture in chosen:
            subnet = random_subnet(space, architecture)
            graph, images = trace(subnet, architecture.resolution), random_images(1, architecture.resolution)
            handles, logits = {}, {}
            for name, device in devices.items():
                path = Path(work) / f"{name}-{architecture.hash}.onnx"
                host().backend_of(device).export(graph, path, device)
                handles[name] = sessions[name].load(path)
                logits[name] = sessions[name].infer(handles[name], images)
            taken: dict[str, list[float]] = {name: [] for name in NAMES}
            for number in range(arguments.rounds):
                for name in NAMES if number % 2 else NAMES[::-1]:
                    taken[name].append(float(np.median(sessions[name].time(handles[name], 2, 5, 60.0).wall_ms)))
            for name in NAMES:
                sessions[name].unload(handles[name])
            each = np.array(taken["openvino"]) / np.array(taken["cpu"])
            ratios.append(float(np.median(each)))
            low, high = np.percentile(each, [10, 90])
            error = parity.relative_error(logits["cpu"], logits["openvino"])
            times = "  ".join(
                f"{np.median(taken[name]):>{width}.2f}" for name, width in zip(NAMES, (9, 18), strict=True)
            )
            print(
                f"{space.macs(architecture) / 1e6:7.0f}  {times}  {ratios[-1]:6.2f}  "
                f"{low:.2f}-{high:.2f}            {error:.0e}",
                flush=True,
            )
    print(
        f"OpenVINO takes {np.median(ratios):.2f} of the time of ONNX Runtime "
        f"(median of {len(ratios)} networks, {min(ratios):.2f}-{max(ratios):.2f})."
    )


if __name__ == "__main__":
    main()
