"""Few-shot calibration on public tables of 66 pairs of device and space: nagsdk's cost model and its rivals.

    python benchmarks/calibration.py --data DIR [--tables fbnet,nb201,ofa] [--seeds 10] [--vendors | --foreign]
        [--turns | --json]

DIR comes from recipes/tables.py.

For every device, N architectures are measured and the latencies of 1,000 others are predicted. Prior knowledge comes
from the other devices of the table, without the target's family (the same GPU at its other batch sizes; with --vendors
also other processors and phones of the same maker). Nothing else of the target is used, neither in the known shape nor
in the sizes of the terms. Those sizes are the mean of what the same regression finds on the known devices when each of
them is predicted from the other families. Half of the N architectures are the most informative ones according to the
prior knowledge, the other half are random; rivals use N random ones.

Upper bounds are checked at confidence 0.9, on the 1,000 architectures and on the 50 of them with the most work (MACs)
for the predicted latency, which is what a generator would pick. Each calibration has a coverage of its own, so the
coverage is shown as a distribution over calibrations; also on architectures of the part of the table from which the
samples are drawn, because some tables drift along their index.

With --turns the two constants of the bound are chosen on one table and checked on the others, each table in turn.

With --foreign the pool holds only devices of other kinds than the target (for GPUs: with other numbers of images).
Such a pool harms on some devices. What nagsdk makes of it is compared with the pool alone and with no pool, on the same
samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
import latency_tables as tables
from latency_tables import Floats, LatencyTable

from nagsdk.cost import blend
from nagsdk.cost import model as cost_model
from nagsdk.cost.blend import Blend
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import NOISE, Sizes, fit, most_informative
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import Jitter, flat_prior
from nagsdk.cost.shape import Choices, Shape, pooled
from nagsdk.cost.table import AdditiveTable, exact_table, mixed

READERS = {"fbnet": tables.read_fbnet, "nb201": tables.read_nb201, "ofa": tables.read_ofa}
ADDITIVE = ("fpga", "eyeriss", "raspi4", "pixel3")
COUNTS = (5, 10, 20)
FRESH, NEAR_FRONTIER, CONFIDENCE = 1000, 50, 0.9
# A calibration whose bound covers less is a poor one. The bound must reach: mean coverage, share of poor calibrations,
# median excess.
POOR = 0.8
MEANS, MOST_POOR, MOST_EXCESS = (0.87, 0.95), 0.1, 0.09
# Values of the two constants of the bound for --turns: the caution with which a pool is left, and the least scatter
# between sessions.
DOUBTS, SESSIONS = (0.0, 160_000.0, 640_000.0), (0.0, 0.005, 0.01, 0.02)
METHODS = (
    "nagsdk",
    "the pool alone",
    "no pool, same samples",
    "nagsdk, no pool",
    "one proxy device",
    "MACs x scale",
)
Progress = Callable[[str], None]
Indices = np.ndarray[Any, np.dtype[np.intp]]
CANDIDATES, POPULATION = 600, 400
# Wide prior for the sizes of the terms on known devices, and the smallest scatter that is assumed for them.
WIDE = Sizes(np.log([0.8, 0.05, 0.03, 0.04]), np.full(4, 0.8))
LEAST_SPREAD, LEARNED_FROM = 0.4, 100
# HELP (Lee et al., NeurIPS 2021), 10 + 10 samples: Spearman on the middle 80 % of the latencies.
HELP = {"fbnet": ("8 devices", 0.878), "nb201": ("6 devices", 0.932)}
TARGETS = {
    ("fbnet", 10): (0.925, 0.88, 0.059),
    ("fbnet", 20): (0.933, 0.905, 0.053),
    ("nb201", 10): (0.959, 0.74, None),
    ("nb201", 20): (0.964, 0.77, None),
    ("ofa", 10): (0.916, 0.88, 0.062),
    ("ofa", 20): (0.92, 0.90, None),
}


def ridge(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, float]:
    """Ridge regression with intercept; closed-form leave-one-out errors choose its strength.

    Returns:
        Coefficients and intercept.
    """
    centre, mean = np.average(x, axis=0, weights=weight**2), float(np.average(y, weights=weight**2))
    a, b = (x - centre) * weight[:, None], (y - mean) * weight
    values, vectors = np.linalg.eigh(a.T @ a)
    values, rotated, projected = np.maximum(values, 0), a @ vectors, vectors.T @ (a.T @ b)
    leverage = (weight / np.linalg.norm(weight)) ** 2

    def error(strength: float) -> float:
        shrink = 1 / (values + strength)
        left = b - rotated @ (shrink * projected)
        return float(np.mean((left / np.maximum(1 - rotated**2 @ shrink - leverage, 1e-6)) ** 2))

    strength = min(np.logspace(-4, 4, 17) * max(values[-1] / len(y), 1e-12), key=error)
    found = vectors @ (projected / (values + strength))
    return found, mean - float(centre @ found)


class Known:
    """What is known about a table's space from its other devices."""

    def __init__(self, table: LatencyTable) -> None:
        self.table = table
        self.known, self.fresh = (
            np.arange(table.known),
            np.arange(table.known, min(table.known + FRESH, len(table.codes))),
        )
        codes = table.codes[self.known]
        features = FeatureTable.of(table.space).of_codes(codes)
        self.centre, deviation = features.mean(0), features.std(0)
        self.unit = np.divide(
            1.0,
            deviation,
            out=np.zeros_like(deviation),
            where=deviation > 1e-9 * np.maximum(np.abs(self.centre), 1e-300),
        )
        self.choices = Choices(table.space, codes)
        self.columns = np.concatenate([self.choices.columns(codes), (features - self.centre) * self.unit], axis=1)

    @cache  # noqa: B019 there are few tables, and all of them live to the end
    def additive(self, device: str) -> AdditiveTable:
        """The additive table of a device whose latencies are all known, fitted without outliers."""
        ms = self.table.of(device)[self.known]
        low, high = np.quantile(ms, [0.005, 0.995])
        kept = (ms >= low / 1.5) & (ms <= 1.5 * high)
        found, constant = ridge(self.columns[kept], ms[kept], ms.mean() / ms[kept])
        split = self.choices.centre.size
        chosen, priced = (
            self.choices.table(found[:split]),
            FeatureTable.of(self.table.space).priced(found[split:] * self.unit),
        )
        offset = constant - float(found[split:] * self.unit @ self.centre)
        both = mixed([chosen, priced], np.ones(2))
        return replace(both, base=both.base + offset)

    @cache  # noqa: B019
    def shape(self, devices: tuple[str, ...], sizes_from: bool = True) -> Shape:
        """The shape that the devices have in common."""
        sizes = self.sizes(devices) if sizes_from else WIDE
        return pooled(self.table.space, [self.additive(name) for name in devices], self.table.codes[self.known], sizes)

    @cache  # noqa: B019
    def sizes(self, devices: tuple[str, ...]) -> Sizes:
        """Sizes of the terms on known devices, each predicted from the other families."""
        found = []
        for number, name in enumerate(devices):
            others = tuple(other for other in devices if tables.family(other) != tables.family(name))
            shape = self.shape(others, sizes_from=False)
            rows = np.random.default_rng([1, number]).choice(self.known, LEARNED_FROM, replace=False)
            found.append(fit(shape.design(self.table.codes[rows]), self.table.of(name)[rows], WIDE).sizes)
        logs = np.array(found)
        return Sizes(logs.mean(0), np.maximum(logs.std(0), LEAST_SPREAD))


