"""Finds by how much the predicted top-1 of chosen architectures is too high because they were chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nagsdk.cost.table import exact_table
from nagsdk.predictor.fitter import Fit, Fitter
from nagsdk.predictor.groups import folds
from nagsdk.space.space import Codes

SPLITS = 2
_PICKS, _POOL, _RATE = 40, 4000, 0.15


def optimism(fitter: Fitter, final: Fit, done: Callable[[str], None]) -> dict[str, Any]:
    """Fits ensembles to two halves of the measurements; each chooses architectures that the other one judges.

    Both halves have the same kind of error, but the errors of the judge had no part in the choice. What the chooser
    predicts above the judge is in proportion to the spread of its members, and so it is for the final ensemble. One
    constant for all chosen architectures keeps their order, so that a larger budget never shows a lower top-1.

    Args:
        fitter: Fits ensembles to the measurements.
        final: The ensemble fitted to all of them.
        done: Called with a text after every two fits.

    Returns:
        The entry `optimism` of the predictor's card.
    """
    excess, spread = [], []
    for split in range(SPLITS):
        half = folds(fitter.measured.architecture, fitter.seed + split, 2)
        fits = [fitter.fit(half == number) for number in (0, 1)]
        for chooser, judge in (fits, fits[::-1]):
            picked = _picks(fitter, chooser, split)
            own = chooser.judge(fitter.space, picked, judge.predict(fitter.space, picked))
            excess.append(own.predicted - own.top1)
            spread.append(own.spread)
        done(f"halves, {split + 1} of {SPLITS}")
    factor = max(float(np.sum(excess) / np.sum(spread)), 0.0)
    picked = _picks(fitter, final, SPLITS)
    points = factor * float(final.judge(fitter.space, picked, final.predict(fitter.space, picked)).spread.mean())
    return {
        "points": round(points, 4),
        "per_spread": round(factor, 3),
        "chosen_less_judged": round(float(np.mean(excess)), 4),
        "text": (
            "A search prefers architectures whose top-1 is overestimated. The predicted top-1 of chosen architectures "
            "is therefore lowered by these points: by the mean spread of the members for chosen architectures times a "
            "factor, which comes from ensembles fitted to halves of the measurements, each of which chose "
            "architectures that the other one judged."
        ),
    }


def _picks(fitter: Fitter, chooser: Fit, seed: int) -> Codes:
    """The best of every cost by the chooser, from mutations of measured architectures at their resolutions."""
    space, rng = fitter.space, np.random.default_rng((fitter.seed, seed))
    codes = fitter.measured.codes[rng.integers(0, len(fitter.measured.codes), _POOL)]
    macs_of = exact_table(space, lambda layer: float(layer.macs))
    for _ in range(2):
        pool = space.mutate(codes, rng, _RATE)
        pool[:, 0] = codes[:, 0]
        macs, top1 = macs_of.cost(pool), chooser.predict(space, pool)
        best = pool[[part[top1[part].argmax()] for part in np.array_split(macs.argsort(), _PICKS)]]
        codes = np.repeat(best, _POOL // _PICKS, axis=0)
    return best
