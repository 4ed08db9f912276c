"""How the models of a fleet that were chosen on half of the processors of ncnn's table fare on the other half.

    python benchmarks/fleet.py --data DIR [--splits 40]

DIR holds ncnn_latencies.csv (docs/figures.md). Every processor has the same share of the users. Half of them, drawn
anew for each split, are known by one reading of MobileNetV3-Large each; what processors have in common is fitted to the
readings of that half alone (but for the sizes of the deviations, which are those of all). The models are chosen for
them, and counted on the other half, where each processor picks by one reading or benchmark:

- from the published networks of the table, whose latencies on the other half were really measured;
- from the architectures of the bundle `imagenet`, by the shipped selector. Nobody measured those: their latencies there
  are what the cost model says that knows all readings of the processor, with the error that it still has.

The share of users that hold the budget is printed against the promised one, and the mean top-1 of one to four models.
Networks lie far apart, so that the rule often expects more than it must promise; this is printed too.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))
import cpu_pool as pool  # type: ignore[import-not-found, import-untyped, unused-ignore]

from nagsdk.budget import Budget
from nagsdk.common.quantiles import normal_probability
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.pool import Kernels
from nagsdk.cost.prior import read_prior
from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError
from nagsdk.generator.location import Location, locate
from nagsdk.pipeline.fleet_candidates import candidates
from nagsdk.pipeline.population import Member
from nagsdk.pipeline.selector import selector
from nagsdk.pipeline.target import Target

# Top-1 on ImageNet in per cent, as the papers (or torchvision, for the last four) give it. Networks that were not
# measured on every processor are left out, since they are missing on the slowest ones.
TOP1 = {
    "mobilenet_v1": 70.6, "mobilenet_v2": 72.0, "mnasnet_b1": 74.5, "proxyless_mobile": 74.6, "efficientnet_b0": 77.1,
    "squeezenet1_1": 58.2, "shufflenet_v2_x1_0": 69.4, "resnet18": 69.8, "resnet50": 76.1,
}  # fmt: skip
BUDGETS, SHARES, COUNTS = (150.0, 250.0, 400.0), (80.0, 90.0), (1, 2, 3, 4)
_CONFIDENCES = [normal_probability(z) for z in np.linspace(0.0, 3.0, 61)]


@dataclass
class Count:
    """Figures of one budget and share over all splits.

    Attributes:
        held: Shares that hold the budget on the other half, in per cent, by number of models.
        top1: Mean top-1 on the other half, by number of models.
        expected: Shares that the rule of the selector expects to hold it, in per cent, by number of models.
        impossible: Number of splits in which nothing holds the budget for the share.
    """

    held: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    top1: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    expected: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    impossible: int = 0


Counts = dict[tuple[float, float], Count]


def chance(limit: float, ms: float, spread: float) -> float:
    return normal_probability(math.log(limit / ms) / spread)


def chances(kernels: Kernels, processors: Sequence[pool.Processor], names: Sequence[str], limit: float) -> Floats:
    """Probabilities that processors hold a limit with networks, after their reading."""
    read = (pool.READ,)
    return np.array(
        [[chance(limit, *pool.predicted(kernels, one, read, name, None)) for name in names] for one in processors]
    )


def picked(fits: Floats, top1: Floats, models: Sequence[int], confidence: float) -> NDArray[np.intp]:
    """The most accurate of the models that a processor holds with this confidence; the least accurate one otherwise."""
    own = fits[:, list(models)] >= confidence
    own[:, -1] = True  # models are sorted by accuracy
    found: NDArray[np.intp] = np.asarray(models, np.intp)[own.argmax(1)]
    return found


def confidence_for(fits: Floats, top1: Floats, models: Sequence[int], promised: float) -> float:
    """The least confidence with which processors that pick for themselves hold the budget for the share."""
    every = np.arange(len(fits))
    for confidence in _CONFIDENCES:
        if fits[every, picked(fits, top1, models, confidence)].mean() >= promised:
            return confidence
    return _CONFIDENCES[-1]


def of_networks(
    kernels: Kernels, chosen_on: Sequence[pool.Processor], counted_on: Sequence[pool.Processor], counts: Counts
) -> None:
    """Chooses from published networks, and counts what was measured."""
    names = [name for name in TOP1 if all(name in one.readings for one in (*chosen_on, *counted_on))]
    top1 = np.array([TOP1[name] for name in names])
    shares, every = np.full(len(chosen_on), 1 / len(chosen_on)), np.arange(len(chosen_on))
    for (limit, share), count in counts.items():
        here, there = chances(kernels, chosen_on, names, limit), chances(kernels, counted_on, names, limit)
        for most, found in located(top1, here, shares, share, count):
            confidence = confidence_for(here, top1, found.models, share / 100)
            models = picked(there, top1, found.models, confidence)
            held = [one.readings[names[model]] <= limit for one, model in zip(counted_on, models, strict=True)]
            expected = here[every, picked(here, top1, found.models, confidence)]
            count.expected[most].append(100 * float(expected.mean()))
            count.held[most].append(100 * float(np.mean(held)))
            count.top1[most].append(float(top1[models].mean()))


def of_architectures(
    kernels: Kernels,
    whole: Kernels,
    target: Target,
    chosen_on: Sequence[pool.Processor],
    counted_on: Sequence[pool.Processor],
    counts: Counts,
) -> None:
    """Chooses from the architectures of a bundle, and counts by cost models of all readings."""
    space, table = target.bundle.space, FeatureTable.of(target.bundle.space)

    def model(fitted: Kernels, one: pool.Processor, names: Sequence[str]) -> CostModel:
        readings = [(name, pool.FEATURE_TABLE[name], one.readings[name]) for name in names]
        return CostModel.from_prior(space, fitted.prior(readings))

    members = [
        Member(one.name, 1 / len(chosen_on), (), target.device, target, model(kernels, one, (pool.READ,)))
        for one in chosen_on
    ]
    shares = np.array([member.share for member in members])
    truths = [model(whole, one, tuple(one.readings)) for one in counted_on]
    for (limit, share), count in counts.items():
        budget = Budget("latency", limit)
        codes, top1 = candidates(members, budget, 0)
        here = np.array([member.chances(codes, budget) for member in members])
        latencies = np.array([table.of_codes(codes) @ truth.prior.weights for truth in truths])
        for most, found in located(top1, here, shares, share, count):
            chosen = list(found.models)
            names = [str(number) for number in chosen]
            rule = selector(members, codes[chosen], top1[chosen], names, budget, share / 100)
            models = np.array([int(rule.pick("", float(row[chosen[-1]]))) for row in latencies])
            held = [
                chance(limit, float(row[number]), truth.prior.spread)
                for row, number, truth in zip(latencies, models, truths, strict=True)
            ]
            count.expected[most].append(rule.held)
            count.held[most].append(100 * float(np.mean(held)))
            count.top1[most].append(float(top1[models].mean()))


def located(top1: Floats, fits: Floats, shares: Floats, share: float, count: Count) -> Iterator[tuple[int, Location]]:
    """The best choice for every number of models; nothing where one model for all cannot hold the budget."""
    try:
        found = [locate(top1, fits, shares, share / 100, most) for most in COUNTS]
    except InfeasibleError:
        count.impossible += 1
        return
    yield from zip(COUNTS, found, strict=True)


def told(title: str, counts: Counts) -> None:
    """Prints the figures of all budgets and shares, and their means."""
    print(f"\n{title}")
    held_by, top1_of = "held by 1, 2, 3, 4 models", "mean top-1 of 1, 2, 3, 4 models"
    print(f"  {'budget':>8}{'promised':>10}{held_by:>34}{top1_of:>42}  splits")
    rows = []
    for (limit, share), count in counts.items():
        if not count.held[1]:
            print(f"  {limit:5g} ms{share:8g} %  cannot be held in any split")
            continue
        held = [float(np.mean(count.held[most])) for most in COUNTS]
        expected = [float(np.mean(count.expected[most])) for most in COUNTS]
        top1 = [float(np.mean(count.top1[most])) for most in COUNTS]
        rows.append((np.array(held) - share, np.array(held) - expected, np.array(top1)))
        shown = "".join(f"{value:8.1f}" for value in held)
        print(
            f"  {limit:5g} ms{share:8g} %{shown:>34}{''.join(f'{value:10.2f}' for value in top1):>42}"
            f"  {len(count.held[1])} ({count.impossible} impossible)"
        )
    off, surprise, top1 = (np.mean(part, axis=0) for part in zip(*rows, strict=True))
    print(f"  held less promised, in points: {'  '.join(f'{value:+.1f}' for value in off)}   (target: within 3)")
    print(f"  held less what the rule expects: {'  '.join(f'{value:+.1f}' for value in surprise)}")
    gains = "  ".join(f"{value - top1[0]:+.2f}" for value in top1[1:])
    print(f"  two, three, four models against one, points of mean top-1: {gains}   (target: two at least +0.3)")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=40)
    options = parser.parse_args()
    x86 = read_prior(pool.DEVICES / "cpu-prior.json").weights
    every = [one for one in pool.ncnn_processors(options.data / "ncnn_latencies.csv") if one.threads == 1]
    networks = sorted(set(pool.NCNN.values()))
    whole = pool.Deviations.start(every, pool.priced(every, x86), networks).fitted()

    def fit(some: Sequence[pool.Processor]) -> Kernels:
        found: Kernels = pool.Deviations(some, pool.priced(some, x86), whole.sizes, networks).kernels()
        return found

    target = Target("cpu", bundle="imagenet")
    measured: Counts = {(limit, share): Count() for limit in BUDGETS for share in SHARES}
    generated: Counts = {(limit, share): Count() for limit in BUDGETS for share in SHARES}
    rng = np.random.default_rng(0)
    for _ in range(options.splits):
        order = rng.permutation(len(every))
        first, second = ([every[n] for n in part] for part in np.array_split(order, 2))
        kernels = pool.calibrated(fit(first), pool.families_out(fit, first), [pool.READ])
        of_networks(kernels, first, second, measured)
        of_architectures(kernels, whole.kernels(), target, first, second, generated)
    print(f"{len(every)} processors, {options.splits} splits into halves, one reading of {pool.READ} each")
    told("Published networks, latencies measured on the other half", measured)
    told("Architectures of imagenet, latencies by cost models of all readings", generated)


if __name__ == "__main__":
    main()
