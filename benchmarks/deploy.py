"""Deploys to ten budgets: do they hold in the first round or after the loop, and how much of the limit is used?

The rival in the same run is the same generator, steered by MACs times a scale fitted on the same calibration.

    python benchmarks/deploy.py [--bundle glyphs] [--device cpu] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import nagsdk
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, exact_table
from nagsdk.generator.ranking import choose
from nagsdk.pipeline.calibrate import calibrate_target
from nagsdk.pipeline.models import generator_of
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts, timing_artifact

ROW = (
    "{budget:>10}  {verdict:6} rounds {rounds}  p50 {p50_ms:7.3f} ms  used {used:6.1%}  "
    "rival {rival_ms:7.3f} ms {rival_used:6.1%}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="glyphs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", help="folder of images, for bundles without images")
    parser.add_argument("--timing-only", action="store_true")
    parser.add_argument("--count", type=int, default=10, help="number of budgets (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAGSDK_CACHE_DIR"] = folder
        report = run(arguments, Path(folder))
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report["figures"].items():
        print(f"{name:44}{value}")


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    target = Target(arguments.device, arguments.bundle)
    calibration = calibrate_target(target, 30).calibration
    model = calibration.model
    bounds = Completions.of(target.bundle.space, model.table)
    # Budgets lie between the lowest limit that an upper bound can hold and the cost of the most expensive architecture.
    low, high = (
        bounds.least * model.upper(calibration.codes[:1], 0.9)[0] / model.predict(calibration.codes[:1])[0][0],
        bounds.most,
    )
    limits = low + (high - low) * np.linspace(0.05, 0.95, arguments.count)
    rows = []
    for limit, rival_ms in zip(
        limits, rival(target, calibration.codes, calibration.model.calibrated.p50_ms, limits), strict=True
    ):
        deployment = nagsdk.deploy(
            arguments.device,
            budget=nagsdk.Budget("latency", float(limit)),
            bundle=arguments.bundle,
            output=folder / f"{limit:.3f}",
            images=arguments.images,
            timing_only=arguments.timing_only,
        )
        p50 = deployment.result.measured.latency_p50_ms or float("nan")
        rounds = deployment.details["rounds"]
        rows.append(
            {
                "budget": f"{limit:.3f}ms",
                "verdict": deployment.verdict,
                "first_round": rounds[0]["verdict"],
                "rounds": len(rounds),
                "p50_ms": p50,
                "used": p50 / limit,
                "rival_ms": rival_ms,
                "rival_used": rival_ms / limit,
            }
        )
        print(ROW.format(**rows[-1]), file=sys.stderr, flush=True)
    held = [r for r in rows if r["verdict"] == "held" and r["used"] <= 1]
    first = [r for r in rows if r["first_round"] == "held"]
    well = [r for r in held if r["used"] >= 0.9]
    rival_held = [r for r in rows if r["rival_used"] <= 1]
    figures = {
        "held after the loop (target: all)": f"{len(held)} of {len(rows)}",
        "held in the first round (target: 8 of 10)": f"{len(first)} of {len(rows)}",
        ">= 90 % of the limit used (target: 8 of 10)": f"{len(well)} of {len(rows)}",
        "rival, MACs x scale: held": f"{len(rival_held)} of {len(rows)}",
        "rival: held and >= 90 % used": f"{sum(r['rival_used'] >= 0.9 for r in rival_held)} of {len(rows)}",
        "calibration, seconds": round(calibration.seconds, 1),
        "ratio held in the first round to the rival": round(len(first) / max(len(rival_held), 1), 2),
    }
    return {"bundle": arguments.bundle, "deployments": rows, "figures": figures}


def rival(target: Target, codes: np.ndarray, p50_ms: np.ndarray, limits: np.ndarray) -> list[float]:
    """Latencies in ms of what the generator picks if it takes MACs times a scale for the latency."""
    macs = exact_table(target.bundle.space, lambda layer: layer.macs)
    scale = float(np.exp(np.median(np.log(p50_ms / macs.cost(codes)))))
    table = AdditiveTable(macs.base * scale, macs.choice * scale)
    proposals = generator_of(target).propose(
        [table], np.maximum(limits, Completions.of(target.bundle.space, table).least), 64
    )
    best = choose(target.bundle.predictor, proposals)[:, 0]
    chosen = target.bundle.space.decode(proposals[np.arange(len(limits)), best])
    with tempfile.TemporaryDirectory() as folder:
        compiled = {a.text: timing_artifact(target, a, Path(folder)) for a in dict.fromkeys(chosen)}
        found = time_artifacts(target, compiled, Path(folder))
    return [found[a.text].figure(50) for a in chosen]


if __name__ == "__main__":
    main()
