"""Compares the generator with the exact frontier and with searches, scored by judges that steered none of them.

    python benchmarks/generator.py --data DIR [--devices 20] [--seeds 3] [--methods NAME ...] [--json FILE]

DIR contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T, Apache-2.0) and
help_ofa_mbv3.csv (latencies on GPUs; HayeonLee/HELP, MIT). The measured architectures are split in two halves: an
accuracy predictor of one half steers every method, and predictors of the other half judge what they pick. Judges of
four kinds (nagsdk/predictor/kinds.py) do so, because a judge of the product's own kind may share its errors. The
generator is trained on the steering predictor with the recipe of the shipped one. That takes about ten minutes the
first time and is kept. It is trained on random devices. The devices of this benchmark are different ones: random
devices, MACs, the prior and the calibration of this processor (run `nagsdk calibrate --device cpu --bundle imagenet`
first), the priors of two phones, and GPUs. For each device, every method gets the same 100 budgets, equidistant over
the frontier, at 224 px, where top-1 was measured. All of this is repeated for several splits; the tables are for all
splits together.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from nagsdk.budget import LATENCY
from nagsdk.common.folders import cache_folder
from nagsdk.cost.bounds import Completions
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats, exact_table
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.generator.frontier import frontier
from nagsdk.generator.generator import Generator
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Evolution, Lookup, Nag, Nsga2, Polished, Random
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.generator.training_data import Devices
from nagsdk.pipeline.models import calibrated_model, prior_of, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.predictor.additive import AdditiveScore, fit_additive
from nagsdk.predictor.halves import Half, Judge, judges_of, second_half
from nagsdk.predictor.kinds import JUDGES, OWN
from nagsdk.space.space import Codes, SearchSpace

MEASURED, GPUS = "ofa_mbv3_w1.0_imagenet_top1.csv", "help_ofa_mbv3.csv"
RESOLUTION, BUDGETS = 224, 100
# First seed of the random devices; training uses other seeds.
FIRST_DEVICE = 7 * 10**8
GROUPS = ("random", "MACs", "cpu, shipped prior", "cpu, calibrated", "phone", "GPU, batch 32 and 64", "GPU, batch 1")
PHONES = ("pixel-1", "note10")


def halves(space: MobileNetV3Space, data: Path, seed: int) -> tuple[Half, Half, AdditiveScore, float]:
    """The steering half, the judge, the steering half's plain additive score, and the judge's RMSE on that half."""
    codes, top1, second = split(space, data, seed)
    found = [Half.fitted(space, codes[half], top1[half], seed) for half in (~second, second)]
    # The asymptote is so far above all accuracies that the link function is nearly a straight line.
    plain = fit_additive(space, codes[~second], top1[~second], 1e4)
    error = found[1].predict(codes[~second]).mean - top1[~second]
    return found[0], found[1], plain, float(np.sqrt(np.mean(error**2)))


def split(space: MobileNetV3Space, data: Path, seed: int) -> tuple[Codes, Floats, NDArray[np.bool_]]:
    """The measured architectures, their top-1, and which of them belong to the second half."""
    codes, columns = read_architectures(data / MEASURED, space)
    return codes, columns["top1"].astype(np.float64), second_half(codes, seed)


def judges(space: MobileNetV3Space, data: Path, seed: int) -> dict[str, Judge]:
    """Judges of all kinds; that of the product's own kind is first."""
    codes, top1, _ = split(space, data, seed)
    return judges_of(space, codes, top1, JUDGES, seed)


def trained(space: MobileNetV3Space, steer: Half, seed: int) -> Generator:
    """The generator of the steering predictor, loaded from an earlier run or trained now and kept."""
    path = cache_folder() / "generators" / f"{Generator.key(space, steer)}.safetensors"
    if not path.is_file():
        print(f"training the generator of half {seed}: about ten minutes", file=sys.stderr, flush=True)
        Generator.trained(space, steer, seed=seed).save(path)
    return Generator.load(path, space, steer)


