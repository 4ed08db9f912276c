"""Compares every installed strategy at equal evaluations: on unseen devices by judges of four kinds, and by measuring.

    python benchmarks/searches.py [--data DIR] [--devices 20] [--sizes 1000,10000,100000] [--seeds 3] [--json FILE]
                                  [--tables strategies settings leaning glyphs]

With DIR, which contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T,
Apache-2.0), the strategies are asked for 10 budgets on every random device of benchmarks/generator.py. Steering
predictor, generator and judges are those of its first split. Each strategy may evaluate as many architectures as a size
says, for all budgets of a device together. A table says how far each is ahead of the generator by every judge, and by
their mean, with standard errors over the devices; another one how the generator fares if its candidates are ranked by a
predictor that leans on the additive score. Agents with settings are also run with all of them, and quantiles
show how much depends on that choice. Without DIR, only the last table is printed: on `glyphs`, the picks of every
strategy for 20 budgets of MACs are cut out of the supernet and measured on the bundle's test images.

The file of --json gets every answer as soon as it is known, and a run that finds one there does not ask again. So slow
strategies can run on fewer devices than others, and everything can be done in parts; the tables show all that the
file has, and `recipes/searches_picture.py FILE` draws it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from chosen import tables
from generator import halves, judges, trained
from generator_measured import measured

from nagsdk.budget import MACS
from nagsdk.bundle.bundle import load_bundle
from nagsdk.common.files import write_atomically
from nagsdk.cost.bounds import Completions
from nagsdk.errors import NagsdkError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.generator.counted import Counted
from nagsdk.generator.frontier import frontier
from nagsdk.generator.generator import Generator
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag
from nagsdk.generator.strategy import Question, Strategy, WithOptions
from nagsdk.pipeline.models import question as asked_of
from nagsdk.pipeline.target import Target
from nagsdk.plugin.host import host
from nagsdk.predictor.features import Floats
from nagsdk.predictor.halves import Half, Judge
from nagsdk.space.space import Codes

BUDGETS, FIRST = 10, "nag"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
SETTING = "setting"
# What identifies a row, and what its table shows means of.
ASKED, MEANS = ("strategy", "size", "device", "seed"), ("evaluated", "seconds")
Row = Mapping[str, Any]
TABLES = ("strategies", "settings", "leaning", "glyphs")


def strategies(named: str) -> list[Strategy]:
    """The strategies to compare; all installed ones if none is named."""
    glyphs = load_bundle("glyphs")
    return [host().strategy(name, glyphs) for name in named.split()] or list(host().strategies)


def picks(strategy: Strategy, question: Question, counted: Counted) -> Codes:
    """What a strategy picks for every budget, by a predictor with a hard limit of evaluations."""
    codes = strategy.propose(replace(question, predictor=counted, evaluations=counted.most))
    first = np.zeros(len(codes), int) if codes.shape[1] == 1 else choose(counted, codes)[:, 0]
    picked: Codes = codes[np.arange(len(codes)), first]
    assert question.within(picked[:, None]).all(), f"{strategy.id} broke a limit"
    return picked


@cache
def world(data: Path) -> tuple[MobileNetV3Space, Half, dict[str, Judge], Generator]:
    """The space, the steering predictor, the judges and the generator: fitted once for all tables."""
    space = ofa_mobilenet_v3()
    steer, *_ = halves(space, data, 0)
    return space, steer, judges(space, data, 0), trained(space, steer, 0)


def compared(
    data: Path, chosen: Sequence[Strategy], sizes: Sequence[int], devices: int, seeds: int, kept: Path | None = None
) -> list[Row]:
    """One row for every strategy, size, device and seed: mean top-1 over the budgets by every judge, and seconds.

    A file keeps the rows if one is given. Rows that it has already are returned with the others.
    """
    space, steer, known, generator = world(data)
    rows: list[Row] = json.loads(kept.read_text("utf-8")) if kept and kept.is_file() else []
    done = {tuple(row[key] for key in ASKED) for row in rows}
    for number, table in enumerate(tables(space, devices)[1:]):
        every = itertools.product(chosen, sizes, range(seeds))
        todo = [
            (strategy, size, seed) for strategy, size, seed in every if (strategy.id, size, number, seed) not in done
        ]
        if not todo:
            continue
        best = frontier(space, table, steer.additive)
        limits = np.linspace(best.cost[0], best.cost[-1], BUDGETS + 2)[1:-1, None]
        question = Question(space, steer, [table], limits, lambda: generator)
        chance = question.random(100, np.random.default_rng(0)).reshape(-1, len(space.sizes))
        least = {name: float(judge.predict(chance).mean.mean()) for name, judge in known.items()}
        for strategy, size, seed in todo:
            counted, begun = Counted(steer, size), time.process_time()
            try:
                picked = picks(strategy, replace(question, seed=seed), counted)
            except NagsdkError as error:
                print(f"{strategy.id}: {error}", file=sys.stderr)
                continue
            seconds, used = time.process_time() - begun, len(counted.known)
            top1 = {name: float(judge.predict(picked).mean.mean()) for name, judge in known.items()}
            gain = float(np.mean([100 * (top1[name] - least[name]) / least[name] for name in top1]))
            believed = float(steer.predict(picked).mean.mean())
            asked = dict(zip(ASKED, (strategy.id, size, number, seed), strict=True))
            found = {"evaluated": used, "seconds": seconds, "top1": top1, "improvement": gain, "believed": believed}
            rows.append({**asked, **found})
            print(f"{asked}: {gain:.3f} %, {used} evaluations, {seconds:.2f} s", file=sys.stderr, flush=True)
            if kept:
                write_atomically(kept, json.dumps(rows, indent=1).encode())
    return rows


def by_device(rows: Sequence[Row], value: Callable[[Row], Any]) -> dict[int, list[float]]:
    """What rows of one strategy and size have on every device, for each seed."""
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row["device"], []).append(value(row))
    return found


def means(rows: Sequence[Row], name: str, size: int, value: Callable[[Row], Any]) -> dict[int, float]:
    """What a strategy has on every device, means over the seeds."""
    own = [row for row in rows if (row["strategy"], row["size"]) == (name, size)]
    return {device: float(np.mean(values)) for device, values in by_device(own, value).items()}


def ahead(rows: Sequence[Row], name: str, size: int, value: Callable[[Row], Any]) -> Floats:
    """How far a strategy is ahead of the generator on every device that both have."""
    one, other = (means(rows, which, size, value) for which in (name, FIRST))
    return np.array([one[device] - other[device] for device in sorted(one.keys() & other.keys())])


def improvement(rows: Sequence[Row], name: str, size: int) -> float:
    """Improvement over the average random architecture: the generator's, and how far a strategy is ahead of that.

    Devices differ more than strategies, so the difference counts on the devices on which the strategy ran.
    """

    def gain(row: Row) -> Any:
        return row["improvement"]

    base = np.mean([*means(rows, FIRST, size, gain).values()])
    return float(base + ahead(rows, name, size, gain).mean())


def shown(values: Floats) -> str:
    """Mean and standard error."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():+.4f} ± {error:.4f}"


