"""Fits an accuracy predictor to measured architectures and measures its accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.events import Listener, ignore, stage
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets
from nagsdk.predictor.model import AccuracyPredictor, Resolutions
from nagsdk.predictor.optimism import SPLITS, optimism
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import Codes, SearchSpace

_REACH_QUANTILE = 0.99


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
            whole groups that are left out, each of which must be covered; None uses five random folds of
            architectures, which are covered together.
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
    interval, factor = fitter.calibrated(judged)
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
        "sum": {"share": round(fitter.share, 3), "text": _SUM},
        "folds": {"folds": FOLDS, "grouped_by": "architecture", **ensemble.figures()},
        "left_out": [group.figures() for group in left_out],
        "additive": {"fitted_to": "predictions around the measured architectures", "folds": additive.figures()},
        **_EXPLANATIONS,
        "optimism": chosen,
        "front": {"factor": round(factor, 3), "text": _FRONT},
        **(facts or {}),
    }
    score = fitter.additive(final, measured.codes)
    return AccuracyPredictor(space, final.ensemble, resolutions, interval, final.leverage, reach, score, card)


_FRONT = (
    "What is chosen lies on the predicted front, whose architectures look better than they are. The half-width of "
    "their intervals is multiplied by this factor, with which 90 % of the measurements on the front of each left-out "
    "group are covered, or on the front of all of them together if they are random folds."
)
_SUM = (
    "Ensembles lean by this share on a sum over choices, which is better where few architectures are measured. It is "
    "the share that predicts left-out groups best."
)
_EXPLANATIONS: dict[str, Any] = {
    "intervals": (
        "90 % intervals for one measured top-1, from the spread of the members and a constant, scaled to cover 90 % of "
        "each left-out group, or of all of them together if they are random folds. The coverage of each group, of its "
        "nearer and its farther half, of its quarters by MACs, and of its predicted front of top-1 over MACs (there "
        "with the factor of `front`), was measured with intervals calibrated without the group."
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