def score(predicted: Floats, measured: Floats) -> dict[str, float]:
    """Spearman, shares within 10 % and 5 %, RMSPE, and Spearman on the middle 80 % of the latencies."""
    from scipy.stats import spearmanr

    error = predicted / measured - 1
    low, high = np.quantile(measured, [0.1, 0.9])
    middle = (measured >= low) & (measured <= high)
    return {
        "spearman": float(spearmanr(predicted, measured)[0]),
        "within_10": float(np.mean(np.abs(error) <= 0.1)),
        "rmspe": float(np.sqrt(np.mean(error**2))),
        "within_5": float(np.mean(np.abs(error) <= 0.05)),
        "spearman_middle": float(spearmanr(predicted[middle], measured[middle])[0]),
    }


def one_proxy(known: Known, pool: list[str], rows: NDArray[np.integer[Any]], ms: Floats) -> Floats:
    """Latencies of the known device that ranks the samples most similarly, times a scale.

    This is the method of Lu et al., SIGMETRICS 2022: one proxy device.
    """
    from scipy.stats import spearmanr

    codes = known.table.codes
    proxy = max((known.additive(name) for name in pool), key=lambda t: float(spearmanr(t.cost(codes[rows]), ms)[0]))
    return np.asarray(proxy.cost(codes[known.fresh]) * np.median(ms / proxy.cost(codes[rows])))


