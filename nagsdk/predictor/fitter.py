"""Fits ensembles to parts of the measurements and judges them on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import exact_table
from nagsdk.predictor.additive import AdditiveScore, distil, fit_asymptote, inverse, link, ridge
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets, folds
from nagsdk.predictor.intervals import Judged, LeftOut, calibrated, on_front
from nagsdk.predictor.model import Interval
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.space import Codes, SearchSpace

Mask = NDArray[np.bool_]
# Members must differ, since intervals and the correction of chosen architectures rest on their spread.
_MOST_OF_SUM = 0.9


@dataclass(frozen=True)
class Fit:
    """One fitted ensemble, and a sum over choices fitted to the same measurements.

    Attributes:
        asymptote: Asymptote of the link in per cent.
        ensemble: Networks that read one-hot rows.
        leverage: Matrix of the leverage; see `AccuracyPredictor`.
        weights: Weights of the sum, of one-hot rows, shape (inputs,).
        level: Constant of the sum.
    """

    asymptote: float
    ensemble: Ensemble
    leverage: Float32s
    weights: Floats
    level: float

    def leaning(self, share: float) -> Fit:
        """The fit with an ensemble that leans on the sum by a share."""
        return replace(self, ensemble=self.ensemble.mixed(share, self.weights, self.level))

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


@dataclass(frozen=True)
class Compared:
    """Ensemble and sum on measurements that neither was fitted to.

    Attributes:
        ensemble: Linked predictions of the ensemble, shape (n,).
        sums: Those of the sum.
        asymptote: Asymptote of the link in per cent.
        top1: Measured top-1 in per cent.
    """

    ensemble: Floats
    sums: Floats
    asymptote: float
    top1: Floats


def share_of_sum(compared: Iterable[Compared]) -> float:
    """The share of the sum with which the mixture predicts left-out measurements best."""
    from scipy.optimize import minimize_scalar

    parts = list(compared)

    def error(share: float) -> float:
        mixed = (inverse((1 - share) * part.ensemble + share * part.sums, part.asymptote) - part.top1 for part in parts)
        return sum(float(np.square(residual).sum()) for residual in mixed)

    return float(minimize_scalar(error, bounds=(0.0, _MOST_OF_SUM), method="bounded").x)


class Fitter:
    """Fits ensembles to parts of the measurements, always in the same way.

    A sum over choices has few parameters, so that it is better where few architectures are measured; where many are,
    the ensemble is. So ensembles lean on the sum by the share that predicts left-out groups best.
    """

    def __init__(self, space: SearchSpace, measured: MeasuredSubnets, recipe: EnsembleRecipe, seed: int) -> None:
        self.space, self.measured, self.recipe, self.seed = space, measured, recipe, seed
        self.seen = np.isin(np.arange(len(space.resolutions)), measured.codes[:, 0])
        self.map = feature_map(space, self.seen)
        self.features = space.one_hot(measured.codes) @ self.map
        self._known: dict[bytes, Fit] = {}

    def fit(self, rows: Mask) -> Fit:
        """Fits an ensemble to the rows of a mask of shape (n,)."""
        return self.alone(rows).leaning(self.share)

    def alone(self, rows: Mask) -> Fit:
        """Fits an ensemble that does not lean on the sum; it is kept, since masks come again."""
        key = rows.tobytes()
        if key not in self._known:
            x, top1 = self.features[rows], self.measured.top1[rows]
            asymptote = fit_asymptote(x, top1, folds(self.measured.architecture[rows], self.seed))
            ensemble = train_ensemble(x, link(top1, asymptote), self.recipe, self.seed).behind(self.map)
            root = np.linalg.cholesky(np.linalg.inv(x.T @ x + np.eye(x.shape[1])))
            weights, level = ridge(x, top1, asymptote)
            leverage = (self.map @ root).astype(np.float32)
            self._known[key] = Fit(asymptote, ensemble, leverage, self.map @ weights, level)
        return self._known[key]

    @cached_property
    def share(self) -> float:
        """Share by which the ensembles lean on the sum."""
        groups = range(len(self.measured.names))
        return self._share([(self.measured.outside(g), self.measured.group == g) for g in groups])

    def _share(self, parts: Iterable[tuple[Mask, Mask]]) -> float:
        """The share for pairs of the rows that are fitted to and those that are left out."""
        compared = []
        for rows, left_out in parts:
            fitted, inputs = self.alone(rows), self.space.one_hot(self.measured.codes[left_out])
            sums = inputs @ fitted.weights + fitted.level
            compared.append(
                Compared(fitted.ensemble(inputs).mean(1), sums, fitted.asymptote, self.measured.top1[left_out])
            )
        return share_of_sum(compared)

    def judge(self, fitted: Fit, rows: Mask) -> Judged:
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

    def calibrated(self, parts: Sequence[Judged]) -> tuple[Interval, float]:
        """Computes the interval from left-out groups, and its factor on the front.

        Runs differ, so each of them must be covered. Random folds do not, and the one that is hardest by chance would
        make every interval too wide: they are one group.
        """
        groups = [Judged.joined(parts)] if self.measured.random else parts
        interval = calibrated(groups)
        return interval, on_front(groups, interval)

    def left_out(self, done: Callable[[str], None] = lambda text: None) -> list[LeftOut]:
        """Leaves out each group in turn, with an interval and its factor on the front, calibrated without it.

        The interval for a group, and the share of the sum, come from the other groups; each of these is predicted by a
        fit to neither of the two.
        """
        outside, group, count = self.measured.outside, self.measured.group, len(self.measured.names)
        for a, b in combinations(range(count), 2):
            self.alone(outside(a, b))
            done(f"without {self.measured.names[a]} and {self.measured.names[b]}")
        result = []
        for g, name in enumerate(self.measured.names):
            parts = [(outside(g, other), (group == other) & outside(g)) for other in range(count) if other != g]
            share = self._share(parts)
            inner = [self.judge(self.alone(rows).leaning(share), left_out) for rows, left_out in parts]
            judged = self.judge(self.alone(outside(g)).leaning(share), group == g)
            result.append(LeftOut(name, judged, *self.calibrated(inner)))
            done(f"without {name}")
        return result