def of_kinds(row: Row) -> float:
    """The mean of the judges' top-1."""
    return float(np.mean([*row["top1"].values()]))


def between_seeds(rows: Sequence[Row]) -> float:
    """Standard deviation of the mean of the judges' top-1 over the seeds of a device; nan where no device has two."""
    found = [np.var(values, ddof=1) for values in by_device(rows, of_kinds).values() if len(values) > 1]
    return float(np.sqrt(np.mean(found))) if found else float("nan")


def show(rows: Sequence[Row]) -> None:
    """Prints a table for each size, best first by the mean of the judges."""
    kinds = list(rows[0]["top1"])
    heads = (*kinds, "mean of kinds", "steering")
    for size in sorted({row["size"] for row in rows}):
        print(f"\n{size:,} evaluations for {BUDGETS} budgets: points of top-1 ahead of {FIRST}, ± standard error")
        print(f"{'strategy':20}" + "".join(f"{head:>20}" for head in heads), end="")
        print(f"{'over random':>13}{'devices':>9}{'seeds':>6}{'sd of seeds':>13}{'evaluated':>11}{'seconds':>9}")
        lines = []
        for name in dict.fromkeys(row["strategy"] for row in rows):
            own = [row for row in rows if (row["strategy"], row["size"]) == (name, size)]
            if own:
                values: list[Any] = [
                    *(lambda row, kind=kind: row["top1"][kind] for kind in kinds),
                    *(of_kinds, lambda row: row["believed"]),
                ]
                cells = [shown(ahead(rows, name, size, value)) for value in values]
                used, seconds = (np.mean([row[key] for row in own]) for key in MEANS)
                devices, seeds = (len({row[key] for row in own}) for key in ("device", "seed"))
                line = f"{name:20}" + "".join(f"{cell:>20}" for cell in cells)
                line += f"{improvement(rows, name, size):11.3f} %"
                line += f"{devices:9}{seeds:6}{between_seeds(own):13.4f}{used:11.0f}{seconds:9.2f}"
                lines.append((-ahead(rows, name, size, of_kinds).mean(), line))
        print("\n".join(line for _, line in sorted(lines)), flush=True)