def samples(known: Known, shape: Shape, count: int, seed: int) -> tuple[Indices, Indices, np.random.Generator]:
    """The measured architectures: half of them the most informative ones, half of them the first random ones.

    Returns:
        These, as many random ones, and the generator of random numbers for what follows.
    """
    table = known.table
    rng = np.random.default_rng([seed, count])
    random = rng.choice(known.known, count, replace=False)
    candidates, population = (rng.choice(known.known, n, replace=False) for n in (CANDIDATES, POPULATION))
    noise = float(np.exp(shape.sizes.medians[NOISE]))
    designs = shape.design(table.codes[candidates]), shape.design(table.codes[population])
    active = candidates[most_informative(*designs, count // 2, shape.sizes, noise)]
    rows = np.concatenate([active, [r for r in random if r not in set(active.tolist())]])[:count].astype(int)
    return rows, random, rng


def predict_device(known: Known, device: str, pool: list[str], count: int, seed: int) -> dict[str, Any]:
    """One calibration with `count` samples: scores of all methods and coverage of the upper bounds."""
    table = known.table
    ms, fresh = table.of(device), known.fresh
    shape = known.shape(tuple(pool))
    rows, random, rng = samples(known, shape, count, seed)
    prior = flat_prior(FeatureTable.of(table.space))
    model = CostModel.fit(table.space, prior, table.codes[rows], ms[rows], jitter=Jitter({}, 0.0), shape=shape)
    predicted = model.mean(table.codes[fresh])
    predicted = np.maximum(predicted, 0.05 * float(np.median(ms[rows])))
    macs = exact_table(table.space, lambda layer: layer.macs)
    work = macs.cost(table.codes)
    physical = CostModel.fit(table.space, prior, table.codes[random], ms[random]).mean(table.codes[fresh])
    alone = (Blend.of(shape, table.codes[rows], ms[rows], trust).table().cost(table.codes[fresh]) for trust in (1, 0))
    result: dict[str, Any] = {
        "nagsdk": score(predicted, ms[fresh]),
        "the pool alone": score(np.maximum(next(alone), 1e-3), ms[fresh]),
        "no pool, same samples": score(np.maximum(next(alone), 1e-3), ms[fresh]),
        "nagsdk, no pool": score(np.maximum(physical, 1e-3), ms[fresh]),
        "one proxy device": score(one_proxy(known, pool, random, ms[random]), ms[fresh]),
        "MACs x scale": score(work[fresh] * np.median(ms[random] / work[random]), ms[fresh]),
    }
    if model.most_confidence >= CONFIDENCE:
        upper = model.upper(table.codes[fresh], CONFIDENCE)
        near = np.argsort(predicted / work[fresh])[:NEAR_FRONTIER]
        held = ms[fresh] <= upper
        beside = rng.permutation(np.setdiff1d(known.known, rows))[:FRESH]
        result["bound"] = {
            "random": float(held.mean()),
            "same_part": float(np.mean(ms[beside] <= model.upper(table.codes[beside], CONFIDENCE))),
            "near_frontier": float(held[near].mean()),
            "median_excess": float(np.median(upper / ms[fresh] - 1)),
        }
    return result


def run_table(
    name: str, folder: Path, seeds: int, pool_of: Callable[[LatencyTable, str], list[str]], on_progress: Progress
) -> dict[str, Any]:
    """Runs the benchmark on all devices of one table."""
    known = Known(READERS[name](folder))
    devices: dict[str, Any] = {}
    for device in known.table.targets:
        ceiling = score(
            known.additive(device).cost(known.table.codes[known.fresh]), known.table.of(device)[known.fresh]
        )
        devices[device] = {"ceiling": ceiling, "samples": {}, "bounds": {}}
        for count in COUNTS:
            pool = pool_of(known.table, device)
            runs = [predict_device(known, device, pool, count, seed) for seed in range(seeds)]
            devices[device]["samples"][count] = {
                method: {key: float(np.mean([run[method][key] for run in runs])) for key in runs[0][method]}
                for method in runs[0]
            }
            devices[device]["bounds"][count] = [run["bound"] for run in runs if "bound" in run]
        on_progress(f"{name} {device}")
    return devices


def means(devices: dict[str, Any], count: int, method: str, names: tuple[str, ...] | None = None) -> dict[str, float]:
    """Means over devices."""
    rows = [d["samples"][count][method] for name, d in devices.items() if names is None or name in names]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def show(report: dict[str, Any]) -> None:
    """Prints the table."""
    print(
        f"{'mean over devices':<38}{'N':>4}{'Spearman':>10}{'±10 %':>7}{'RMSPE':>8}{'±5 %':>7}{'middle 80 %':>13}"
        "   target"
    )
    for name, devices in report["tables"].items():
        groups: list[tuple[str, tuple[str, ...] | None]] = [(name, None)]
        if name == "fbnet":
            groups.append(("fbnet, not additive", tuple(d for d in devices if d not in ADDITIVE)))
        for label, names in groups:
            for method in METHODS:
                for count in COUNTS:
                    m = means(devices, count, method, names)
                    target = TARGETS.get((name, count)) if method == "nagsdk" and names is None else None
                    print(
                        f"{label + ': ' + method:<38}{count:>4}{m['spearman']:>10.3f}{m['within_10']:>7.3f}"
                        f"{m['rmspe']:>8.3f}{m['within_5']:>7.3f}{m['spearman_middle']:>13.3f}   {target or ''}"
                    )
        for count in COUNTS:
            print(f"{name}: {METHODS[0]} less {METHODS[1]}, N={count}: {paired(devices, count)}")
        if name in HELP:
            print(f"{name + ': HELP, published, ' + HELP[name][0]:<38}{'20':>4}{'':>32}{HELP[name][1]:>13.3f}")
        for count in (10, 20):
            show_bound(name, count, [bound for device in devices.values() for bound in device["bounds"][count]])
    reachable = [
        d for devices in report["tables"].values() for d in devices.values() if d["ceiling"]["within_10"] >= 0.95
    ]
    for count in (10, 20):
        reached = sum(d["samples"][count]["nagsdk"]["within_10"] >= 0.95 for d in reachable)
        print(f"pairs with 95 % within 10 %, N={count}: {reached} of the {len(reachable)} whose ceiling allows it")


def paired(devices: dict[str, Any], count: int) -> str:
    """Mean differences between what ships and the pool alone, with their standard errors over the devices."""
    parts = []
    for key, what in {"spearman": "Spearman", "within_10": "±10 %", "rmspe": "RMSPE", "within_5": "±5 %"}.items():
        ours, alone = (np.array([d["samples"][count][method][key] for d in devices.values()]) for method in METHODS[:2])
        parts.append(
            f"{what} {np.mean(ours - alone):+.4f} ± {np.std(ours - alone, ddof=1) / np.sqrt(len(devices)):.4f}"
        )
    return ", ".join(parts)


def show_bound(name: str, count: int, bounds: list[dict[str, float]]) -> None:
    """Prints the distribution of coverage and excess over calibrations."""
    parts = {"random": "architectures", "same_part": "architectures of the measured part of the table"}
    print(f"{name}: upper bound at {CONFIDENCE}, N={count}, {len(bounds)} calibrations")
    for key, what in parts.items():
        covered = np.array([b[key] for b in bounds])
        shown = " ".join(f"{value:.3f}" for value in np.quantile(covered, (0.05, 0.1, 0.25, 0.5, 0.75)))
        print(
            f"  covers {covered.mean():.3f} of 1,000 {what}; 5, 10, 25, 50, 75 % of the calibrations cover at most "
            f"{shown}; {np.mean(covered < POOR):.1%} cover less than {POOR}"
        )
    near, excess = (np.array([b[key] for b in bounds]) for key in ("near_frontier", "median_excess"))
    print(
        f"  covers {near.mean():.3f} near the frontier; "
        f"median excess over the truth: median {np.median(excess):.3f}, mean {excess.mean():.3f}"
    )


def in_turns(known: dict[str, Known], seeds: int, pool_of: Callable[[LatencyTable, str], list[str]]) -> None:
    """Chooses the constants of the bound on one table and prints what they give on the others, table by table."""
    found = {name: bounds_by_constants(one, seeds, pool_of) for name, one in known.items()}
    shipped = (blend._DOUBT, cost_model._LEAST_SESSIONS)
    print(
        "table: doubt and least scatter of sessions: covers on average, calibrations that cover less than 0.8, excess"
    )
    for name, rows in {"shipped": {}, **found}.items():
        # The fewest poor calibrations among the constants that hold the other two targets.
        best = min(rows, key=lambda pair: (not holds(found[name][pair]), *found[name][pair][1:])) if rows else shipped
        for other, of in found.items():
            mean, poor, excess = of[best]
            print(
                f"{name} chooses {best}; {other}{' (the same)' * (name == other)}: {mean:.3f} {poor:.1%} {excess:.3f}"
            )


def holds(figures: tuple[float, float, float]) -> bool:
    """Whether mean coverage and median excess are within their targets."""
    return MEANS[0] <= figures[0] <= MEANS[1] and figures[2] <= MOST_EXCESS


def bounds_by_constants(
    known: Known, seeds: int, pool_of: Callable[[LatencyTable, str], list[str]]
) -> dict[tuple[float, float], tuple[float, float, float]]:
    """Mean coverage, share of poor calibrations and median excess of N = 20, for all constants."""
    table, codes = known.table, known.table.codes
    covered: dict[tuple[float, float], list[tuple[float, float]]] = {pair: [] for pair in product(DOUBTS, SESSIONS)}
    prior = flat_prior(FeatureTable.of(table.space))
    for device, seed in product(table.targets, range(seeds)):
        shape, ms = known.shape(tuple(pool_of(table, device))), table.of(device)
        rows, _, _ = samples(known, shape, COUNTS[-1], seed)
        for doubt, sessions in covered:
            with patch.object(blend, "_DOUBT", doubt), patch.object(cost_model, "_LEAST_SESSIONS", sessions):
                if sessions == SESSIONS[0]:
                    model = CostModel.fit(
                        table.space, prior, codes[rows], ms[rows], jitter=Jitter({}, 0.0), shape=shape
                    )
                upper = model.upper(codes[known.fresh], CONFIDENCE)
            truth = ms[known.fresh]
            covered[doubt, sessions].append((float(np.mean(truth <= upper)), float(np.median(upper / truth - 1))))
    result = {}
    for pair, values in covered.items():
        coverage, excess = np.array(values).T
        result[pair] = float(coverage.mean()), float(np.mean(coverage < POOR)), float(np.median(excess))
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with help_fbnet.csv, help_nb201.csv and help_ofa_mbv3.csv"
    )
    parser.add_argument("--tables", default="fbnet,nb201,ofa")
    parser.add_argument("--seeds", type=int, default=10)
    pools = parser.add_mutually_exclusive_group()
    pools.add_argument("--foreign", action="store_true", help="only devices of other kinds")
    pools.add_argument(
        "--vendors",
        action="store_true",
        help="also leave out other devices of the same maker and kind, not only other batch sizes",
    )
    parser.add_argument(
        "--turns", action="store_true", help="only choose the constants of the bound on one table, check on the others"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.tables.split(",")
    if not options.data.is_dir() or not set(names) <= set(READERS):
        parser.error(f"--data must be the folder of the tables, --tables some of {', '.join(READERS)}")
    show_progress = lambda text: print(f"\r{text:<60}", end="", file=sys.stderr)  # noqa: E731

    def pool_of(table: LatencyTable, device: str) -> list[str]:
        return table.foreign_pool(device) if options.foreign else table.pool_of(device, options.vendors)

    if options.turns:
        in_turns({n: Known(READERS[n](options.data)) for n in names}, options.seeds, pool_of)
        return
    report = {
        "tables": {n: run_table(n, options.data, options.seeds, pool_of, show_progress) for n in names},
        "seeds": options.seeds,
    }
    print(file=sys.stderr)
    print(json.dumps(report, indent=2)) if options.json else show(report)


if __name__ == "__main__":
    main()
