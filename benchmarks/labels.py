"""Compares recipes that choose the subnets to measure, at equal numbers: how well predict those fitted to them?

    python benchmarks/labels.py [--recipes frontier linas] [--counts 60,150] [--seeds 2] [--json FILE]

On `glyphs`, subnets are chosen and measured as `nagsdk predictor fit --recipe` does, on one half of the bundle's test
images. Two sets judge the predictors, measured on the same images: subnets near the front of top-1 over MACs, found by
the predictor that the bundle ships, and random ones. Printed are RMSE and Kendall's tau on both sets, and the measured
top-1 of what each predictor picks for ten budgets of MACs. The defaults take some fifteen minutes on an idle core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nagsdk.bundle.bundle import load_bundle
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import exact_table
from nagsdk.families.torch_scope import threads
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import MeasuredSubnets
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes
from nagsdk.supernet.evaluate import measure
from nagsdk.training.labelling import labelling
from nagsdk.training.source import Source
from nagsdk.training.subnets import measure_subnets, near_frontier, recipe_for

Floats = NDArray[np.float64]
RECALIBRATION, JUDGED, PICKS, POOL = 512, 60, 10, 3000


class Measured:
    """Measured top-1 of the bundle's subnets, each measured once."""

    def __init__(self) -> None:
        self.bundle = load_bundle("glyphs")
        self.source, self.known = Source(self.bundle, None), dict[str, float]()

    def __call__(self, architectures: Sequence[Architecture]) -> Floats:
        """Top-1 in per cent."""
        new = [a for a in dict.fromkeys(architectures) if a.text not in self.known]
        found = measure(
            self.bundle.supernet,
            new,
            lambda r: self.source.recalibration(r)[:RECALIBRATION],
            lambda r: list(self.source.shown("test")(r))[::2],
        )
        self.known.update(zip((a.text for a in new), found.tolist(), strict=True))
        return np.array([self.known[a.text] for a in architectures])


def judged(top1: Measured, recipe: str, count: int, seed: int, sets: dict[str, Codes]) -> dict[str, Any]:
    """Errors of the predictor that is fitted to what a recipe chooses."""
    space = top1.bundle.space
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "measured.csv"
        codes, labels = measure_subnets(space, top1, count, table, seed, strategy=labelling(recipe))
    fitter = Fitter(space, MeasuredSubnets.of(space, codes, labels, None, seed), recipe_for(count), seed)
    fit = fitter.fit(np.ones(count, dtype=bool))
    row: dict[str, Any] = {"recipe": recipe, "count": count, "seed": seed, "labels_mean": float(labels.mean())}
    for name, of in sets.items():
        truth, predicted = top1(space.decode(of)), fit.predict(space, of)
        row[f"{name}_rmse"] = float(np.sqrt(np.mean((predicted - truth) ** 2)))
        row[f"{name}_tau"] = float(kendalltau(predicted, truth)[0])
    macs = exact_table(space, lambda layer: float(layer.macs))
    ends, pool = (
        Completions.of(space, macs),
        near_frontier(space, lambda c: fit.predict(space, c), codes[:0], POOL, seed),
    )
    cost, worth = macs.cost(pool), fit.predict(space, pool)
    limits = ends.least + np.linspace(0.05, 0.7, PICKS) * (ends.most - ends.least)
    picked = pool[[int(np.argmax(np.where(cost <= limit, worth, -np.inf))) for limit in limits]]
    row["picks"] = float(top1(space.decode(picked)).mean())
    return row


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["frontier", "linas"], help="default: %(default)s")
    parser.add_argument("--counts", default="60,150", help="numbers of measured subnets (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="file for the figures of all seeds")
    options = parser.parse_args()
    rows = []
    with threads(1):
        top1 = Measured()
        space, predictor = top1.bundle.space, top1.bundle.predictor
        none = space.sample(0, np.random.default_rng(0))
        sets = {
            "front": near_frontier(space, lambda c: predictor.predict(c).mean, none, JUDGED, 1000),
            "random": space.sample(JUDGED, np.random.default_rng(1000)),
        }
        for seed in range(options.seeds):
            for count in map(int, options.counts.split(",")):
                for recipe in options.recipes:
                    rows.append(judged(top1, recipe, count, seed, sets))
                    print(rows[-1], file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    keys = ("front_rmse", "front_tau", "random_rmse", "random_tau", "picks")
    print(f"glyphs, {options.seeds} seeds: means ± half of the range")
    print(f"{'subnets':>8}  {'recipe':10}" + "".join(f"{key:>18}" for key in keys))
    for count in dict.fromkeys(row["count"] for row in rows):
        for recipe in options.recipes:
            own = [row for row in rows if (row["count"], row["recipe"]) == (count, recipe)]
            cells = [np.array([row[key] for row in own]) for key in keys]
            shown = "".join(f"{f'{c.mean():.3f} ± {np.ptp(c) / 2:.3f}':>18}" for c in cells)
            print(f"{count:8}  {recipe:10}{shown}", flush=True)


if __name__ == "__main__":
    main()
