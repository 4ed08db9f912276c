"""Fitting an accuracy predictor to measured architectures, and measuring how far it can be trusted."""

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
        codes: int8, shape (n, decisions); one row per measurement.
        top1: Per cent, shape (n,).
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
        """Numbers architectures and groups; without groups, five folds of architectures stand in for them."""
        codes, values = space.validate(codes), np.asarray(top1, dtype=np.float64)
        architecture = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
        if len(values) and (values == values[0]).all():
            raise UsageError(
                f"Every subnet has the same top-1, {values[0]:.2f} %.", "Train longer, or give more validation images."
            )
        if values.shape != (len(codes),) or not np.isfinite(values).all() or len(np.unique(architecture)) < _FEWEST:
            raise UsageError(
                "Top-1 is not one number per architecture, or too little to fit on.",
                f"Give at least {_FEWEST} different architectures.",
            )
        if groups is None:
            return cls(
                codes, values, architecture, folds(architecture, seed), tuple(f"fold {f + 1}" for f in range(FOLDS))
            )
        names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        if len(names) < 3:
            raise UsageError("Intervals need three groups or more.", "Give more groups, or none.")
        return cls(codes, values, architecture, group, tuple(names.tolist()))

    def outside(self, *groups: int) -> NDArray[np.bool_]:
        """Rows whose architecture was measured in none of the groups, shape (n,)."""
        within = self.architecture[np.isin(self.group, groups)]
        return ~np.isin(self.architecture, within)


def folds(architecture: NDArray[np.intp], seed: int, count: int = FOLDS) -> NDArray[np.intp]:
    """A fold for every row; all rows of an architecture share theirs."""
    known, index = np.unique(architecture, return_inverse=True)
    result: NDArray[np.intp] = (np.random.default_rng(seed).permutation(len(known)) % count)[index.ravel()]
    return result


@dataclass(frozen=True)
class Fit:
    """One ensemble and what belongs to it.

    Attributes:
        asymptote: Of the link that it was trained under.
        ensemble: On one-hot rows.
        leverage: See `AccuracyPredictor`.
    """

    asymptote: float
    ensemble: Ensemble
    leverage: Float32s

    def predict(self, space: SearchSpace, codes: Codes) -> Floats:
        """Top-1 in per cent, shape (n,)."""
        return inverse(self.ensemble(space.one_hot(codes)).mean(1), self.asymptote)

    def judge(self, space: SearchSpace, codes: Codes, top1: Floats) -> Judged:
        """Compares with measurements that it has not seen."""
        rows = space.one_hot(codes)
        outputs = self.ensemble(rows)
        gap = np.exp(-outputs.mean(1))
        return Judged(top1, self.asymptote - gap, gap * outputs.std(1), np.square(rows @ self.leverage).sum(1))


@dataclass(frozen=True)
class Judged:
    """Measured and predicted top-1, members' spread in points, leverage; each of shape (n,)."""

    top1: Floats
    predicted: Floats
    spread: Floats
    leverage: Floats

    @classmethod
    def joined(cls, parts: list[Judged]) -> Judged:
        """All rows of several comparisons."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def figures(self) -> dict[str, float | int]:
        """Count, RMSE in points and Kendall's tau."""
        from scipy.stats import kendalltau

        rmse = float(np.sqrt(np.mean((self.predicted - self.top1) ** 2)))
        return {
            "evaluations": len(self.top1),
            "rmse": round(rmse, 4),
            "kendall_tau": round(float(kendalltau(self.top1, self.predicted)[0]), 4),
        }


