"""The generator against lookup and random search: regret, limits broken, time.

    python benchmarks/generator.py [--bundle imagenet] [--device cpu] [--seed 0] [--json]

One generator is distilled for each cost (MACs, and latency where the device is calibrated or has a prior)
and serves free and pinned resolution. Regret is what the best of 16 or 64 samples lacks to `lookup`, the
binary search on the exact frontier that the policy was distilled from: in the additive score, in points of
top-1 under its link, and in top-1 predicted by the bundle's predictor, which ranks the samples (negative:
the samples hold something that the predictor likes better). Random search gets as many predictions for each
budget; where none of its draws holds the limit it gets the cheapest architecture. Times are of this process
on one thread, the best of several runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from nagsdk.budget import LATENCY
from nagsdk.bundle import Bundle, load_bundle
from nagsdk.cost.table import AdditiveTable, Floats, exact_table
from nagsdk.errors import NagsdkError
from nagsdk.generator.choose import choose
from nagsdk.generator.decode import Completions
from nagsdk.generator.frontier import frontier
from nagsdk.generator.nag import Generator
from nagsdk.generator.train import regret
from nagsdk.space.base import Codes
from nagsdk.workbench import Workbench

BUDGETS, PINNED = 101, 224


def best_time(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def random_search(bundle: Bundle, table: AdditiveTable, limits: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, float]:
    """Best predicted top-1 of `count` draws for each limit, and the share of limits that no draw held."""
    space, bounds = bundle.space, Completions.of(bundle.space, table)
    open_resolutions = np.flatnonzero(np.isfinite(bounds.floor))
    codes = space.sample(len(limits) * count, rng)
    codes[:, 0] = rng.choice(open_resolutions, len(codes))
    fits = (table.cost(codes) <= np.repeat(limits, count)).reshape(-1, count)
    top1 = np.where(fits, bundle.predictor.predict(codes).mean.reshape(-1, count), -np.inf).max(1)
    cheapest = bundle.predictor.predict(bounds.cheapest[[bounds.floor.argmin()]]).mean[0]
    return np.where(fits.any(1), top1, cheapest), float(1 - fits.any(1).mean())


def first(codes: Codes, order: np.ndarray[Any, np.dtype[np.intp]]) -> Codes:
    """The candidate that stands first, for each budget."""
    return codes[np.arange(len(codes)), order[:, 0]]


def case(name: str, bundle: Bundle, table: AdditiveTable, generator: Generator, distil_s: float, seed: int) -> dict[str, Any]:
    """Everything measured for one cost table."""
    space, predictor = bundle.space, bundle.predictor
    rng = np.random.default_rng(seed)
    best = frontier(space, table, predictor.additive)
    limits = np.linspace(best.cost[0], best.cost[-1], BUDGETS)
    known = predictor.predict(best.codes[best.lookup(limits)]).mean
    row: dict[str, Any] = {
        "case": name,
        "frontier_points": len(best),
        "frontier_s": best_time(lambda: frontier(space, table, predictor.additive), 3),
        "distil_s": distil_s,
        "lookup_top1_mean": float(known.mean()),
    }
    for count in (16, 64):
        own = regret(space, table, predictor.additive, best, generator.policy, count, BUDGETS)
        codes = generator.propose(table, limits, count, seed)
        gap = known - predictor.predict(first(codes, choose(predictor, codes))).mean
        luck, without = random_search(bundle, table, limits, count, rng)
        row[f"best_of_{count}"] = {
            "regret_score_mean": own.score_mean,
            "regret_score_max": own.score_max,
            "regret_link_top1_mean": own.top1_mean,
            "regret_link_top1_max": own.top1_max,
            "regret_predicted_top1_mean": float(gap.mean()),
            "regret_predicted_top1_max": float(gap.max()),
            "random_regret_predicted_top1_mean": float((known - luck).mean()),
            "random_regret_predicted_top1_max": float((known - luck).max()),
            "random_without_feasible": without,
        }
    drawn = rng.uniform(best.cost[0], best.cost[-1], 10_000)
    samples = generator.propose(table, drawn, 2, seed)
    row["broken_limits"] = int((table.cost(samples.reshape(-1, samples.shape[2])).reshape(-1, 2) > drawn[:, None]).sum())
    row["samples"] = 2 * len(drawn)

    def work(these: Floats) -> Codes:
        codes = generator.propose(table, these, 16, seed)
        return first(codes, choose(predictor, codes))

    thousand = np.linspace(best.cost[0], best.cost[-1], 1000)
    row["one_budget_ms"] = 1e3 * best_time(lambda: work(limits[50:51]), 20)
    row["thousand_budgets_s"] = best_time(lambda: work(thousand), 3)
    row["thousand_budgets_decoding_s"] = best_time(lambda: generator.propose(table, thousand, 16, seed), 3)
    row["lookup_thousand_budgets_s"] = best_time(lambda: best.codes[best.lookup(thousand)], 3)
    return row


def costs(bundle: Bundle, device: str) -> dict[str, AdditiveTable]:
    """The tables to generate for: MACs, and latency where something is known of the device's."""
    tables = {"MACs": exact_table(bundle.space, lambda layer: float(layer.macs))}
    try:
        bench = Workbench(device, bundle)
        tables[f"latency on {device}"] = bench.table(LATENCY, bench.require_cost_model())
    except NagsdkError as error:
        print(f"no latency: {error.message}", file=sys.stderr)
    return tables


