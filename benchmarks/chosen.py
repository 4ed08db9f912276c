"""Compares the top-1 that is shown for chosen architectures with what judges of four kinds predict for them.

    python benchmarks/chosen.py --data DIR [--devices 6] [--seeds 3] [--further]

DIR contains ofa_mbv3_w1.0_imagenet_top1.csv (measured on ImageNet at 224 px; IntelLabs/DyNAS-T, Apache-2.0). Splits,
generators and judges are those of benchmarks/generator.py, whose generators are trained the first time (about ten
minutes each) and kept. A predictor with intervals and `optimism` is fitted to the first half of the measurements, as
the shipped one is to all of them. What is chosen with it for 100 budgets on every device is shown with its prediction,
lowered by the optimism, and its interval. Judges of the second half say what it is worth.

Both halves have the same search runs in them. So the intervals that should hold here are those for further
architectures of known runs, calibrated on left-out architectures. The intervals that ship are calibrated on left-out
runs, for a run that nobody has seen, whose offset is in them; with --further these are shown too.

An interval is one for a measured top-1, and a judge's word is none: no predictor knows how a single architecture
deviates, and it has no measurement noise. So the first share in brackets, of the bare words, should be above 90 %. The
second one is the coverage of what a judge expects of measurements: its word plus its errors on the 25 measured
architectures that are nearest in MACs and predicted top-1, each predicted by a fit of the judge's kind to the other
folds of the second half. The measured architectures of the second half that lie on the predicted front are compared
too. Takes five minutes on an idle core, with --further ten.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy reads it once, at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from generator import FIRST_DEVICE, MEASURED, RESOLUTION, judges, one_limit, split, trained
from numpy.typing import NDArray

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
from nagsdk.predictor.groups import MeasuredSubnets, folds
from nagsdk.predictor.halves import Half
from nagsdk.predictor.intervals import Judged
from nagsdk.predictor.kinds import JUDGES, features
from nagsdk.predictor.model import AccuracyPredictor, Resolutions
from nagsdk.predictor.optimism import optimism
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import Codes

METHODS = (Nag(), Lookup())
KNOWN, FURTHER = "known runs", "a further run"
NEIGHBOURS = 25
# Of one method: what is shown less what each judge says, the share of its words that intervals cover, the share of the
# measurements that it expects, and the mean half-width.
Row = tuple[list[float], list[float], list[float], float]


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
    numbers = range(len(measured.names))
    parts = [fitter.judge(fitter.fit(measured.outside(fold)), measured.group == fold) for fold in numbers]
    interval, factor = fitter.calibrated(parts)
    count = len(space.resolutions)
    card = {"optimism": optimism(fitter, final, lambda _: None), "front": {"factor": factor}}
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
    found: dict[str, list[Row]] = {}
    for seed in range(options.seeds):
        codes, top1, second = split(space, options.data, seed)
        steer, predictors = of_known_runs(space, codes[~second], top1[~second], seed)
        if options.further:
            predictors[FURTHER] = fit_predictor(
                space, codes[~second], top1[~second], source="half", groups=runs[~second], seed=seed
            )
        known = judges(space, options.data, seed)
        errors = with_mean(errors_of_judges(space, codes, top1, second, seed))
        generator = trained(space, steer, seed)
        if not seed:
            names = (*known, "mean of kinds", "all judges")
            print(f"{'shown less judged (coverage)':34}" + "".join(f"{name:>22}" for name in names))
            print(f"{'':34}" + "  half-width, optimism")
        others, measured = codes[second], top1[second]
        plane = Plane(space, steer, others)
        for method in METHODS:
            picked = []
            for table in tables(space, options.devices):
                proposed = method.propose(
                    Question(space, steer, [table], one_limit(table, steer), lambda g=generator: g, seed)  # type: ignore[misc]
                )
                picked.append(proposed[np.arange(len(proposed)), choose(steer, proposed)[:, 0]])
            chosen = np.unique(np.concatenate(picked), axis=0)
            judged = with_mean(np.array([judge.predict(chosen).mean for judge in known.values()]))
            near = errors[:, plane.nearest(chosen)]
            for what, predictor in predictors.items():
                rows = found.setdefault(f"{method.id}, {what}", [])
                rows.append(compared(predictor, chosen, judged, near))
                show(f"split {seed}: {method.id}, {what}", rows[-1:], f"{predictor.optimism:.3f}")
        front = Judged(measured, plane.top1, measured, measured, plane.macs).front
        for what, predictor in predictors.items():
            rows = found.setdefault(f"measured, {what}", [])
            exact = measured[front][None]
            rows.append(compared(predictor, others[front], exact, np.zeros((*exact.shape, 1))))
            show(f"split {seed}: {front.sum()} measured, {what}", rows[-1:], f"{predictor.optimism:.3f}")
    for name, rows in found.items():
        show(f"all: {name}", rows, "")


class Plane:
    """Measured architectures by MACs and by top-1 as the steering predictor says, each in standard deviations."""

    def __init__(self, space: MobileNetV3Space, steer: Half, codes: Codes) -> None:
        self._macs, self._steer = exact_table(space, lambda layer: float(layer.macs)), steer
        self.macs, self.top1 = self._macs.cost(codes), np.asarray(steer.predict(codes).mean)

    def nearest(self, codes: Codes) -> NDArray[np.intp]:
        """The measured architectures that are nearest to each of n others, shape (n, NEIGHBOURS)."""
        macs, top1 = self._macs.cost(codes), self._steer.predict(codes).mean
        apart = np.hypot(
            np.subtract.outer(macs, self.macs) / self.macs.std(), np.subtract.outer(top1, self.top1) / self.top1.std()
        )
        result: NDArray[np.intp] = apart.argsort(axis=1)[:, :NEIGHBOURS]
        return result


def errors_of_judges(
    space: MobileNetV3Space, codes: Codes, top1: Floats, second: NDArray[np.bool_], seed: int
) -> Floats:
    """Measured less predicted top-1 of the second half by every kind of judge, by folds, shape (kinds, n)."""
    x, y = features(space, codes)(codes[second]), top1[second]
    fold = folds(np.unique(codes[second], axis=0, return_inverse=True)[1].ravel(), seed)
    errors = np.empty((len(JUDGES), len(y)))
    for row, kind in zip(errors, JUDGES.values(), strict=True):
        for number in np.unique(fold):
            left_out = fold == number
            row[left_out] = y[left_out] - kind(x[~left_out], y[~left_out], seed)(x[left_out])
    return errors


def with_mean(of_kinds: Floats) -> Floats:
    """Adds the mean of the kinds as one more row."""
    return np.concatenate([of_kinds, of_kinds.mean(0, keepdims=True)])


def compared(predictor: AccuracyPredictor, chosen: Codes, judged: Floats, errors: Floats) -> Row:
    """Compares what is shown with judges.

    Args:
        predictor: What is shown comes from it.
        chosen: The architectures, n.
        judged: Top-1 that each judge predicts, shape (judges, n).
        errors: Errors of each judge near each architecture, shape (judges, n, k).
    """
    shown = predictor.of_chosen(chosen)
    expected = judged[..., None] + errors
    covered = ((shown.low <= judged) & (judged <= shown.high)).mean(1)
    held = ((shown.low[:, None] <= expected) & (expected <= shown.high[:, None])).mean((1, 2))
    half = float((shown.high - shown.low).mean() / 2)
    return (shown.mean - judged).mean(1).tolist(), covered.tolist(), held.tolist(), half


def show(title: str, rows: list[Row], optimism: str) -> None:
    """Prints one line: means over splits; the last cell has the mean of the coverages by each judge."""
    ahead, covered, held = (np.mean([row[i] for row in rows], axis=0) for i in (0, 1, 2))
    cells = [f"{a:+10.3f} ({c:.0%}, {h:.0%})" for a, c, h in zip(ahead, covered, held, strict=True)]
    if len(cells) > 1:
        cells.append(f"({covered[:-1].mean():.1%}, {held[:-1].mean():.1%})")
    half = np.mean([row[3] for row in rows])
    print(f"{title:34}" + "".join(f"{cell:>22}" for cell in cells) + f"   {half:.3f}, {optimism}", flush=True)


if __name__ == "__main__":
    main()
