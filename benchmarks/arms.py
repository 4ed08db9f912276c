"""Deploys with `--precision any` beside every single precision: is it as good as the best, and is its choice right?

    python benchmarks/arms.py [--devices cpu litert openvino] [--budgets 4] [--rounds 25]

Two counts are printed. An answer of `any` is as good if its measured top-1 is not below that of the best single
precision by more than the 95 % interval of that one. A choice is right by a measurement of its own: for each precision,
the fastest network of equal predicted top-1 (with the loss of the precision) is timed, in turns round by round; no
other precision may be faster by more than 5 %, by which sessions differ.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import nagsdk
from nagsdk.budget import DEFAULT_CONFIDENCE
from nagsdk.cost.bounds import Completions
from nagsdk.cost.model import CostModel
from nagsdk.device.host import processor
from nagsdk.errors import InfeasibleError
from nagsdk.manifest.result import Result
from nagsdk.pipeline.calibrate import models_for
from nagsdk.pipeline.deployment import Deployment
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import timing_artifact

TIE = 0.95


def limits(target: Target, models: Sequence[CostModel | None], count: int) -> list[str]:
    """Budgets inside the range of every arm: the middles of equal parts of it, on a logarithmic scale.

    The range of an arm reaches from the bound on the latency of its fastest network to that of its slowest one.
    """
    ranges = []
    for arm, model in zip(target.arms, models, strict=True):
        if model is not None:
            bounds = Completions.of(arm.bundle.space, arm.costs.table("latency", model))
            bound = bounds.least / model.limit_for_mean(bounds.least, DEFAULT_CONFIDENCE)
            ranges.append((bounds.least * bound, bounds.most * bound))
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return [f"{low * (high / low) ** ((part + 0.5) / count):.3g}ms" for part in range(count)]


def single(target: Target, budget: str, folder: Path) -> Deployment | None:
    """The deployment of one precision; None if it cannot hold the budget."""
    try:
        found = nagsdk.deploy(target, budget, output=folder)
    except InfeasibleError:
        return None
    return found if found.verdict == "held" else None


def top1_of(result: Result) -> float:
    """The measured top-1; 0 where nothing was left to measure."""
    return result.measured.top1 or 0.0


def ratios(target: Target, top1: float, rounds: int, folder: Path) -> dict[str, float]:
    """Latency of the fastest network of a predicted top-1 in each precision, as a multiple of that of the first one."""
    files, sessions = {}, {}
    with ExitStack() as stack:
        for arm in target.arms:
            try:
                (found,) = nagsdk.generate(Target(target.device.id, precision=arm.device.precision), min_top1=top1)
            except InfeasibleError:
                continue  # it has no such network
            name = arm.device.precision
            architecture = target.bundle.space.parse(found.architecture)
            sessions[name] = stack.enter_context(arm.backend.open(arm.device))
            files[name] = sessions[name].load(timing_artifact(arm, architecture, folder / name))
        taken: dict[str, list[float]] = {name: [] for name in files}
        for number in range(rounds):
            for name in list(files) if number % 2 else list(files)[::-1]:
                taken[name].append(float(np.median(sessions[name].time(files[name], 2, 5, 60.0).wall_ms)))
    first = np.array(next(iter(taken.values())))
    return {name: float(np.median(np.array(times) / first)) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=["cpu", "litert", "openvino"])
    parser.add_argument("--budgets", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parser.parse_args()
    print(processor())
    good = right = count = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ["NAGSDK_CACHE_DIR"] = name
        for device in arguments.devices:
            target = Target(device, precision="any")
            for budget in limits(target, models_for(target, [], True, 0), arguments.budgets):
                work = Path(name) / "out" / device / budget
                alone = {
                    arm.device.precision: found
                    for arm in target.arms
                    if (found := single(Target(device, precision=arm.device.precision), budget, work / arm.arm))
                }
                answer = nagsdk.deploy(target, budget, output=work / "any")
                count += 1
                print(f"{device}, {budget}: any took {answer.result.precision} ({answer.verdict})")
                for precision, found in alone.items():
                    m = found.result.measured
                    print(f"  {precision:13} p50 {m.latency_p50_ms:.4g} ms, top-1 {m.top1:.2f} % ({m.top1_low:.2f})")
                best = max((found.result for found in alone.values()), key=top1_of, default=None)
                least = 0.0 if best is None else best.measured.top1_low or 0.0
                as_good = best is None or (answer.verdict == "held" and top1_of(answer.result) >= least)
                good += as_good
                verdict = "as good" if as_good else "NOT as good"
                m = answer.result.measured
                print(f"  any           p50 {m.latency_p50_ms:.4g} ms, top-1 {top1_of(answer.result):.2f} %: {verdict}")
                for row in answer.result.arms:
                    print(f"    {row.name}, {row.state}: {row.why}")
                times = ratios(target, (answer.result.predicted.top1 or 0.0) - 1e-6, arguments.rounds, work / "timing")
                is_right = all(other >= TIE * times[str(answer.result.precision)] for other in times.values())
                right += is_right
                shown = ", ".join(f"{precision} {ratio:.3f}" for precision, ratio in times.items())
                print(f"  time for equal predicted top-1: {shown}: {'right' if is_right else 'WRONG'}", flush=True)
    print(f"as good as the best single precision: {good} of {count} (all wanted)")
    print(f"the precision that is faster at equal predicted top-1: {right} of {count} (at least 11 of 12 wanted)")


if __name__ == "__main__":
    main()
