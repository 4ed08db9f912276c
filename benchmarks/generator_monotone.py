"""Counts answers that get worse although the budget grows: 200 budgets on each of 20 random devices.

    python benchmarks/generator_monotone.py [--bundle imagenet] [--devices 20] [--budgets 200] [--with-macs]

The devices are those of benchmarks/generator.py; the generator has seen none of them in training. Each budget is asked
twice: as the strategy `nag` answers it, and by the best of 64 candidates sampled for this budget alone. All resolutions
are open. With --with-macs every answer must also hold a limit on MACs, another one for each device and the same for all
its budgets. The time is that of the processor for one budget, asked alone, and for all budgets of a device at once; the
two ways take turns, and the ratio is the median over devices.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats, exact_table
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import CANDIDATES, Nag
from nagsdk.generator.training_data import Devices
from nagsdk.pipeline.models import generator_of, question
from nagsdk.pipeline.target import Target
from nagsdk.space.space import Codes

# As in benchmarks/generator.py: training uses other seeds.
FIRST_DEVICE = 7 * 10**8
# Rounding errors of a prediction do not count.
ROUNDING = 1e-9


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="imagenet")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--budgets", type=int, default=200)
    parser.add_argument("--with-macs", action="store_true", help="with a second limit")
    options = parser.parse_args()
    target = Target("cpu", options.bundle)
    space, predictor, generator = target.bundle.space, target.bundle.predictor, generator_of(target)

    def nag(tables: list[AdditiveTable], limits: Floats) -> Codes:
        return Nag().propose(question(target, tables, limits, 0))

    def own(tables: list[AdditiveTable], limits: Floats) -> Codes:
        return generator.propose(tables, limits, CANDIDATES)

    def answers(
        ask: Callable[[list[AdditiveTable], Floats], Codes], tables: list[AdditiveTable], limits: Floats
    ) -> Floats:
        codes = ask(tables, limits)
        best = codes[np.arange(len(codes)), choose(predictor, codes)[:, 0]]
        assert all((table.cost(best) <= limit).all() for table, limit in zip(tables, limits.T, strict=True))
        return np.asarray(predictor.predict(best).mean, np.float64)

    methods = {"nag": nag, "64 candidates of each budget": own}
    top1: dict[str, list[Floats]] = {name: [] for name in methods}
    seconds = {name: np.zeros((options.devices, 2)) for name in methods}
    for device in range(options.devices):
        table = Devices(space).latency(np.random.default_rng(FIRST_DEVICE + device))
        bounds = Completions.of(space, table)
        tables, limits = [table], np.linspace(bounds.least, bounds.most, options.budgets)[:, None]
        if options.with_macs:
            macs = exact_table(space, lambda layer: layer.macs)
            # At least what the architecture of least latency takes, so that every budget has an answer.
            least = float(macs.cost(bounds.cheapest[bounds.floor.argmin()][None])[0])
            share = (device + 0.5) / options.devices
            limit = least + share * (Completions.of(space, macs).most - least)
            tables, limits = [table, macs], np.column_stack([limits, np.full(options.budgets, limit)])
        for name, ask in methods.items():
            start = time.process_time()
            top1[name].append(answers(ask, tables, limits))
            middle = time.process_time()
            answers(ask, tables, limits[options.budgets // 2 :][:1])
            seconds[name][device] = middle - start, time.process_time() - middle
    for name, found in top1.items():
        steps = np.diff(np.array(found), axis=1)
        many, one = seconds[name].mean(0)
        drops, largest = int((steps < -ROUNDING).sum()), max(0.0, -float(steps.min()))
        print(
            f"{name}: {drops} drops in {steps.size} steps (largest {largest:.3f} points), "
            f"mean predicted top-1 {np.mean(found):.4f}; "
            f"{1e3 * one:.0f} ms for one budget, {many:.2f} s for {options.budgets}"
        )
    ratio = np.median(seconds["nag"] / seconds["64 candidates of each budget"], axis=0)
    print(
        f"time, nag / 64 candidates of each budget: {ratio[1]:.2f} for one budget, {ratio[0]:.2f} for {options.budgets}"
    )
    gain = np.mean(np.array(top1["nag"]) - np.array(top1["64 candidates of each budget"]), axis=1)
    print(f"nag minus 64 candidates of each budget: mean {gain.mean():+.4f}, worst device {gain.min():+.4f}")


if __name__ == "__main__":
    main()
