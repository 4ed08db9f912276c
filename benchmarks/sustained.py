"""Verdicts on a processor that slows down under load: those under sustained load beside those without load.

A sibling process shares the core of the networks. It begins to compute once they have run for some seconds, and takes
more and more of the core, as heat would. Half of the limits lie between the latency without load and that under load,
where the usual verdict must be wrong, the others above both. What is right is measured by a longer load.

    python benchmarks/sustained.py [--trials 10] [--seconds 30] [--after 6] [--takes 0.5] [--json]

Linux only. Needs an idle core, which --core names; every trial takes about a minute and a half.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.budget import Budget
from nagsdk.common.processes import pin
from nagsdk.device.description import Device
from nagsdk.pipeline.hot import time_under_load
from nagsdk.pipeline.round import upper_limit
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts, timing_artifact

WORKER = "nagsdk_onnxruntime.worker"
# Length of one turn of the sibling: shorter than an inference, so that every inference meets it.
TURN_S, SETTLES_S, LOOK_S = 0.004, 3.0, 0.25


def sibling(core: int, after_s: float, takes: float, told: Path) -> None:
    """Takes a share of a core, as long as a worker runs that has computed for long enough.

    Args:
        core: Number of the core.
        after_s: Processor seconds of the worker after which it begins.
        takes: Share of the time that it asks for in the end.
        told: File that says so when it has found a worker.
    """
    pin([core])
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_bytes(b"-20")
    except OSError:
        pass
    looked, hot_s = 0.0, 0.0
    while True:
        now = time.monotonic()
        if now - looked > LOOK_S:
            looked, hot_s = now, max(0.0, used_s() - after_s)
            told.write_text(f"{hot_s}")
        share = takes * -np.expm1(-hot_s / SETTLES_S)
        end = now + share * TURN_S
        while time.monotonic() < end:
            pass
        time.sleep(max((1 - share) * TURN_S, 1e-4))


def used_s() -> float:
    """Processor seconds of the youngest worker; 0 if there is none."""
    ticks, found = os.sysconf("SC_CLK_TCK"), (0, 0.0)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if WORKER.encode() in (folder / "cmdline").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found = max(found, (int(fields[19]), (int(fields[11]) + int(fields[12])) / ticks))
        except OSError:
            continue
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0, help="longest load of a verdict (default: %(default)s)")
    parser.add_argument("--after", type=float, default=6.0, help="seconds of load before the throttle begins")
    parser.add_argument("--takes", type=float, default=0.5, help="share of the core that the throttle asks for")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--bundle", default="imagenet")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sibling", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sibling is not None:
        sibling(arguments.core, arguments.after, arguments.takes, arguments.sibling)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAGSDK_CACHE_DIR"] = folder
        report = run(arguments, Path(folder))
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    print(f"right with sustained load   {report['hot_right']} of {arguments.trials} (target: 9 of 10)")
    print(f"wrong without it            {report['cold_wrong']} of {arguments.trials} (target: 5 of 10 or more)")
    print(f"slower under load           {report['slowdown']:.2f} x in the median; load {report['load_s']:.0f} s")


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    device = Device("cpu", "This processor, one core", "onnxruntime", options=(("cores", str(arguments.core)),))
    target = Target(device, arguments.bundle)
    target.protocol = replace(target.protocol, patience_s=target.protocol.spread_s)
    command = [sys.executable, __file__, "--sibling", str(folder / "told"), "--core", str(arguments.core)]
    command += ["--after", str(arguments.after), "--takes", str(arguments.takes)]
    rng = np.random.default_rng(0)
    rows = []
    throttle = subprocess.Popen(command, start_new_session=True)
    try:
        for number in range(arguments.trials):
            rows.append(trial(target, arguments.seconds, number, rng, folder))
            print(
                "{network:60} cold {cold:6.2f} hot {hot:6.2f} truth {truth:6.2f} limit {limit:6.2f} ms  "
                "cold verdict {cold_is} hot verdict {hot_is}".format(**rows[-1]),
                file=sys.stderr,
            )
    finally:
        throttle.kill()
        throttle.wait()
    return {
        "trials": rows,
        "hot_right": sum(row["hot_is"] == "right" for row in rows),
        "cold_wrong": sum(row["cold_is"] == "wrong" for row in rows),
        "slowdown": float(np.median([row["truth"] / row["cold"] for row in rows])),
        "load_s": float(np.median([row["load_s"] for row in rows])),
    }


def trial(target: Target, seconds: float, number: int, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    (architecture,) = target.bundle.space.decode(target.bundle.space.sample(1, rng))
    files = {architecture.text: timing_artifact(target, architecture, folder)}
    truth = time_under_load(target, files, [Budget("latency", 1.0, sustained_s=2 * seconds)])
    true_ms = truth.found[architecture.text].latency()
    cold = [time_artifacts(target, files, folder)[architecture.text] for _ in range(2)]
    cold_ms = max(m.latency(disturbed=True) for m in cold)
    # Even trials between both latencies, odd ones above both; never so near that chance decides.
    share = rng.uniform(0.3, 0.7)
    limit = cold_ms ** (1 - share) * true_ms**share if number % 2 == 0 else true_ms * rng.uniform(1.15, 1.4)
    under_load = time_under_load(target, files, [Budget("latency", limit, sustained_s=seconds)])
    hot = under_load.found[architecture.text]
    holds = true_ms <= limit
    cold_holds = all(upper_limit(m, 50) <= limit for m in cold)
    return {
        "network": architecture.text,
        "cold": cold_ms,
        "hot": hot.latency(),
        "truth": true_ms,
        "limit": limit,
        "cold_is": "right" if cold_holds == holds else "wrong",
        "hot_is": "right" if (upper_limit(hot, 50) <= limit) == holds else "wrong",
        "load_s": under_load.load.moments[-1].seconds,
    }


if __name__ == "__main__":
    main()
