"""Fits the prior of devices/cpu.toml from subnets measured on this machine.

    python recipes/cpu_prior.py --measure measured.json     # about ten minutes on an idle machine
    python recipes/cpu_prior.py measured.json               # fits and writes devices/cpu-prior.json

Several files may be given, measured on different days or machines; a separate scale is fitted for each file.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ridge import cross_validated, fit, flat

from nagsdk.calibration.calibrate import calibrate
from nagsdk.common.files import write_atomically
from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.prior import Jitter, Prior
from nagsdk.device.description import read_device
from nagsdk.events import Advanced, Event
from nagsdk.families.mobilenet_v3.definition import Stage
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.plugin.host import host

DEVICES = Path(__file__).resolve().parent.parent / "devices"
# Strength of the pull towards equal shares of all features. Up to this value the error on left-out folds stays the
# same, above it the error rises.
STRENGTH = 1e-4
# An estimate, not measured: single-thread speeds of x86-64 processors of the last ten years differ by a factor of about
# two, in both directions.
SPREAD = 0.5


def small_space() -> MobileNetV3Space:
    """A space of networks that take 0.1 to 1 ms, so that the prices of calls and of small layers can be fitted."""
    depths = (1, 2, 3)
    stages = (
        Stage(16, 2, "relu", False, depths),
        Stage(24, 2, "relu", True, depths),
        Stage(48, 1, "hswish", False, depths),
        Stage(80, 2, "hswish", True, depths),
    )
    return MobileNetV3Space(stages, 8, 240, 320, (3, 5, 7), (2, 4, 6), (32, 40, 48, 64, 96), 64)


def measure(path: Path, count: int, seed: int, spaces: list[MobileNetV3Space]) -> None:
    """Measures `count` subnets of every space, with a reference network of the same space, and writes the results."""
    device = read_device(DEVICES / "cpu.toml")
    sets = []
    for space in spaces:
        result = calibrate(space, device, host().backend_of(device), samples=count, seed=seed, on_event=_show)
        sets.append(
            {
                "space": space.to_dict(),
                "p50_ms": result.levelled.p50_ms,
                "jitter": result.model.jitter.to_dict(),
                "threads": device.threads,
                "facts": dict(result.model.facts),
            }
        )
    write_atomically(path, (json.dumps({"sets": sets}, indent=1) + "\n").encode())


def fit_prior(files: list[dict[str, Any]]) -> tuple[Prior, dict[str, float]]:
    """Fits the prior.

    Returns:
        The prior, and its accuracy on left-out folds after scaling each file.
    """
    features, values, file_of = [], [], []
    sets = [(number, one) for number, content in enumerate(files) for one in content["sets"]]
    for number, one in sets:
        space = MobileNetV3Space.from_dict(one["space"])
        codes = space.encode([space.parse(text) for text in one["p50_ms"]])
        features.append(FeatureTable.of(space).of_codes(codes))
        values.append(np.array(list(one["p50_ms"].values())))
        file_of.append(np.full(len(codes), number))
    x, y, group = np.concatenate(features), np.concatenate(values), np.concatenate(file_of)
    scale = np.ones(len(files))
    for _ in range(10 if len(files) > 1 else 1):
        weights = fit(x, y / scale[group], flat(x), STRENGTH)
        scale = np.array([np.median(y[group == g] / (x[group == g] @ weights)) for g in range(len(files))])
        scale /= scale[0]
    _, predicted = cross_validated(x, y / scale[group], STRENGTH)
    errors = np.abs(predicted / (y / scale[group]) - 1)
    accuracy = {
        "within_5_percent": float(np.mean(errors <= 0.05)),
        "within_10_percent": float(np.mean(errors <= 0.10)),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
    }
    jitters = [Jitter.from_dict(one["jitter"]) for _, one in sets]
    jitter = Jitter(
        {p: float(np.median([j.factor(p) for j in jitters])) for p in jitters[0].runs},
        float(np.median([j.sessions for j in jitters])),
    )
    source = {
        "title": "measured subnets of the ImageNet space and of a small space; scale of the first file",
        "fitted": datetime.now(UTC).date().isoformat(),
        "measured": sorted({one["facts"]["date"][:10] for _, one in sets}),
        "subnets": len(y),
        "processors": sorted({one["facts"]["environment"]["processor"] for _, one in sets}),
        "runtimes": sorted({one["facts"]["environment"]["runtime_version"] for _, one in sets}),
        "left_out": accuracy,
        "spread": "an estimate, not measured: how far single-thread speeds of x86-64 processors differ",
    }
    return Prior(weights, SPREAD, jitter, sets[0][1]["threads"], source), accuracy


def _show(event: Event) -> None:
    if isinstance(event, Advanced):
        print(f"\r{event.text[:100]:<100}", end="", file=sys.stderr)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="measured subnets to fit")
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure subnets and write them here")
    parser.add_argument("--count", type=int, default=120, help="number of subnets of each space (default: %(default)s)")
    parser.add_argument("--space", choices=["imagenet", "small", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=DEVICES / "cpu-prior.json")
    options = parser.parse_args()
    if options.measure:
        spaces = {
            "imagenet": [ofa_mobilenet_v3()],
            "small": [small_space()],
            "both": [ofa_mobilenet_v3(), small_space()],
        }
        measure(options.measure, options.count, options.seed, spaces[options.space])
    if options.files:
        prior, accuracy = fit_prior([json.loads(path.read_text("utf-8")) for path in options.files])
        write_atomically(options.output, prior.to_json().encode())
        options.output.chmod(0o644)
        print(
            json.dumps(
                {**accuracy, "prices_ms": dict(zip(FEATURES, prior.weights.round(5).tolist(), strict=True))}, indent=2
            )
        )
    elif not options.measure:
        parser.error("give a file of measured subnets, or --measure FILE")


if __name__ == "__main__":
    main()
