"""Fits an accuracy predictor to measured architectures and measures its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.cost.table import exact_table
from nagsdk.events import Listener, ignore, stage
from nagsdk.predictor.additive import AdditiveScore, distil, fit_asymptote, inverse, link
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets, folds
from nagsdk.predictor.intervals import Judged, LeftOut, calibrated
from nagsdk.predictor.model import AccuracyPredictor, Resolutions
from nagsdk.predictor.optimism import SPLITS, optimism
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.space import Codes, SearchSpace

_REACH_QUANTILE = 0.99


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
        """Leaves out each group in turn, with an interval calibrated without it.

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
            result.append(LeftOut(name, judged, calibrated(inner[g])))
            done(f"without {name}")
        return result


def fit_predictor(
    space: SearchSpace,
    codes: Codes,
    top1: ArrayLike,
    *,
    source: str,
    groups: ArrayLike | None = None,
    facts: Mapping[str, Any] | None = None,
    recipe: EnsembleRecipe | None = None,
    seed: int = 0,
    on_event: Listener = ignore,
) -> AccuracyPredictor:
    """Fits an ensemble, calibrates its intervals on left-out measurements, and writes the card.

    Args:
        space: Search space of the architectures.
        codes: Codes of measured architectures, int8, shape (n, decisions); one may be measured several times.
        top1: Measured top-1 in per cent, shape (n,).
        source: Source of the measurements, for the card.
        groups: Name of the search run, or of another origin, of every row, shape (n,). Intervals are calibrated on
            whole groups that are left out; None uses five folds of architectures.
        facts: Additional entries of the card.
        recipe: Settings of the training of ensembles.
        seed: Seed of all random choices; the same seed gives the same result.
        on_event: Receives progress.

    Raises:
        UsageError: There are too few measurements.
        ArchitectureError: A code is invalid in the space.
    """
    measured = MeasuredSubnets.of(space, codes, top1, groups, seed)
    fitter = Fitter(space, measured, recipe or EnsembleRecipe(), seed)
    fits = len(measured.names) * (len(measured.names) + 1) // 2 + FOLDS + SPLITS + 1
    with stage(on_event, "Fitting the accuracy predictor", fits) as advance:
        counter = iter(range(1, fits + 1))

        def done(text: str) -> None:
            advance(next(counter), text)

        ensemble, additive = fitter.folds(done)
        left_out = fitter.left_out(done)
        final = fitter.fit(np.ones(len(measured.codes), dtype=bool))
        done("all measurements")
        chosen = optimism(fitter, final, done)
    judged = [group.judged for group in left_out]
    reach = float(np.quantile(np.concatenate([j.leverage for j in judged]), _REACH_QUANTILE))
    count = len(space.resolutions)
    resolutions = Resolutions(np.full(count, final.asymptote), np.ones(count), np.zeros(count), fitter.seen)
    card = {
        "source": source,
        "fitted_at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
        "seed": seed,
        "recipe": asdict(fitter.recipe),
        "data": _describe(space, measured, fitter.seen),
        "asymptote": round(final.asymptote, 3),
        "folds": {"folds": FOLDS, "grouped_by": "architecture", **ensemble.figures()},
        "left_out": [group.figures() for group in left_out],
        "additive": {"fitted_to": "predictions around the measured architectures", "folds": additive.figures()},
        **_EXPLANATIONS,
        "optimism": chosen,
        **(facts or {}),
    }
    score = fitter.additive(final, measured.codes)
    return AccuracyPredictor(space, final.ensemble, resolutions, calibrated(judged), final.leverage, reach, score, card)


_EXPLANATIONS: dict[str, Any] = {
    "intervals": (
        "90 % intervals for one measured top-1, from the spread of the members and a constant, scaled to cover 90 % of "
        "each left-out group. The coverage of each group, of its nearer and its farther half, of its quarters by MACs, "
        "and of its predicted front of top-1 over MACs, was measured with intervals calibrated without the group."
    ),
    "extrapolated": (
        "True if top-1 was not measured at the resolution, or if the leverage of the architecture exceeds that of 99 % "
        "of the left-out architectures: accuracy and coverage were not tested so far from the measured architectures."
    ),
    "warnings": [
        "This architecture differs much from those that the accuracy predictor was fitted to, so the error of its "
        "predicted top-1 is unknown."
    ],
}


def _describe(space: SearchSpace, measured: MeasuredSubnets, seen: NDArray[np.bool_]) -> dict[str, Any]:
    counts = np.bincount(measured.architecture)
    repeats = (
        np.bincount(measured.architecture, measured.top1**2)
        - np.bincount(measured.architecture, measured.top1) ** 2 / counts
    )
    several = counts > 1
    spread = float(np.sqrt(max(repeats[several].sum(), 0.0) / (counts[several] - 1).sum())) if several.any() else None
    return {
        "evaluations": len(measured.codes),
        "architectures": len(counts),
        "groups": dict(zip(measured.names, np.bincount(measured.group).tolist(), strict=True)),
        "resolutions": [r for r, known in zip(space.resolutions, seen, strict=True) if known],
        "top1": {
            "lowest": float(measured.top1.min()),
            "mean": round(float(measured.top1.mean()), 3),
            "highest": float(measured.top1.max()),
        },
        "repeat_sd": None if spread is None else round(spread, 4),
    }
