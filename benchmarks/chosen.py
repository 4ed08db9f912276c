"""Compares the top-1 that is shown for chosen architectures with what judges of four kinds predict for them.

    python benchmarks/chosen.py --data DIR [--devices 6] [--seeds 3] [--further]

DIR contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T, Apache-2.0). Splits,
generators and judges are those of benchmarks/generator.py, whose generators are trained the first time (about ten
minutes each) and kept. A predictor with intervals and `optimism` is fitted to the first half of the measurements, as
the shipped one is to all of them. What is chosen with it for 100 budgets on every device is shown with its prediction,
lowered by the optimism, and its interval. Judges of the second half say what it is worth.

Both halves have the same search runs in them. So the intervals that should hold here are those for further
architectures of known runs, calibrated on left-out architectures. The intervals that ship are calibrated on left-out
runs, for a run that nobody has seen, whose offset is in them; with --further these are shown too. Judges agree with the
steering predictor better than measurements do, because no predictor knows how a single architecture deviates. So the
measured architectures of the second half that lie on the predicted front are compared too. Takes ten minutes, with
--further twenty.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from generator import FIRST_DEVICE, MEASURED, RESOLUTION, judges, one_limit, split, trained

from nagsdk.cost.table import AdditiveTable, exact_table
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.space import MobileNetV3Space
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Lookup, Nag
from nagsdk.generator.strategy import Question
from nagsdk.generator.training_data import Devices
from nagsdk.predictor.features import Floats
from nagsdk.predictor.fit import fit_predictor
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import MeasuredSubnets
from nagsdk.predictor.halves import Half
from nagsdk.predictor.intervals import Judged, calibrated, on_front
from nagsdk.predictor.model import AccuracyPredictor, Resolutions
from nagsdk.predictor.optimism import optimism
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import Codes

METHODS = (Nag(), Lookup())
KNOWN, FURTHER = "known runs", "a further run"


def tables(space: MobileNetV3Space, count: int) -> list[AdditiveTable]:
    """MACs and random devices that no generator was trained on, at the resolution that was measured."""
    drawn = Devices(space)
    found = [exact_table(space, lambda layer: float(layer.macs))]
    found += [drawn.latency(np.random.default_rng(FIRST_DEVICE + n)) for n in range(count)]
    return [table.masked(resolution=space.resolution_index(RESOLUTION)) for table in found]


def of_known_runs(
    space: MobileNetV3Space, codes: Codes, top1: Floats, seed: int
) -> tuple[Half, dict[str, AccuracyPredictor]]:
    """The steering predictor of benchmarks/generator.py, and the same with intervals for architectures of its runs."""
    measured = MeasuredSubnets.of(space, codes, top1, None, seed)
    fitter = Fitter(space, measured, EnsembleRecipe(), seed)
    final = fitter.fit(np.ones(len(codes), bool))
    folds = range(len(measured.names))
    parts = [fitter.judge(fitter.fit(measured.outside(fold)), measured.group == fold) for fold in folds]
    # Left-out architectures of known runs are one group, of which the next ones are like these.
    interval, count = calibrated([Judged.joined(parts)]), len(space.resolutions)
    card = {"optimism": optimism(fitter, final, lambda _: None), "front": {"factor": on_front(parts, interval)}}
    resolutions = Resolutions(np.full(count, final.asymptote), np.ones(count), np.zeros(count), fitter.seen)
    score = fitter.additive(final, codes)
    known = AccuracyPredictor(space, final.ensemble, resolutions, interval, final.leverage, np.inf, score, card)
    return Half(space, final, score), {KNOWN: known}


def main() -> None:
    """Prints the table of every split and of all together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--devices", type=int, default=6, help="number of random devices (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="number of splits (default: %(default)s)")
    parser.add_argument("--further", action="store_true", help="also the intervals for a run that nobody has seen")
    options = parser.parse_args()
    space = ofa_mobilenet_v3()
    runs = read_architectures(options.data / MEASURED, space)[1]["run"]
    found: dict[str, list[tuple[list[float], list[float], float]]] = {}
    for seed in range(options.seeds):
        codes, top1, second = split(space, options.data, seed)
        steer, predictors = of_known_runs(space, codes[~second], top1[~second], seed)
        if options.further:
            predictors[FURTHER] = fit_predictor(
                space, codes[~second], top1[~second], source="half", groups=runs[~second], seed=seed
            )
        known = judges(space, options.data, seed)
        generator = trained(space, steer, seed)
        if not seed:
            print(
                f"{'shown less judged, covered by':34}" + "".join(f"{name:>20}" for name in (*known, "mean of kinds"))
            )
            print(f"{'':34}" + "  half-width, optimism")
        for method in METHODS:
            picked = []
            for table in tables(space, options.devices):
                proposed = method.propose(
                    Question(space, steer, [table], one_limit(table, steer), lambda g=generator: g, seed)  # type: ignore[misc]
                )
                picked.append(proposed[np.arange(len(proposed)), choose(steer, proposed)[:, 0]])
            chosen = np.unique(np.concatenate(picked), axis=0)
            judged = np.array([judge.predict(chosen).mean for judge in known.values()])
            judged = np.concatenate([judged, judged.mean(0, keepdims=True)])
            for what, predictor in predictors.items():
                rows = found.setdefault(f"{method.id}, {what}", [])
                rows.append(compared(predictor, chosen, judged))
                show(f"split {seed}: {method.id}, {what}", rows[-1:], f"{predictor.optimism:.3f}")
        for what, predictor in predictors.items():
            others, measured = codes[second], top1[second]
            macs = exact_table(space, lambda layer: float(layer.macs)).cost(others)
            front = Judged(measured, predictor.predict(others).mean, measured, measured, macs).front
            rows = found.setdefault(f"measured, {what}", [])
            rows.append(compared(predictor, others[front], measured[front][None]))
            show(f"split {seed}: {front.sum()} measured, {what}", rows[-1:], f"{predictor.optimism:.3f}")
    for name, rows in found.items():
        show(f"all: {name}", rows, "")


def compared(predictor: AccuracyPredictor, chosen: Codes, judged: Floats) -> tuple[list[float], list[float], float]:
    """What is shown less what each judge says, shape (judges, n), how much intervals cover, and their half-width."""
    shown = predictor.of_chosen(chosen)
    covered = ((shown.low <= judged) & (judged <= shown.high)).mean(1)
    return (shown.mean - judged).mean(1).tolist(), covered.tolist(), float((shown.high - shown.low).mean() / 2)


def show(title: str, rows: list[tuple[list[float], list[float], float]], optimism: str) -> None:
    """Prints one line: means over splits."""
    ahead, covered = (np.mean([row[i] for row in rows], axis=0) for i in (0, 1))
    cells = (f"{a:+12.3f} ({c:.0%})" for a, c in zip(ahead, covered, strict=True))
    half = np.mean([row[2] for row in rows])
    print(f"{title:34}" + "".join(f"{cell:>20}" for cell in cells) + f"   {half:.3f}, {optimism}", flush=True)


if __name__ == "__main__":
    main()