def gpus(space: MobileNetV3Space, data: Path) -> Iterator[tuple[str, AdditiveTable, float]]:
    """Additive tables fitted to measured GPUs, and the share of the variance of the latencies that they explain."""
    # The table has resolutions from 128 px; the fitted prices are valid for every resolution.
    wider = replace(space, resolution_choices=tuple(range(128, 225, 4)))
    codes, columns = read_architectures(data / GPUS, wider)
    amounts, features = FeatureTable.of(wider).of_codes(codes), FeatureTable.of(space)
    for name, column in columns.items():
        if name != "idx":
            latency = column.astype(np.float64)
            prices, _ = nnls(amounts / latency[:, None], np.ones(len(latency)))
            fitted = amounts @ prices
            group = GROUPS[-1] if name.endswith("_1") else GROUPS[-2]
            yield f"{group}: {name}", features.priced(prices), float(1 - np.var(latency - fitted) / np.var(latency))


def described(space: MobileNetV3Space) -> Iterator[tuple[str, AdditiveTable]]:
    """The tables of this processor, from its shipped prior and its calibration, and of phones, from their priors."""
    target = Target("cpu", "imagenet")
    prior = prior_of(target)
    assert prior is not None
    yield (
        "cpu, shipped prior",
        target.costs.table(LATENCY, CostModel.from_prior(space, prior, target.presence.fingerprint)),
    )
    model = calibrated_model(target)
    if model is None:
        print("cpu is not calibrated for imagenet, so the tables have no row for it", file=sys.stderr)
    else:
        yield "cpu, calibrated", target.costs.table(LATENCY, model)
    for name in PHONES:
        phone = Target(name, target.bundle)
        yield f"phone: {name}", phone.costs.table(LATENCY, require_cost_model(phone))


def devices(space: MobileNetV3Space, data: Path, count: int) -> dict[str, AdditiveTable]:
    """The cost tables of all devices, by name."""
    drawn = Devices(space)
    tables = {f"random {n + 1}": drawn.latency(np.random.default_rng(FIRST_DEVICE + n)) for n in range(count)}
    tables["MACs"] = exact_table(space, lambda layer: float(layer.macs))
    tables |= dict(described(space))
    if (data / GPUS).is_file():
        tables |= {f"{name} ({share:.0%})": table for name, table, share in gpus(space, data)}
    return tables


def group_of(device: str) -> str:
    """The group to which a device belongs."""
    return next(group for group in GROUPS if device.startswith(group))


@dataclass(frozen=True)
class Rival:
    """A method that is compared.

    Attributes:
        name: Name in the table.
        strategy: How it finds architectures.
        plain: Whether its score is the additive top-1 without the link function.
        devices: Number of devices of each group on which it runs, because some methods take a minute for each.
        limits: Largest number of limits at once for which it runs.
        groups: Groups of devices on which it runs.
    """

    name: str
    strategy: Strategy
    plain: bool = False
    devices: int = 1000
    limits: int = 3
    groups: tuple[str, ...] = GROUPS


RIVALS = (
    Rival("nag, 64 candidates", Nag(64)),
    Rival("nag, 16 candidates", Nag(16)),
    Rival("lookup", Lookup()),
    Rival("lookup, plain additive", Lookup(), plain=True, limits=1),
    Rival("lookup, polished", Polished(Lookup()), devices=6),
    Rival("nag, polished", Polished(Nag(64)), devices=6),
    Rival("NSGA-II, 20,000", Nsga2(20_000), devices=6),
    Rival("NSGA-II, 100,000", Nsga2(100_000), devices=3, limits=1),
    Rival("random, 20,000", Random(20_000)),
    Rival("evolution, 50,000 a budget", Evolution(), devices=1, limits=1, groups=GROUPS[:1]),
)
LARGEST = next(rival for rival in RIVALS if rival.name == "NSGA-II, 100,000")
SEVERAL = 6  # number of devices with three limits at once


@dataclass(frozen=True)
class Parts:
    """The predictors and the generator that one split of the measured architectures gives."""

    space: MobileNetV3Space
    steer: Half
    judges: dict[str, Judge]
    plain: AdditiveScore
    generator: Generator


