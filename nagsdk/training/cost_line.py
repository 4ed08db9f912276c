"""What remains of an accuracy predictor where subnets cannot be told apart: top-1 as a line over their cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from nagsdk.cost.table import exact_table
from nagsdk.predictor.features import Floats
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets, folds
from nagsdk.predictor.intervals import Judged
from nagsdk.predictor.model import LEVEL, AccuracyPredictor, Interval, Resolutions
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import Codes, SearchSpace

# Points of top-1 for twice the cost: enough that a larger budget is used, too few to be shown.
_LEAST_SLOPE = 0.02
_EXAMPLES = 1500
# No architecture is far from the measured ones in the one feature that counts.
_REACH = 1e5


@dataclass(frozen=True)
class CostLine:
    """Top-1 in per cent as a line over the logarithm of multiply-accumulates, which never falls.

    Attributes:
        level: Top-1 at one multiply-accumulate.
        slope: Points for twice the cost.
    """

    level: float
    slope: float

    @classmethod
    def fitted(cls, macs: Floats, top1: Floats) -> CostLine:
        """Fits the line by least squares."""
        cost = np.log2(macs)
        spread = float(np.var(cost))
        slope = float(np.cov(cost, top1, bias=True)[0, 1]) / spread if spread else 0.0
        slope = max(slope, _LEAST_SLOPE)
        return cls(float(top1.mean() - slope * cost.mean()), slope)

    def __call__(self, macs: Floats) -> Floats:
        """Returns the top-1 in per cent, shape (n,)."""
        result: Floats = self.level + self.slope * np.log2(macs)
        return result


def macs_of(space: SearchSpace, codes: Codes) -> Floats:
    """The exact numbers of multiply-accumulates, shape (n,)."""
    return exact_table(space, lambda layer: float(layer.macs)).cost(codes)


def judged_line(space: SearchSpace, codes: Codes, top1: Floats, seed: int) -> Judged:
    """Compares lines with subnets that were left out of their fit, in five folds.

    Args:
        space: Search space of the subnets.
        codes: Codes of measured subnets, int8, shape (n, decisions).
        top1: Measured top-1 in per cent, shape (n,).
        seed: Seed of the folds.
    """
    macs, fold = macs_of(space, codes), folds(np.unique(codes, axis=0, return_inverse=True)[1].ravel(), seed)
    predicted = np.empty_like(top1)
    for number in range(FOLDS):
        out = fold == number
        predicted[out] = CostLine.fitted(macs[~out], top1[~out])(macs[out])
    return Judged(top1, predicted, np.zeros_like(top1), np.zeros_like(top1), macs)


def noise_of_tau(count: int) -> float:
    """The standard deviation of Kendall's tau of unrelated values.

    Args:
        count: Number of pairs of values.
    """
    return math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))


def cost_predictor(
    space: SearchSpace,
    codes: Codes,
    top1: Floats,
    recipe: EnsembleRecipe,
    facts: Mapping[str, Any],
    seed: int,
) -> AccuracyPredictor:
    """Makes an accuracy predictor that only knows the cost of architectures.

    Args:
        space: Search space of the subnets.
        codes: Codes of measured subnets, int8, shape (n, decisions).
        top1: Measured top-1 in per cent, shape (n,).
        recipe: Settings of the ensemble, which learns the line for the space.
        facts: Additional entries of the card.
        seed: Seed of all random choices.
    """
    judged, line = judged_line(space, codes, top1, seed), CostLine.fitted(macs_of(space, codes), top1)
    missed = np.abs(judged.predicted - judged.top1)
    half = float(np.sort(missed)[min(math.ceil(LEVEL * (len(missed) + 1)), len(missed)) - 1])
    examples = space.sample(_EXAMPLES, np.random.default_rng(seed))
    shown = np.clip(line(macs_of(space, examples)), 0.01, 99.99)
    fitter = Fitter(space, MeasuredSubnets.of(space, examples, shown, None, seed), recipe, seed)
    final = fitter.fit(np.ones(len(examples), dtype=bool))
    count = len(space.resolutions)
    resolutions = Resolutions(np.full(count, final.asymptote), np.ones(count), np.zeros(count), np.ones(count, bool))
    figures = {**judged.figures(), "kendall_tau": float(np.nan_to_num(judged.figures()["kendall_tau"]))}
    card = {
        "fitted_at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
        "seed": seed,
        "recipe": asdict(recipe),
        "line": asdict(line),
        "data": {"evaluations": len(codes), "architectures": len(np.unique(codes, axis=0))},
        "folds": {"folds": FOLDS, "grouped_by": "architecture", **figures},
        "left_out": [{"left_out": "five folds", **figures, "coverage_90": float(np.mean(missed <= half)),
                      "mean_half_width": round(half, 3)}],
        "optimism": {"points": 0.0, "text": "Nothing is chosen for its predicted top-1 but for its cost."},
        **facts,
    }  # fmt: skip
    return AccuracyPredictor(
        space, final.ensemble, resolutions, Interval(1.0, half, 0.0), final.leverage, _REACH,
        fitter.additive(final, examples), card,
    )  # fmt: skip
