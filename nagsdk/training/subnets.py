"""Which subnets are measured to learn how accuracy depends on the architecture: first all over the space, then near the frontier."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.wording import counted
from nagsdk.cost.table import exact_table
from nagsdk.errors import UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.families.space import NetworkSpace
from nagsdk.generator.ranking import best_of_every_cost
from nagsdk.predictor.fit import FOLDS, Fitter, MeasuredSubnets, fit_predictor
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace, extremes
from nagsdk.supernet.processes import Ranks

# Share of the subnets that is measured by the end of each round; all rounds but the first look near the frontier.
ROUNDS = (0.6, 0.8, 1.0)
LEAST = 50
_POOL, _MUTANTS, _RATE = 10_000, 20, 0.15
_ENDS = 5
_FEW_STEPS = 50
_TELLS_APART = 0.5
Evaluate = Callable[[Sequence[Architecture]], NDArray[np.float64]]


def space_filling(space: SearchSpace, count: int, seed: int) -> Codes:
    """Codes all over the space, in a random order: both extremes at several resolutions, then of every cost the one least like the others.

    Half of the candidates are uniform; the others lie between there and the extremes, where uniform ones hardly come.

    Args:
        space: Any.
        count: How many, at least 12.
        seed: Of the candidates.
    """
    rng = np.random.default_rng(seed)
    resolutions = np.unique(np.linspace(0, len(space.resolutions) - 1, _ENDS).round())
    ends = np.repeat(extremes(space), len(resolutions), axis=0)
    ends[:, 0] = np.tile(resolutions, 2)
    strays = np.repeat(ends, -(-4 * count // len(ends)), axis=0)
    near = space.mutate(strays, rng, rng.uniform(0.1, 0.7, (len(strays), 1)))
    near[:, 0] = strays[:, 0]
    pool = _new(np.vstack([near, space.sample(4 * count, rng)]), ends)
    rows = space.one_hot(pool)
    chosen: list[int] = []
    # Distances to the chosen ones are kept up to date, so that every choice is one product.
    away = _distances(rows, space.one_hot(ends)).min(1)
    parts = np.array_split(_macs(space, pool).argsort(), count - len(ends))
    for part in (parts[i] for i in rng.permutation(len(parts))):
        chosen.append(int(part[away[part].argmax()]))
        away = np.minimum(away, _distances(rows, rows[chosen[-1:]])[:, 0])
    codes = np.vstack([ends, pool[chosen]])
    return codes[rng.permutation(len(codes))]


def near_frontier(
    space: SearchSpace, predict: Callable[[Codes], NDArray[np.float64]], known: Codes, count: int, seed: int
) -> Codes:
    """Codes of best predicted top-1 for their cost: of random ones, and of relatives of the best of those.

    Args:
        space: Any.
        predict: Codes to top-1.
        known: What not to choose again.
        count: How many, each of another cost.
        seed: Of the candidates.
    """
    rng = np.random.default_rng(seed)
    first = _new(space.sample(_POOL, rng), known)
    best = first[best_of_every_cost(_macs(space, first), predict(first), count)]
    pool = _new(np.vstack([best, space.mutate(np.repeat(best, _MUTANTS, axis=0), rng, _RATE)]), known)
    return pool[best_of_every_cost(_macs(space, pool), predict(pool), count)]


def require_enough(space: SearchSpace, count: int) -> None:
    """Refuses to measure so many subnets where no fit could tell better ones among the others.

    Raises:
        UsageError: There are fewer than `LEAST`, or fewer than half of the space is left to choose from.
    """
    if count < LEAST:
        raise UsageError(f"{count} subnets are too few to fit on.", f"Give {LEAST} or more.")
    known = space.count()
    if known < 2 * count:
        raise UsageError(
            f"The search space has {known} architectures, too few to measure {count} and choose among the others.",
            "Give the space more choices.",
        )


def measure_subnets(
    space: NetworkSpace,
    evaluate: Evaluate,
    count: int,
    table: Path,
    seed: int = 0,
    ranks: Ranks | None = None,
    on_event: Listener = ignore,
) -> tuple[Codes, NDArray[np.float64]]:
    """Measures subnets in rounds; what an earlier run left in the table is not measured again.

    Args:
        space: Of the supernet.
        evaluate: True top-1 of architectures in per cent; called in every process alike.
        count: How many, `LEAST` at least.
        table: CSV file that the first process writes after every round.
        seed: Of the choice.
        ranks: Processes that share the work.
        on_event: Receives progress.

    Returns:
        Codes, int8, shape (count, decisions), and top-1, shape (count,).
    """
    ranks = ranks or Ranks()
    codes, top1 = np.empty((0, len(space.decisions)), np.int8), np.empty(0)
    if table.is_file():
        codes, columns = space.read_table(table)
        top1 = columns["top1"].astype(np.float64)
    ranks.wait()
    for number, share in enumerate(ROUNDS):
        missing = round(share * count) - len(codes)
        if missing <= 0:
            continue
        if number == 0:
            fresh = space_filling(space, round(share * count), seed)[len(codes) :]
        else:
            on_event(Notice(f"{len(codes)} subnets are measured; the next {missing} are chosen near the frontier."))
            fitter = Fitter(space, MeasuredSubnets.of(space, codes, top1, None, seed), EnsembleRecipe(), seed)
            fitted = fitter.fit(np.ones(len(codes), dtype=bool))
            fresh = near_frontier(space, partial(fitted.predict, space), codes, missing, seed + number)
        # What another processor rounds otherwise must not make another choice in its process.
        fresh = ranks.sum(fresh.astype(np.float64) * ranks.first).astype(np.int8)
        top1 = np.append(top1, np.round(evaluate(space.decode(fresh)), 4))
        codes = np.vstack([codes, fresh])
        if ranks.first:
            space.write_table(table, space.decode(codes), top1=top1.tolist())
        ranks.wait()
    return codes, top1


def fit_measured(
    space: SearchSpace,
    codes: Codes,
    top1: NDArray[np.float64],
    images: int,
    folder: Path,
    seed: int = 0,
    on_event: Listener = ignore,
) -> AccuracyPredictor:
    """Fits the accuracy predictor to measured subnets and leaves its files.

    Args:
        space: Of the subnets.
        codes: int8, shape (n, decisions).
        top1: Per cent, shape (n,).
        images: That each was measured on.
        folder: Where to leave the files.
        seed: Of everything random.
        on_event: Receives progress.
    """
    facts: dict[str, Any] = {
        "chosen": f"{ROUNDS[0]:.0%} all over the space, the others near the frontier of accuracy over MACs"
    }
    source = f"{len(codes)} subnets of this bundle, each recalibrated and measured on {images} images (measured.csv)"
    predictor = fit_predictor(space, codes, top1, source=source, facts=facts, seed=seed, on_event=on_event)
    folds = predictor.card["folds"]
    doubt = doubt_of(folds["kendall_tau"], folds["rmse"], float(top1.std()), images)
    predictor.card = {**predictor.card, "doubt": doubt}
    predictor.save(folder)
    return predictor


def doubt_of(tau: float, rmse: float, spread: float, images: int) -> str | None:
    """Why a predictor is of no use, with what to do about it; None where it is.

    Args:
        tau: Kendall's tau on subnets that it has not seen.
        rmse: Its error on them, in points of top-1.
        spread: Standard deviation of measured top-1.
        images: That each subnet was measured on.
    """
    if tau >= _TELLS_APART and rmse <= spread:
        return None
    return (
        f"The predictor does not tell subnets apart: Kendall tau {tau:.2f}, RMSE {rmse:.2f} points where measured top-1 spreads by {spread:.2f}. "
        f"The subnets learnt too little, or {counted(images, 'validation image')} cannot show which are better: train more epochs, or give more "
        "validation images."
    )


def fit_seconds(space: SearchSpace, count: int) -> float:
    """How long fitting to so many subnets takes, from a few steps of one fit.

    The ensembles that all of it trains: one in each round but the first, one for every pair of folds and for every fold, those of
    the folds themselves, and the last on everything.

    Args:
        space: Of the subnets.
        count: How many are measured.
    """
    rng, recipe = np.random.default_rng(0), EnsembleRecipe()
    rows = space.one_hot(space.sample(count, rng)).astype(np.float64)
    # The first optimiser of a process takes seconds for what torch imports then.
    for _ in range(2):
        began = time.monotonic()
        train_ensemble(rows, rng.normal(size=len(rows)), replace(recipe, steps=_FEW_STEPS), 0)
        seconds = time.monotonic() - began
    fits = len(ROUNDS) - 1 + FOLDS * (FOLDS + 1) // 2 + FOLDS + 1
    return seconds * recipe.steps / _FEW_STEPS * fits


def _macs(space: SearchSpace, codes: Codes) -> NDArray[np.float64]:
    return exact_table(space, lambda layer: float(layer.macs)).cost(codes)


def _distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared, shape (rows, others)."""
    distances: NDArray[np.float32] = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    return distances


def _new(codes: Codes, known: Codes) -> Codes:
    """Different codes, those left out that are known, in their order."""
    unique, place = np.unique(np.vstack([known, codes]), axis=0, return_index=True)
    fresh: Codes = unique[place >= len(known)][place[place >= len(known)].argsort()]
    return fresh
