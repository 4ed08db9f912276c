"""How well a calibration in integers predicts fresh networks on this machine's processor.

    python benchmarks/int8_cost.py [--devices litert,cpu,openvino] [--bundles glyphs,imagenet] [--samples 20]
                                   [--fresh 40] [--precision int8]

Calibrates with SAMPLES architectures (9 or more), then times FRESH random ones in four other sessions, with ranges that
are made up, as for all timing. What a session is slower or faster than the calibration is common to all its networks,
so a bound covers most or few of one session; the shifts are printed beside the coverage. The rival, MACs times one
factor, uses the same readings. Nothing is kept. Needs a quiet machine: a minute for each device with glyphs, some ten
with imagenet.
"""

from __future__ import annotations

import argparse
import os
import tempfile

import numpy as np

import nagsdk
from nagsdk.bundle.bundle import load_bundle

# At most this mean absolute error on glyphs, and at least this share within 10 % at 224 pixels.
TARGETS = {"glyphs": "MAPE <= 3 %", "imagenet": "within 10 % >= 95 %"}
SESSIONS = 4
RIVAL = "MACs x one factor"


def errors(predicted: np.ndarray, measured: np.ndarray) -> str:
    """MAPE and the share within 10 %, as text."""
    off = np.abs(predicted / measured - 1)
    return f"MAPE {off.mean():.1%}, within 10 % {np.mean(off <= 0.1):.0%}"


def run(device: str, bundle: str, samples: int, fresh: int, precision: str) -> None:
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
    each = -(-fresh // SESSIONS)
    parts = [nagsdk.profile(target, chosen[start : start + each]) for start in range(0, len(chosen), each)]
    results = [result for part in parts for result in part]
    measured = np.array([result.measured.latency_p50_ms for result in results], np.float64)
    predicted = np.array([result.predicted.latency_ms for result in results], np.float64)
    macs = np.array([space.macs(a) for a in chosen], np.float64)
    own = summary.calibration.model.calibrated
    factor = float(np.median(own.p50_ms / [space.macs(a) for a in space.decode(own.codes)]))
    print(f"{device}, {bundle}, {precision}, {len(known)} samples, {len(chosen)} fresh networks:")
    print(f"  calibrated: {errors(predicted, measured)}   wanted: {TARGETS.get(bundle, '-')}")
    upper = np.array([result.predicted.latency_upper_ms for result in results], np.float64)
    print(
        f"  bound at 0.9 covers {np.mean(measured <= upper):.0%}, median excess {np.median(upper / measured - 1):.1%}"
    )
    ratios = np.split(measured / predicted, range(each, len(chosen), each))
    print(f"  sessions beside the calibration: {', '.join(f'{np.median(ratio) - 1:+.1%}' for ratio in ratios)}")
    within = np.concatenate([ratio / np.median(ratio) for ratio in ratios])
    print(f"  without these shifts: mean absolute error {np.abs(within - 1).mean():.1%}")
    print(f"  {RIVAL}: {errors(factor * macs, measured)}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="litert,cpu,openvino")
    parser.add_argument("--bundles", default="glyphs,imagenet")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--fresh", type=int, default=40)
    parser.add_argument("--precision", default="int8")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NAGSDK_CACHE_DIR"] = cache
        for bundle in options.bundles.split(","):
            load_bundle(bundle)  # a wrong name ends the script before anything is timed
        for bundle in options.bundles.split(","):
            for device in options.devices.split(","):
                run(device, bundle, options.samples, options.fresh, options.precision)


if __name__ == "__main__":
    main()
