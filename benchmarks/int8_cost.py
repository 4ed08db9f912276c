"""How well a calibration in integers predicts fresh networks on this machine's processor.

    python benchmarks/int8_cost.py [--devices litert,cpu,openvino] [--bundles glyphs,imagenet] [--samples 20]
                                   [--fresh 40] [--precision int8] [--again 0]

Calibrates with SAMPLES architectures (9 or more), then times FRESH random ones in four other sessions, with ranges that
are made up, as for all timing. What a session is slower or faster than the calibration is common to all its networks,
so a bound covers most or few of one session; the shifts are printed beside the coverage. A cost model describes the
device at its quiet speed; latencies of a session that was never quiet, of which `nagsdk profile` warns, are too long as
timed. So the figures are printed as timed, of the networks with enough quiet readings alone, and with each reading
divided by the slow-down of the reference around it, as a calibration does (docs/decisions/0009). With --again N,
networks without enough quiet readings are timed again in up to N further sessions, as the warning of `nagsdk profile`
says; the last timing counts. The rival, MACs times one factor, uses the same readings. Nothing is kept. Needs a quiet
machine: a minute for each device with glyphs, some ten with imagenet; longer where the machine is not quiet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

import nagsdk
from nagsdk.bundle.bundle import load_bundle
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts, timing_artifact
from nagsdk.space.architecture import Architecture

# At most this mean absolute error on glyphs, and at least this share within 10 % at 224 pixels.
TARGETS = {"glyphs": "MAPE <= 3 %", "imagenet": "within 10 % >= 95 %"}
SESSIONS = 4
RIVAL = "MACs x one factor"


def errors(predicted: np.ndarray, measured: np.ndarray) -> str:
    """MAPE and the share within 10 %, as text."""
    off = np.abs(predicted / measured - 1)
    return f"MAPE {off.mean():.1%}, within 10 % {np.mean(off <= 0.1):.0%}"


def timed(target: Target, architectures: list[Architecture], again: int) -> list[list[Measurement]]:
    """Measures architectures in SESSIONS sessions, in their order, and those of a busy time in further sessions."""
    each = -(-len(architectures) // SESSIONS)
    with tempfile.TemporaryDirectory() as folder:
        files = {one.text: timing_artifact(target, one, Path(folder)) for one in architectures}
        parts = [list(files)[start : start + each] for start in range(0, len(files), each)]
        found = [time_artifacts(target, {name: files[name] for name in part}, Path(folder)) for part in parts]
        for _ in range(again):
            for taken in found:
                if busy := {name: files[name] for name, one in taken.items() if not one.enough_quiet}:
                    taken.update(time_artifacts(target, busy, Path(folder)))
    return [[taken[name] for name in part] for part, taken in zip(parts, found, strict=True)]


def run(device: str, bundle: str, samples: int, fresh: int, precision: str, again: int) -> None:
    """Prints the figures of one device and bundle."""
    target = nagsdk.Target(device, bundle, precision=precision)
    if not target.presence.available:
        print(f"{device}, {bundle}: not available: {target.presence.reason}")
        return
    summary = nagsdk.calibrate(target, samples=samples)
    space = target.bundle.space
    known = set(space.decode(summary.calibration.codes))
    drawn = space.decode(space.sample(fresh + len(known), np.random.default_rng(1)))
    chosen = [architecture for architecture in drawn if architecture not in known][:fresh]
    sessions = timed(target, chosen, again)
    results = nagsdk.predict(target, chosen)
    predicted = np.array([result.predicted.latency_ms for result in results], np.float64)
    upper = np.array([result.predicted.latency_upper_ms for result in results], np.float64)
    measured = np.array([one.figure(50.0) for part in sessions for one in part])
    at_quiet_speed = np.array([one.normalised_ms() for part in sessions for one in part])
    quiet = np.array([one.enough_quiet for part in sessions for one in part])
    own = summary.calibration.model.calibrated
    factor = float(np.median(own.p50_ms / [space.macs(a) for a in space.decode(own.codes)]))
    scaled = factor * np.array([space.macs(a) for a in chosen], np.float64)
    print(f"{device}, {bundle}, {precision}, {len(known)} samples, {len(chosen)} fresh networks:")
    print(f"  as timed: {errors(predicted, measured)}   wanted, quiet: {TARGETS.get(bundle, '-')}")
    kinds = {"at the quiet speed": (at_quiet_speed, np.ones_like(quiet)), "quiet readings alone": (measured, quiet)}
    for title, (times, of) in kinds.items():
        if not of.any():
            print(f"  {title}: none")
            continue
        covered = f"bound at 0.9 covers {np.mean(times[of] <= upper[of]):.0%}"
        excess = f"median excess {np.median(upper[of] / times[of] - 1):.1%}"
        print(f"  {title}, {of.sum()} networks: {errors(predicted[of], times[of])}; {covered}, {excess}")
        print(f"    {RIVAL}: {errors(scaled[of], times[of])}")
    slowed = ", ".join(f"{np.median([one.typical_slowdown for one in part]):.2f}" for part in sessions)
    print(f"  the reference took so many times its quiet level in each session: {slowed}")
    ratios = np.split(measured / predicted, np.cumsum([len(part) for part in sessions])[:-1])
    print(f"  sessions beside the calibration, as timed: {', '.join(f'{np.median(r) - 1:+.1%}' for r in ratios)}")
    within = np.concatenate([ratio / np.median(ratio) for ratio in ratios])
    print(f"  without these shifts: mean absolute error {np.abs(within - 1).mean():.1%}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="litert,cpu,openvino")
    parser.add_argument("--bundles", default="glyphs,imagenet")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--fresh", type=int, default=40)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--again", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NAGSDK_CACHE_DIR"] = cache
        for bundle in options.bundles.split(","):
            load_bundle(bundle)  # a wrong name ends the script before anything is timed
        for bundle in options.bundles.split(","):
            for device in options.devices.split(","):
                run(device, bundle, options.samples, options.fresh, options.precision, options.again)


if __name__ == "__main__":
    main()