def answer(rival: Rival, question: Question, parts: Parts) -> dict[str, Any]:
    """What one method picks: its top-1 of every budget by the judge of the own kind, and its means by each judge.

    Also the mean top-1 by the own predictor, the number of broken limits, and seconds.
    """
    asked = replace(question, predictor=replace(parts.steer, additive=parts.plain)) if rival.plain else question
    start = time.perf_counter()
    codes = rival.strategy.propose(asked)
    picked = codes[np.arange(len(codes)), choose(parts.steer, codes)[:, 0]]
    seconds = time.perf_counter() - start
    cost = np.stack([table.cost(picked) for table in question.tables], axis=1)
    believed = float(parts.steer.predict(picked).mean.mean())
    broken = int((cost > question.limits).any(1).sum())
    top1 = {name: judge.predict(picked).mean for name, judge in parts.judges.items()}
    means = {name: float(values.mean()) for name, values in top1.items()}
    return {"judge": top1[OWN], "judges": means, "own": believed, "broken": broken, "seconds": seconds}


def compare(
    rivals: Sequence[Rival], tables: dict[str, list[AdditiveTable]], limits: dict[str, Floats], parts: Parts, seed: int
) -> list[dict[str, Any]]:
    """Runs rivals on all devices; each pair gives one row with top-1, gap to the best rival and seconds."""
    rows: list[dict[str, Any]] = []
    seen = Counter[str]()
    for name, costs in tables.items():
        group = group_of(name)
        question = Question(parts.space, parts.steer, costs, limits[name], lambda: parts.generator, seed)
        found = [
            {"seed": seed, "device": name, "method": rival.name, **answer(rival, question, parts)}
            for rival in rivals
            if seen[group] < rival.devices and len(costs) <= rival.limits and group in rival.groups
        ]
        seen[group] += 1
        best = np.max([row["judge"] for row in found], axis=0)
        for row in found:
            row["gap"], row["judge"] = float((best - row["judge"]).mean()), float(row["judge"].mean())
        rows += found
        print(name, {row["method"]: round(row["judge"], 3) for row in found}, file=sys.stderr, flush=True)
    return rows


def one_limit(table: AdditiveTable, steer: Half) -> Floats:
    """Limits, equidistant from the cheapest to the most expensive point of the frontier."""
    best = frontier(steer.space, table, steer.additive)
    return np.linspace(best.cost[0], best.cost[-1], BUDGETS)[:, None]


def random_limits(space: SearchSpace, costs: list[AdditiveTable], count: int, rng: np.random.Generator) -> Floats:
    """Random limits between the lowest and the highest value of each cost.

    They are never below the costs of one cheap architecture, so that at least that one holds them all.
    """
    bounds = [Completions.of(space, table) for table in costs]
    low, high = np.array([b.least for b in bounds], np.float64), np.array([b.most for b in bounds], np.float64)
    cheapest = np.stack([b.cheapest[b.floor.argmin()] for b in bounds])
    held: Floats = np.max([table.cost(cheapest) for table in costs], axis=1)
    return np.maximum(low + (high - low) * rng.random((count, len(costs))), held)


def feasibility(
    space: MobileNetV3Space, tables: dict[str, list[AdditiveTable]], generator: Generator, budgets: int = 10_000
) -> dict[str, int]:
    """Counts the limits that samples break: two samples for each of `budgets` random budgets on every device."""
    broken = samples = 0
    for number, costs in enumerate(tables.values()):
        limits = random_limits(space, costs, budgets, np.random.default_rng((3, number)))
        codes = generator.propose(costs, limits, 2)
        cost = np.stack([table.cost(codes.reshape(-1, codes.shape[2])) for table in costs], axis=1)
        broken += int((cost > np.repeat(limits, 2, axis=0)).any(1).sum())
        samples += len(cost)
    return {"samples": samples, "broken": broken}


