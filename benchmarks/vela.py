"""Compiles networks for Arm's Ethos-U with Vela, and compares its report with what was predicted without compiling.

    python benchmarks/vela.py [--networks 20] [--answers 10] [--together 5] [--accelerator ethos-u55-128]

Networks are random subnets of glyphs and of the space mobilenetv3-minimal, with random weights. Then the generator
answers budgets on cycles, evenly spread over the range of glyphs; nothing is compiled before its answer is given. At
last, networks are deployed under three budgets together, on cycles, SRAM and flash, each a little more than what a
random subnet is estimated to need. Needs the extra `vela`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import nagsdk
from nagsdk.device.backend import Session
from nagsdk.families import preset
from nagsdk.families.space import NetworkSpace
from nagsdk.graph.trace import trace
from nagsdk.pipeline.target import Target
from nagsdk.space.architecture import Architecture

# Of what a random subnet needs; so tight that all three budgets matter.
_MORE = 1.05
_SHOWN = (("cycles", "npu_cycles"), ("sram", "sram_bytes"), ("flash", "flash_bytes"))


def report(target: Target, session: Session, space: NetworkSpace, architecture: Architecture) -> dict[str, float]:
    """Vela's report on a network with random weights, and the seconds that compiling took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        target.backend.export(trace(space.build(architecture).eval(), architecture.resolution), path, target.device)
        start = time.perf_counter()
        compiled = target.backend.compile(path, target.device, Path(folder))
        seconds = time.perf_counter() - start
        return {**session.time(session.load(compiled), 0, 1, 60.0).properties, "seconds": seconds}


def compare(target: Target, session: Session, name: str, space: NetworkSpace, count: int) -> None:
    """Prints how far estimates from single layers are from Vela's report on whole networks."""
    reports, shares = [], []
    metrics = {metric: target.host.metrics.get(metric) for metric, _ in _SHOWN}
    for architecture in space.decode(space.sample(count, np.random.default_rng(1))):
        reports.append(report(target, session, space, architecture))
        layers = space.layers(architecture)
        for metric, property_ in _SHOWN:
            values = [metrics[metric].of_layer(layer, target.device) for layer in layers]
            estimate = max(values) if metrics[metric].aggregation == "maximum" else sum(values)
            shares.append((metric, reports[-1][property_] / estimate))
    print(f"{name}: {len(reports)} of {count} networks compiled, {np.mean([r['seconds'] for r in reports]):.2f} s each")
    for metric, _ in _SHOWN:
        of = [share for which, share in shares if which == metric]
        print(f"  {metric}: report / estimate {np.mean(of):.3f} on average, {min(of):.3f} to {max(of):.3f}")


def answers(target: Target, session: Session, count: int) -> None:
    """Prints how many of the generator's answers hold their budget on cycles by Vela's report."""
    space = target.bundle.space
    table = target.costs.table("cycles", None)
    costs = table.cost(space.sample(2000, np.random.default_rng(0)))
    least, most = np.quantile(costs, [0.02, 0.9])
    budgets = np.linspace(least, most, count)
    held = []
    for budget in budgets:
        (found,) = nagsdk.generate(target, f"{budget:.0f}cycles")
        cycles = report(target, session, space, space.parse(found.architecture))["npu_cycles"]
        held.append(cycles <= budget)
        print(f"  {budget:9.0f} cycles: {cycles:9.0f} by the report, top-1 {found.predicted.top1:.1f} %")
    print(f"answers that hold by Vela's report: {sum(held)} of {count}")


def together(target: Target, count: int) -> None:
    """Prints how many deployments hold three budgets at once."""
    space, held = target.bundle.space, 0
    metrics = {name: target.costs.metric(name) for name, _ in _SHOWN}
    for architecture in space.decode(space.sample(count, np.random.default_rng(2))):
        needs = {name: _MORE * metric.value(architecture) for name, metric in metrics.items()}
        asked = [f"{needs['cycles']:.0f}cycles", *(f"{needs[name] / 1024:.1f}KiB@{name}" for name in ("sram", "flash"))]
        with tempfile.TemporaryDirectory() as folder:
            found = nagsdk.deploy(target, asked, output=Path(folder) / "out", timing_only=True)
        shares = {name: found.result.metrics[name] / needs[name] for name in needs}
        held += found.verdict == "held"
        used = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
        print(f"  {' and '.join(asked)}: {found.verdict} in {len(found.details['rounds'])} rounds, {used}", flush=True)
    print(f"deployments that hold three budgets: {held} of {count}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--answers", type=int, default=10)
    parser.add_argument("--together", type=int, default=5)
    parser.add_argument("--accelerator", default="ethos-u55-128")
    arguments = parser.parse_args()
    target = Target(arguments.accelerator)
    with target.backend.open(target.device) as session:
        compare(target, session, "glyphs", target.bundle.space, arguments.networks)
        minimal = preset("mobilenetv3-minimal")
        compare(target, session, "mobilenetv3-minimal", minimal, max(1, arguments.networks // 4))
        answers(target, session, arguments.answers)
    together(target, arguments.together)


if __name__ == "__main__":
    main()