def show(row: dict[str, Any]) -> None:
    """Prints one case."""
    print(f"\n{row['case']}")
    print(f"  exact frontier        {row['frontier_points']} points in {row['frontier_s']:.2f} s")
    print(f"  distilled in          {row['distil_s']:.1f} s")
    print(f"  limits broken         {row['broken_limits']} of {row['samples']} samples")
    print(f"  one budget            {row['one_budget_ms']:.1f} ms (16 candidates, ranked by the predictor)")
    print(
        f"  1,000 budgets         {row['thousand_budgets_s']:.2f} s (decoding {row['thousand_budgets_decoding_s']:.2f} s, lookup {row['lookup_thousand_budgets_s']:.5f} s)"
    )
    print(f"  lookup                {row['lookup_top1_mean']:.3f} % predicted top-1, mean of {BUDGETS} budgets")
    print("  gap to lookup, mean / max            score            top-1 by link    top-1 predicted   random, predicted")
    for count in (16, 64):
        r = row[f"best_of_{count}"]
        columns = (r["regret_score_mean"], r["regret_score_max"], r["regret_link_top1_mean"], r["regret_link_top1_max"])
        predicted = (r["regret_predicted_top1_mean"], r["regret_predicted_top1_max"])
        luck = (r["random_regret_predicted_top1_mean"], r["random_regret_predicted_top1_max"])
        pairs = zip((*columns, *predicted, *luck)[::2], (*columns, *predicted, *luck)[1::2], strict=True)
        print(f"    best of {count:<3}                     " + "  ".join(f"{mean:7.4f} / {most:6.4f}" for mean, most in pairs))
        print(f"      random search without a feasible draw: {100 * r['random_without_feasible']:.0f} % of budgets")


def main() -> None:
    """Runs all cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="imagenet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    rows = []
    for name, table in costs(bundle, options.device).items():
        start = time.perf_counter()
        generator = Generator.distilled(bundle.space, bundle.predictor, table, seed=options.seed)
        spent = time.perf_counter() - start
        rows.append(case(f"{name}, any resolution", bundle, table, generator, spent, options.seed))
        pin = PINNED if PINNED in bundle.space.resolutions else max(bundle.space.resolutions)
        pinned = table.masked(resolution=bundle.space.resolution_index(pin))
        rows.append(case(f"{name}, {pin} px (the same generator)", bundle, pinned, generator, spent, options.seed))
    if options.json:
        print(json.dumps({"bundle": bundle.name, "seed": options.seed, "cases": rows}, indent=2))
    else:
        for row in rows:
            show(row)


if __name__ == "__main__":
    main()
