"""Profiles and judges networks of torchvision with random weights, as files that somebody else wrote.

    python benchmarks/foreign.py [--network mobilenet_v2 resnet18] [--device cpu litert openvino] [--json]

Needs torchvision. Each network is saved as ONNX and by torch.export, at 224 px, measured and judged on each device
(`nagsdk profile`, `deploy --model`), and verified. Printed are the verdict, the greatest difference of its outputs from
another program's, and the latency. Twelve deployments take some five minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

import nagsdk
from nagsdk.manifest.manifest import read_manifest

PIXELS, MOST_DIFFERENCE = 224, 1e-5


def files(network: nn.Module, name: str, folder: Path) -> list[Path]:
    """The network as an ONNX file and as a program of torch.export."""
    image = (torch.zeros(1, 3, PIXELS, PIXELS),)
    program, onnx = folder / f"{name}.pt2", folder / f"{name}.onnx"
    torch.export.save(torch.export.export(network, image), program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the writer without onnxscript is deprecated
        torch.onnx.export(network, image, onnx, dynamo=False)
    return [onnx, program]


def judged(file: Path, device: str, folder: Path) -> dict[str, Any]:
    """What profile, deploy and verify say of a file."""
    (profiled,) = nagsdk.profile(device, model=file)
    deployment = nagsdk.deploy(device, "1s", model=file, output=folder / f"{device}-{file.suffix[1:]}-{file.stem}")
    assert profiled.measured.latency_p50_ms is not None and deployment.folder is not None
    parity = read_manifest(deployment.folder)["parity"]
    states = {check.name: check.state for check in deployment.verify().checks}
    return {
        "file": file.name,
        "device": device,
        "verdict": deployment.verdict,
        "verified": set(states.values()) == {"passed"},
        "parity": parity,
        "mmacs": profiled.macs / 1e6,
        "latency_p50_ms": profiled.measured.latency_p50_ms,
    }


def main() -> None:
    """Command line."""
    models = import_module("torchvision.models")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["mobilenet_v2", "resnet18"], help="names in torchvision")
    parser.add_argument("--device", nargs="+", default=["cpu", "litert", "openvino"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network in options.network:
            torch.manual_seed(0)
            for file in files(models.get_model(network).eval(), network, folder):
                rows += [judged(file, device, folder) for device in options.device]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'file':<20}{'device':<10}{'verdict':<10}{'verified':<10}{'difference':<12}{'MMACs':>7}{'p50 ms':>9}")
    for row in rows:
        parity = "-" if row["parity"] is None else f"{row['parity']:.1e}"
        print(
            f"{row['file']:<20}{row['device']:<10}{row['verdict']:<10}{'yes' if row['verified'] else 'NO':<10}"
            f"{parity:<12}{row['mmacs']:>7.0f}{row['latency_p50_ms']:>9.2f}"
        )
    right = [row["verdict"] == "held" and row["verified"] and row["parity"] <= MOST_DIFFERENCE for row in rows]
    print(f"held, verified and within {MOST_DIFFERENCE:g}: {sum(right)} of {len(right)}")


if __name__ == "__main__":
    main()
