"""Does a verdict on a high percentile hold when it is checked again? Deploys at p90 and p95, then verifies, many times.

The budgets of one percentile are spread over the range of the device. The rival, on the same sessions, is the rule for
one session: held if the upper 95 % limit within the second session fits, and passed if it fits in one later session.

    python benchmarks/percentiles.py [--times 20] [--percentiles 90,95] [--bundle glyphs] [--device cpu] [--json]

Takes about a minute for each deployment and its check on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import nagsdk
from nagsdk.cost.bounds import Completions
from nagsdk.manifest.result import HELD
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline import timing, verdict, verify
from nagsdk.pipeline.calibrate import calibrate_target
from nagsdk.pipeline.target import Target

SHARE = 0.9
ROW = (
    "{budget:>14}  {verdict:6}  {sessions} sessions, p{percentile:g} {asked_ms:7.4f} ms ({low_ms:.4f}-{limit_ms:.4f}), "
    "spread {spread:5.1%}, expected to pass {probability:4.0%}: {passed}  ({seconds:.0f} s)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="deployments of each percentile (default: %(default)s)")
    parser.add_argument("--percentiles", default="90,95", help="percentiles (default: %(default)s)")
    parser.add_argument("--bundle", default="glyphs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    percentiles = [float(p) for p in arguments.percentiles.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAGSDK_CACHE_DIR"] = folder
        report = {f"{p:g}": run(arguments, p, Path(folder)) for p in percentiles}
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    for name, found in report.items():
        for title, value in found["figures"].items():
            print(f"p{name}: {title:58}{value}")


class Sessions:
    """Passes timings on and remembers the session of every call."""

    def __init__(self) -> None:
        self.taken: list[Measurement] = []

    def __call__(self, *arguments: Any) -> dict[str, Measurement]:
        found = timing.time_artifacts(*arguments)
        self.taken += found.values()
        return found


def run(arguments: argparse.Namespace, percentile: float, folder: Path) -> dict[str, Any]:
    target = Target(arguments.device, arguments.bundle)
    calibration = calibrate_target(target, 30).calibration
    model, bounds = calibration.model, Completions.of(target.bundle.space, calibration.model.table)
    margin = 1 + model.margin(0.9)
    limits = np.linspace(1.1 * bounds.least * margin, bounds.most, arguments.times + 1)[:-1]
    rows, sessions = [], Sessions()
    for module in (verdict, verify):
        vars(module)["time_artifacts"] = sessions
    for number, limit in enumerate(limits * model.jitter.factor(percentile)):
        begun, budget = time.monotonic(), nagsdk.Budget("latency", float(limit), percentile)
        deployment = nagsdk.deploy(target, budget, output=folder / f"p{percentile:g}" / str(number))
        last = sessions.taken[-1] if deployment.verdict == HELD else None
        m = deployment.result.measured
        row: dict[str, Any] = {
            "budget": str(budget),
            "percentile": percentile,
            "verdict": deployment.verdict,
            "sessions": m.sessions,
            "asked_ms": m.latency_asked_ms,
            "low_ms": m.latency_asked_low_ms,
            "limit_ms": m.latency_limit_ms,
            "spread": m.session_spread,
            "probability": m.verify_probability or 0.0,
            "passed": None,
            "rival_held": last is not None and within(last, percentile) <= limit,
            "rival_passed": None,
        }
        if deployment.verdict == HELD:
            sessions.taken.clear()
            checks = {check.name: check.state for check in deployment.verify().checks}
            row["passed"] = checks["latency"] == "passed"
            row["rival_passed"] = within(sessions.taken[0], percentile) <= limit
        row["seconds"] = time.monotonic() - begun
        rows.append(row)
        print(ROW.format(**row), file=sys.stderr, flush=True)
    held = [row for row in rows if row["verdict"] == HELD]
    rival = [row for row in rows if row["rival_held"]]
    expected = np.mean([row["probability"] for row in held]) if held else float("nan")
    figures = {
        "held": f"{len(held)} of {len(rows)}",
        f"verified after that (target: {SHARE:.0%} of them)": f"{sum(row['passed'] for row in held)} of {len(held)}",
        "expected share": f"{expected:.0%}",
        "sessions of a verdict": f"{np.mean([row['sessions'] for row in held]) if held else 0:.1f}",
        "share of the limit used": f"{np.mean([r['asked_ms'] / limit_of(r) for r in held]) if held else 0:.1%}",
        "rival, one session: verified of what its rule held": (
            f"{sum(bool(row['rival_passed']) for row in rival)} of {len(rival)}"
        ),
    }
    return {"figures": figures, "rows": rows}


def limit_of(row: dict[str, Any]) -> float:
    """The limit of a row in milliseconds."""
    return nagsdk.Budget.parse(row["budget"]).limit


def within(session: Measurement, percentile: float) -> float:
    """The upper 95 % limit of a percentile within one session."""
    return session.upper(percentile, disturbed=not session.enough_quiet)


if __name__ == "__main__":
    main()