def lottery(data: Path, devices: int, size: int) -> None:
    """Prints quantiles of agents over their settings: how much the choice of hyper-parameters decides."""
    known = [strategy for strategy in host().strategies if SETTING in strategy.options]
    every = [WithOptions(s, f"{SETTING}={value}") for s in known for value in s.options[SETTING]]
    rows = compared(data, every, [size], devices, 1)
    print(f"\nimprovement over the average random architecture by setting, {size:,} evaluations")
    for strategy in known:
        of = [row["improvement"] for row in rows if row["strategy"].partition(":")[0] == strategy.id]
        if of:
            low, middle, high = np.quantile(of, (0.0, 0.5, 1.0))
            print(f"{strategy.id:12} worst {low:.3f} %, median {middle:.3f} %, best {high:.3f} %", flush=True)


class Leaning:
    """A steering predictor that leans on its additive score by a share."""

    def __init__(self, predictor: Half, share: float) -> None:
        self.predictor, self.share = predictor, share
        self.additive, self.hash = predictor.additive, predictor.hash

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` is the top-1 in per cent."""
        score = self.additive
        top1 = np.minimum(self.predictor.predict(codes).mean, score.asymptote - 1e-6)
        return SimpleNamespace(
            mean=score.inverse((1 - self.share) * score.link(top1) + self.share * score.score(codes))
        )


def leaning(data: Path, devices: int, sizes: Sequence[int]) -> None:
    """Prints how far the generator is ahead of `lookup` if its candidates are ranked with such predictors."""
    space, steer, known, generator = world(data)
    print("\nnag ahead of lookup by the mean of the judges, by the share of the additive score in the ranking")
    for size in sizes:
        found: dict[float, list[float]] = {}
        for table in tables(space, devices)[1:]:
            best = frontier(space, table, steer.additive)
            limits = np.linspace(best.cost[0], best.cost[-1], BUDGETS + 2)[1:-1, None]
            asked = Question(space, steer, [table], limits, lambda: generator)
            exact = picks(Lookup(), asked, Counted(steer, size))
            for share in SHARES:
                own = picks(Nag(), asked, Counted(Leaning(steer, share), size))
                gains = [(judge.predict(own).mean - judge.predict(exact).mean).mean() for judge in known.values()]
                found.setdefault(share, []).append(float(np.mean(gains)))
        print(
            f"{size:,} evaluations: " + ", ".join(f"{s:g}: {shown(np.array(g))}" for s, g in found.items()), flush=True
        )


def on_glyphs(chosen: Sequence[Strategy], count: int, size: int) -> None:
    """Prints the measured top-1 of the picks of every strategy, with standard errors over the picks."""
    target = Target("cpu", "glyphs")
    table = target.costs.table(MACS, None)
    bounds = Completions.of(target.bundle.space, table)
    shares = np.linspace(0.05, 0.7, count)[:, None]
    question = asked_of(target, [table], bounds.least + shares * (bounds.most - bounds.least), 0)
    known: dict[bytes, float] = {}
    first: Floats | None = None
    print(f"\nglyphs, {count} budgets of MACs, {size:,} evaluations: measured top-1 on the test images")
    for strategy in chosen:
        try:
            picked = picks(strategy, question, Counted(question.predictor, size))
        except NagsdkError as error:
            print(f"{strategy.id}: {error}", file=sys.stderr)
            continue
        for code in picked:
            if code.tobytes() not in known:
                known[code.tobytes()] = measured(target.bundle, code)
        values = np.array([known[code.tobytes()] for code in picked])
        first = values if first is None else first
        predicted = target.bundle.predictor.predict(picked).mean.mean()
        print(
            f"{strategy.id:20} measured {values.mean():.3f} %, minus {chosen[0].id} {shown(values - first)}, "
            f"predicted {predicted:.3f} %",
            flush=True,
        )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--devices", type=int, default=20, help="number of random devices (default: %(default)s)")
    parser.add_argument("--sizes", default="1000,10000,100000", help="evaluations (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--picks", type=int, default=20, help="budgets on glyphs, 0 for none (default: %(default)s)")
    parser.add_argument("--strategies", default="", help="ids, separated by spaces; the first is nag (default: all)")
    parser.add_argument("--json", type=Path, help="file for all figures of all devices")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen, sizes = strategies(options.strategies), [int(size) for size in options.sizes.split(",")]
    if chosen[0].id != FIRST:
        parser.error(f"the first strategy must be {FIRST}, with which the others are compared")
    if options.data is not None and "strategies" in options.tables:
        show(compared(options.data, chosen, sizes, options.devices, options.seeds, options.json))
    if options.data is not None and "settings" in options.tables:
        lottery(options.data, min(3, options.devices), sizes[0])
    if options.data is not None and "leaning" in options.tables:
        leaning(options.data, options.devices, sizes)
    if options.picks and "glyphs" in options.tables:
        on_glyphs(chosen, options.picks, sizes[0])


if __name__ == "__main__":
    main()