class Fitter:
    """Fits to any part of the measurements, always in the same way."""

    def __init__(self, space: SearchSpace, measured: MeasuredSubnets, recipe: EnsembleRecipe, seed: int) -> None:
        self.space, self.measured, self.recipe, self.seed = space, measured, recipe, seed
        self.seen = np.isin(np.arange(len(space.resolutions)), measured.codes[:, 0])
        self.map = feature_map(space, self.seen)
        self.features = space.one_hot(measured.codes) @ self.map

    def fit(self, rows: NDArray[np.bool_]) -> Fit:
        """Fits to some of the rows, a mask of shape (n,)."""
        x, top1 = self.features[rows], self.measured.top1[rows]
        asymptote = fit_asymptote(x, top1, folds(self.measured.architecture[rows], self.seed))
        ensemble = train_ensemble(x, link(top1, asymptote), self.recipe, self.seed).behind(self.map)
        root = np.linalg.cholesky(np.linalg.inv(x.T @ x + np.eye(x.shape[1])))
        return Fit(asymptote, ensemble, (self.map @ root).astype(np.float32))

    def judge(self, fitted: Fit, rows: NDArray[np.bool_]) -> Judged:
        """Compares a fit with some of the rows."""
        return fitted.judge(self.space, self.measured.codes[rows], self.measured.top1[rows])

    def additive(self, fitted: Fit, codes: Codes) -> AdditiveScore:
        """The additive score of an ensemble around the architectures that it was fitted on."""
        rng = np.random.default_rng(self.seed)
        return distil(self.space, lambda c: fitted.predict(self.space, c), codes, fitted.asymptote, rng)

    def folds(self, done: Callable[[str], None] = lambda text: None) -> tuple[Judged, Judged]:
        """Five folds grouped by architecture: how ensemble and additive score predict what they have not seen."""
        fold, codes = folds(self.measured.architecture, self.seed), self.measured.codes
        parts, scored = [], []
        for f in range(FOLDS):
            out = fold == f
            fitted = self.fit(~out)
            parts.append(self.judge(fitted, out))
            score = self.additive(fitted, codes[~out])
            scored.append(replace(parts[-1], predicted=score.inverse(score.score(codes[out]))))
            done(f"fold {f + 1} of {FOLDS}")
        return Judged.joined(parts), Judged.joined(scored)

    def left_out(self, done: Callable[[str], None] = lambda text: None) -> list[LeftOut]:
        """Every group left out in turn, with intervals that were set without it.

        The interval for a group comes from the others, each predicted by a fit that saw neither it nor
        the group.
        """
        count = len(self.measured.names)
        inner: dict[int, list[Judged]] = {g: [] for g in range(count)}
        for a, b in combinations(range(count), 2):
            fitted = self.fit(self.measured.outside(a, b))
            for held, other in ((a, b), (b, a)):
                inner[held].append(self.judge(fitted, (self.measured.group == other) & self.measured.outside(held)))
            done(f"without {self.measured.names[a]} and {self.measured.names[b]}")
        result = []
        for g, name in enumerate(self.measured.names):
            judged = self.judge(self.fit(self.measured.outside(g)), self.measured.group == g)
            result.append(LeftOut(name, judged, calibrated(inner[g])))
            done(f"without {name}")
        return result


@dataclass(frozen=True)
class LeftOut:
    """A group that was left out, and the interval that was set without it."""

    name: str
    judged: Judged
    interval: Interval

    def figures(self) -> dict[str, Any]:
        """Figures of the group; coverage is the share of its measurements within their 90 % intervals."""
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
    """The interval that covers 90 % of measurements which the fits had not seen.

    The architecture's own spread of members and the typical one have equal shares in the variance: so few members
    tell the spread of a single architecture too roughly to rely on alone. Members disagree more far from what was
    measured, but not as much more as they err, so a smaller share grows with the square of the leverage.
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
    """Fits an ensemble, sets its intervals on what it has not seen, and writes the card.

    Args:
        space: Any search space.
        codes: Measured architectures, int8, shape (n, decisions); one may be measured several times.
        top1: Their top-1 in per cent, shape (n,).
        source: Where the measurements come from, for the card.
        groups: Name of the search run, or any other origin, of every row, shape (n,): intervals are then set
            on whole groups left out. Without them, on five folds of architectures.
        facts: Further entries of the card.
        recipe: How ensembles are trained.
        seed: Of everything random; one seed gives one result.
        on_event: Receives progress.

    Raises:
        UsageError: There is too little to fit on.
        ArchitectureError: A code is not of the space.
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
        whole = fitter.fit(np.ones(len(measured.codes), dtype=bool))
        done("all measurements")
    judged = [group.judged for group in left_out]
    reach = float(np.quantile(np.concatenate([j.leverage for j in judged]), _REACH_QUANTILE))
    count = len(space.resolutions)
    resolutions = Resolutions(np.full(count, whole.asymptote), np.ones(count), np.zeros(count), fitter.seen)
    card = {
        "source": source,
        "fitted_at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in ("numpy", "scipy", "torch")},
        "seed": seed,
        "recipe": asdict(fitter.recipe),
        "data": _describe(space, measured, fitter.seen),
        "asymptote": round(whole.asymptote, 3),
        "folds": {"folds": FOLDS, "grouped_by": "architecture", **ensemble.figures()},
        "left_out": [group.figures() for group in left_out],
        "additive": {"fitted_to": "predictions around the measured architectures", "folds": additive.figures()},
        **_EXPLANATIONS,
        **(facts or {}),
    }
    score = fitter.additive(whole, measured.codes)
    return AccuracyPredictor(space, whole.ensemble, resolutions, calibrated(judged), whole.leverage, reach, score, card)


_EXPLANATIONS: dict[str, Any] = {
    "intervals": (
        "90 % intervals for one measured top-1, from the spread of the members and the distance (leverage) from the measured architectures, "
        "scaled to cover 90 % of groups left out. The coverage of each group was taken with intervals set without it, also of its nearer and "
        "its farther half."
    ),
    "extrapolated": (
        "True where top-1 was not measured at the resolution, or where the architecture's leverage exceeds that of 99 % of the left-out "
        "architectures: accuracy and coverage were not tested so far from the measured ones."
    ),
    "optimism": (
        "A search picks architectures whose prediction errs upwards, so the predicted top-1 of a search's pick is optimistic by more than these "
        "figures say (0.05 to 0.2 points for searches on the ImageNet space). Only a measurement tells."
    ),
    "warnings": [
        "This architecture is beyond what the accuracy predictor was fitted on; its predicted top-1 was not tested there."
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