def best_time(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def timing(generator: Generator, steer: Half, costs: list[AdditiveTable]) -> dict[str, float]:
    """Milliseconds for one budget and seconds for a thousand, generated and ranked, at any resolution."""
    space = steer.space
    limits = np.sort(random_limits(space, costs, 1000, np.random.default_rng(0)), axis=0)

    def work(these: Floats, count: int) -> Any:
        codes = generator.propose(costs, these, count)
        return codes[np.arange(len(codes)), choose(steer, codes)[:, 0]]

    return {
        "one_budget_16_ms": 1e3 * best_time(lambda: work(limits[500:501], 16), 20),
        "one_budget_64_ms": 1e3 * best_time(lambda: work(limits[500:501], 64), 20),
        "thousand_budgets_16_s": best_time(lambda: work(limits, 16), 3),
    }


def summary(rows: list[dict[str, Any]], group: str) -> dict[str, dict[str, float]]:
    """Means over devices and splits, and differences from lookup on the devices on which a method ran.

    The worst device is the one with the worst mean over the splits.
    """
    lookup = {(row["seed"], row["device"]): row["judge"] for row in rows if row["method"] == "lookup"}
    result = {}
    for rival in RIVALS:
        found = [row for row in rows if row["method"] == rival.name and group_of(row["device"]) == group]
        if found:
            behind: dict[str, list[float]] = {}
            for row in found:
                behind.setdefault(row["device"], []).append(row["judge"] - lookup[row["seed"], row["device"]])
            means = [float(np.mean(of_device)) for of_device in behind.values()]
            result[rival.name] = {
                "devices": len(behind),
                "judge": float(np.mean([row["judge"] for row in found])),
                "to_lookup": float(np.mean(means)),
                "to_lookup_worst": float(np.min(means)),
                "gap_to_best": float(np.mean([row["gap"] for row in found])),
                "optimism": float(np.mean([row["own"] - row["judge"] for row in found])),
                "broken": sum(row["broken"] for row in found),
                "seconds": float(np.mean([row["seconds"] for row in found])),
            }
    return result


def by_judge(rows: list[dict[str, Any]]) -> str:
    """A table of every method's mean difference to lookup by each judge, with that of the worst device.

    A device counts with its mean over the splits.
    """
    kinds = list(rows[0]["judges"])
    lookup = {(row["seed"], row["device"]): row["judges"] for row in rows if row["method"] == "lookup"}
    lines = [f"{'difference to lookup by':30}" + "".join(f"{kind:>27}" for kind in (*kinds, "mean of kinds"))]
    for rival in RIVALS:
        ahead: dict[str, list[list[float]]] = {}
        for row in rows:
            if row["method"] == rival.name and rival.name != "lookup":
                other = lookup[row["seed"], row["device"]]
                ahead.setdefault(row["device"], []).append([row["judges"][kind] - other[kind] for kind in kinds])
        if ahead:
            means = np.array([np.mean(of_device, axis=0) for of_device in ahead.values()])
            means = np.column_stack([means, means.mean(1)])
            cells = (f"{m:+14.4f} (worst {w:+.3f})" for m, w in zip(means.mean(0), means.min(0), strict=True))
            lines.append(f"{f'{rival.name} ({len(means)} devices)':30}" + "".join(f"{cell:>27}" for cell in cells))
    return "\n".join(lines)


def rivalry(rows: list[dict[str, Any]]) -> str:
    """One line that compares the generator with the largest search on the same devices and splits."""
    own, other = (
        {(r["seed"], r["device"]): r["judge"] for r in rows if r["method"] == rival.name}
        for rival in (RIVALS[0], LARGEST)
    )
    if not other:
        return f"{LARGEST.name} was not run"
    ahead = np.array([own[pair] - judge for pair, judge in other.items()])
    return (
        f"{RIVALS[0].name} minus {LARGEST.name}: mean {ahead.mean():+.4f}, worst {ahead.min():+.4f}, "
        f"behind on {(ahead < 0).sum()} of {len(ahead)}"
    )


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    """Prints one table."""
    if not figures:
        return
    print(f"\n{title}")
    print(
        f"{'method':30}devices  judge's top-1   to lookup   worst device   gap to best   optimism   broken"
        "   seconds a device"
    )
    for name, f in figures.items():
        print(
            f"{name:30}{f['devices']:5d}{f['judge']:15.3f}{f['to_lookup']:+14.4f}{f['to_lookup_worst']:+13.4f}"
            f"{f['gap_to_best']:14.4f}{f['optimism']:11.3f}{f['broken']:9d}{f['seconds']:13.1f}"
        )


def main() -> None:
    """Runs everything and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--devices", type=int, default=20, help="number of random devices (default: %(default)s)")
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="number of splits of the measured architectures, each with its own generator (default: %(default)s)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[""],
        help="beginnings of the names of the methods to run beside lookup and the generator (default: all)",
    )
    parser.add_argument("--json", type=Path, help="file for all figures of all devices")
    options = parser.parse_args()
    chosen = [r for r in RIVALS if r is RIVALS[0] or r.name == "lookup" or r.name.startswith(tuple(options.methods))]
    for module in ("pymoo", "sklearn"):  # checked now, before a generator is trained for minutes
        if importlib.util.find_spec(module) is None:
            parser.error(f"rivals and judges need {module}: pip install 'nagsdk[bench]'")
    space = ofa_mobilenet_v3()
    index = space.resolution_index(RESOLUTION)
    known = devices(space, options.data, options.devices)
    exact = [
        exact_table(space, lambda layer: float(layer.macs)),
        exact_table(space, lambda layer: 4.0 * layer.parameters),
    ]
    single = {name: [table.masked(resolution=index)] for name, table in known.items()}
    triple = {
        name: [t.masked(resolution=index) for t in (table, *exact)]
        for name, table in list(known.items())[: min(SEVERAL, options.devices)]
    }
    report: dict[str, Any] = {"judge_rmse": [], "one_limit": [], "three_limits": []}
    for seed in range(options.seeds):
        steer, _, plain, _ = halves(space, options.data, seed)
        parts = Parts(space, steer, judges(space, options.data, seed), plain, trained(space, steer, seed))
        errors = {name: judge.rmse for name, judge in parts.judges.items()}
        shown = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
        print(f"split {seed}: RMSE of the judges on the other half: {shown}", flush=True)
        rng = np.random.default_rng(seed)
        report["judge_rmse"].append(errors)
        report["one_limit"] += compare(
            chosen, single, {name: one_limit(costs[0], steer) for name, costs in single.items()}, parts, seed
        )
        limits = {name: random_limits(space, costs, BUDGETS, rng) for name, costs in triple.items()}
        report["three_limits"] += compare(chosen, triple, limits, parts, seed)
        keep(options.json, report)
    for group in GROUPS:
        show(f"{group}: one limit, {BUDGETS} budgets for each device", summary(report["one_limit"], group))
    show("random: three limits at once (latency, MACs, size)", summary(report["three_limits"], "random"))
    for part in ("one_limit", "three_limits"):
        print(f"\n{part.replace('_', ' ')}, all devices\n{by_judge(report[part])}")
    print(f"\n{rivalry(report['one_limit'])}")
    generator = parts.generator
    whole = {name: [table] for name, table in known.items() if name.startswith("random")}
    report["broken"] = {
        "one limit": feasibility(space, whole, generator),
        "three limits": feasibility(space, {name: [*costs, *exact] for name, costs in whole.items()}, generator),
    }
    report["time"] = {
        "one limit": timing(generator, steer, [known["MACs"]]),
        "three limits": timing(generator, steer, [known["random 1"], *exact]),
    }
    for part in ("broken", "time"):
        for name, figures in report[part].items():
            print(f"{part}, {name}: " + ", ".join(f"{k} {v:,.4g}" for k, v in figures.items()))
    keep(options.json, report)


def keep(path: Path | None, report: dict[str, Any]) -> None:
    """Writes the results so far, because a run takes more than an hour."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
