"""Fits an accuracy predictor to measured architectures and measures its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore, stage
from nagsdk.predictor.additive import AdditiveScore, distil, fit_asymptote, inverse, link
from nagsdk.predictor.ensemble import Ensemble, Float32s
from nagsdk.predictor.features import Floats, feature_map
from nagsdk.predictor.model import LEVEL, AccuracyPredictor, Interval, Resolutions
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.space import Codes, SearchSpace

FOLDS = 5
_FEWEST = 30
_REACH_QUANTILE = 0.99
_DISTANCE_SHARE = 0.25


@dataclass(frozen=True)
class MeasuredSubnets:
    """Measured architectures.

    Attributes:
        codes: Codes, int8, shape (n, decisions); one row per measurement.
        top1: Measured top-1 in per cent, shape (n,).
        architecture: Number of the architecture of every row, shape (n,).
        group: Number of the group of every row, such as the search run that produced it, shape (n,).
        names: Names of the groups.
    """

    codes: Codes
    top1: Floats
    architecture: NDArray[np.intp]
    group: NDArray[np.intp]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, space: SearchSpace, codes: Codes, top1: ArrayLike, groups: ArrayLike | None, seed: int
    ) -> MeasuredSubnets:
        """Numbers architectures and groups; without groups, five folds of architectures are used instead."""
        codes, values = space.validate(codes), np.asarray(top1, dtype=np.float64)
        architecture = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
        if len(values) and (values == values[0]).all():
            raise UsageError(
                f"Every subnet has the same top-1, {values[0]:.2f} %.", "Train longer, or give more validation images."
            )
        if values.shape != (len(codes),) or not np.isfinite(values).all() or len(np.unique(architecture)) < _FEWEST:
            raise UsageError(
                "The measurements are not one finite top-1 per architecture, or too few to fit an accuracy predictor.",
                f"Give at least {_FEWEST} different architectures with one top-1 each.",
            )
        if groups is None:
            return cls(
                codes, values, architecture, folds(architecture, seed), tuple(f"fold {f + 1}" for f in range(FOLDS))
            )
        names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        if len(names) < 3:
            raise UsageError("Intervals need at least three groups.", "Give more groups, or none.")
        return cls(codes, values, architecture, group, tuple(names.tolist()))

    def outside(self, *groups: int) -> NDArray[np.bool_]:
        """Mask of the rows whose architecture was not measured in any of the groups, shape (n,)."""
        within = self.architecture[np.isin(self.group, groups)]
        return ~np.isin(self.architecture, within)


def folds(architecture: NDArray[np.intp], seed: int, count: int = FOLDS) -> NDArray[np.intp]:
    """Assigns a fold to every row; all rows of one architecture get the same fold."""
    known, index = np.unique(architecture, return_inverse=True)
    result: NDArray[np.intp] = (np.random.default_rng(seed).permutation(len(known)) % count)[index.ravel()]
    return result


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
        return Judged(top1, self.asymptote - gap, gap * outputs.std(1), np.square(rows @ self.leverage).sum(1))


@dataclass(frozen=True)
class Judged:
    """Measured top-1, predicted top-1, spread of the members in points, and leverage; each of shape (n,)."""

    top1: Floats
    predicted: Floats
    spread: Floats
    leverage: Floats

    @classmethod
    def joined(cls, parts: list[Judged]) -> Judged:
        """Joins the rows of several comparisons."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def figures(self) -> dict[str, float | int]:
        """Returns the number of rows, the RMSE in points and Kendall's tau."""
        from scipy.stats import kendalltau

        rmse = float(np.sqrt(np.mean((self.predicted - self.top1) ** 2)))
        return {
            "evaluations": len(self.top1),
            "rmse": round(rmse, 4),
            "kendall_tau": round(float(kendalltau(self.top1, self.predicted)[0]), 4),
        }


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


@dataclass(frozen=True)
class LeftOut:
    """A group that was left out, with the interval that was calibrated without it."""

    name: str
    judged: Judged
    interval: Interval

    def figures(self) -> dict[str, Any]:
        """Returns the figures of the group; coverage is the share of its measurements within their 90 % intervals."""
        half = self.interval.half_width(self.judged.spread, self.judged.leverage)
        within = np.abs(self.judged.predicted - self.judged.top1) <= half
        far = self.judged.leverage > np.median(self.judged.leverage)
        shown = {
            "coverage_90": round(float(within.mean()), 3),
            "coverage_90_near_and_far": [round(float(within[part].mean()), 3) for part in (~far, far) if part.any()],
            "mean_half_width": round(float(half.mean()), 3),
        }
        return {"left_out": self.name, **self.judged.figures(), **shown}


def calibrated(parts: list[Judged]) -> Interval:
    """Computes the interval that covers 90 % of measurements that the fits were not fitted to.

    The spread of the members for an architecture and the typical spread have equal shares in the variance, because the
    spread of so few members is too uncertain to be used alone. Far from the measured architectures, members disagree
    more, but errors grow faster than their disagreement, so a smaller share grows with the square of the leverage.
    """
    judged = Judged.joined(parts)
    floor = float(np.sqrt(np.mean(judged.spread**2)))
    distance = float(floor * np.sqrt(_DISTANCE_SHARE / np.mean(judged.leverage**2)))
    ratio = np.abs(judged.predicted - judged.top1) / Interval(1.0, floor, distance).half_width(
        judged.spread, judged.leverage
    )
    return Interval(float(np.quantile(ratio, LEVEL, method="higher")), floor, distance)


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
    fits = len(measured.names) * (len(measured.names) + 1) // 2 + FOLDS + 1
    with stage(on_event, "Fitting the accuracy predictor", fits) as advance:
        counter = iter(range(1, fits + 1))

        def done(text: str) -> None:
            advance(next(counter), text)

        ensemble, additive = fitter.folds(done)
        left_out = fitter.left_out(done)
        final = fitter.fit(np.ones(len(measured.codes), dtype=bool))
        done("all measurements")
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
        **(facts or {}),
    }
    score = fitter.additive(final, measured.codes)
    return AccuracyPredictor(space, final.ensemble, resolutions, calibrated(judged), final.leverage, reach, score, card)


_EXPLANATIONS: dict[str, Any] = {
    "intervals": (
        "90 % intervals for one measured top-1, from the spread of the members and the distance (leverage) from the "
        "measured architectures, scaled to cover 90 % of the left-out groups. The coverage of each group, and of its "
        "nearer and its farther half, was measured with intervals calibrated without the group."
    ),
    "extrapolated": (
        "True if top-1 was not measured at the resolution, or if the leverage of the architecture exceeds that of 99 % "
        "of the left-out architectures: accuracy and coverage were not tested so far from the measured architectures."
    ),
    "optimism": (
        "A search prefers architectures whose top-1 is overestimated, so the predicted top-1 of its result is more "
        "optimistic than these figures suggest (by 0.05 to 0.2 points for searches on the ImageNet space). Only a "
        "measurement gives the true value."
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
