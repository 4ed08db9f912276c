"""Fits ensembles to parts of the measurements and judges them on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import exact_table
from nagsdk.predictor.additive import AdditiveScore, distil, fit_asymptote, inverse, link
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets, folds
from nagsdk.predictor.intervals import Judged, LeftOut, calibrated, on_front
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.space import Codes, SearchSpace


@dataclass(frozen=True)
class Fit:
    """One fitted ensemble.

    Attributes:
        asymptote: Asymptote of the link in per cent.
        ensemble: Networks that read one-hot rows.
        leverage: Matrix of the leverage; see `AccuracyPredictor`.
    """

    asymptote: float
    ensemble: Ensemble
    leverage: Float32s

    def predict(self, space: SearchSpace, codes: Codes) -> Floats:
        """Predicts the top-1 in per cent, shape (n,)."""
        return inverse(self.ensemble(space.one_hot(codes)).mean(1), self.asymptote)

    def judge(self, space: SearchSpace, codes: Codes, top1: Floats) -> Judged:
        """Compares predictions with measurements that the ensemble was not fitted to."""
        rows = space.one_hot(codes)
        outputs = self.ensemble(rows)
        gap = np.exp(-outputs.mean(1))
        leverage = np.square(rows @ self.leverage).sum(1)
        macs = exact_table(space, lambda layer: float(layer.macs)).cost(codes)
        return Judged(top1, self.asymptote - gap, gap * outputs.std(1), leverage, macs)


class Fitter:
    """Fits ensembles to parts of the measurements, always in the same way."""

    def __init__(self, space: SearchSpace, measured: MeasuredSubnets, recipe: EnsembleRecipe, seed: int) -> None:
        self.space, self.measured, self.recipe, self.seed = space, measured, recipe, seed
        self.seen = np.isin(np.arange(len(space.resolutions)), measured.codes[:, 0])
        self.map = feature_map(space, self.seen)
        self.features = space.one_hot(measured.codes) @ self.map

    def fit(self, rows: NDArray[np.bool_]) -> Fit:
        """Fits an ensemble to the rows of a mask of shape (n,)."""
        x, top1 = self.features[rows], self.measured.top1[rows]
        asymptote = fit_asymptote(x, top1, folds(self.measured.architecture[rows], self.seed))
        ensemble = train_ensemble(x, link(top1, asymptote), self.recipe, self.seed).behind(self.map)
        root = np.linalg.cholesky(np.linalg.inv(x.T @ x + np.eye(x.shape[1])))
        return Fit(asymptote, ensemble, (self.map @ root).astype(np.float32))

    def judge(self, fitted: Fit, rows: NDArray[np.bool_]) -> Judged:
        """Compares a fit with the rows of a mask of shape (n,)."""
        return fitted.judge(self.space, self.measured.codes[rows], self.measured.top1[rows])

    def additive(self, fitted: Fit, codes: Codes) -> AdditiveScore:
        """Fits the additive score to an ensemble, around the architectures that the ensemble was fitted to."""
        rng = np.random.default_rng(self.seed)
        return distil(self.space, lambda c: fitted.predict(self.space, c), codes, fitted.asymptote, rng)

    def folds(self, done: Callable[[str], None] = lambda text: None) -> tuple[Judged, Judged]:
        """Cross-validates ensemble and additive score with five folds, grouped by architecture."""
        fold, codes = folds(self.measured.architecture, self.seed), self.measured.codes
        parts, scored = [], []
        for f in range(FOLDS):
            left_out = fold == f
            fitted = self.fit(~left_out)
            parts.append(self.judge(fitted, left_out))
            score = self.additive(fitted, codes[~left_out])
            scored.append(replace(parts[-1], predicted=score.inverse(score.score(codes[left_out]))))
            done(f"fold {f + 1} of {FOLDS}")
        return Judged.joined(parts), Judged.joined(scored)

    def left_out(self, done: Callable[[str], None] = lambda text: None) -> list[LeftOut]:
        """Leaves out each group in turn, with an interval and its factor on the front, calibrated without it.

        The interval for a group comes from the other groups; each of these is predicted by a fit to neither of the two.
        """
        count = len(self.measured.names)
        inner: dict[int, list[Judged]] = {g: [] for g in range(count)}
        for a, b in combinations(range(count), 2):
            fitted = self.fit(self.measured.outside(a, b))
            for left_out, other in ((a, b), (b, a)):
                rows = (self.measured.group == other) & self.measured.outside(left_out)
                inner[left_out].append(self.judge(fitted, rows))
            done(f"without {self.measured.names[a]} and {self.measured.names[b]}")
        result = []
        for g, name in enumerate(self.measured.names):
            judged = self.judge(self.fit(self.measured.outside(g)), self.measured.group == g)
            interval = calibrated(inner[g])
            result.append(LeftOut(name, judged, interval, on_front(inner[g], interval)))
            done(f"without {name}")
        return result
