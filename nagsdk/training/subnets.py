"""Chooses and measures subnets for the accuracy predictor: first all over the space, then near the frontier."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk import ranges
from nagsdk.common.wording import counted
from nagsdk.errors import ArchitectureError, UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.families.space import NetworkSpace
from nagsdk.generator.ranking import best_of_every_cost
from nagsdk.generator.strategy import Strategy
from nagsdk.predictor.fit import fit_predictor
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import FOLDS, MeasuredSubnets
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.optimism import SPLITS
from nagsdk.predictor.train import EnsembleRecipe, train_ensemble
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace, extremes
from nagsdk.supernet.processes import Ranks
from nagsdk.training.cost_line import cost_predictor, judged_line, macs_of, noise_of_tau
from nagsdk.training.labelling import label

# Share of the subnets that are measured by the end of each round; all rounds but the first choose near the frontier.
ROUNDS = (0.6, 0.8, 1.0)
LEAST = int(ranges.SUBNETS.low)
_POOL, _MUTANTS, _RATE = 10_000, 20, 0.15
_ENDS = 5
_FEW_STEPS = 50
_LEAST_TAU = 0.5
# A tau of predictions that is clearly above that of chance, in its standard deviations.
_CLEAR = 2.0
_LEAST_STEPS, _STEPS_EACH = 400, 8
Evaluate = Callable[[Sequence[Architecture]], NDArray[np.float64]]


def space_filling(space: SearchSpace, count: int, seed: int) -> Codes:
    """Chooses architectures all over the space.

    These are the smallest and the largest at several resolutions and, in each range of cost, the candidate that differs
    most from those already chosen. Half of the candidates are uniform; the others lie between them and the extremes,
    where uniform ones are rare.

    Args:
        space: Search space.
        count: Number of architectures, at least 12.
        seed: Seed of the candidates and of the order.

    Returns:
        Codes in a random order, int8, shape (count, decisions).
    """
    rng = np.random.default_rng(seed)
    resolutions = np.unique(np.linspace(0, len(space.resolutions) - 1, _ENDS).round())
    ends = np.repeat(extremes(space), len(resolutions), axis=0)
    ends[:, 0] = np.tile(resolutions, 2)
    bases = np.repeat(ends, -(-4 * count // len(ends)), axis=0)
    near = space.mutate(bases, rng, rng.uniform(0.1, 0.7, (len(bases), 1)))
    near[:, 0] = bases[:, 0]
    pool = new_codes(np.vstack([near, space.sample(4 * count, rng)]), ends)
    rows = space.one_hot(pool)
    chosen: list[int] = []
    # Distances to the nearest chosen one are updated after each choice, which takes only one product.
    away = _distances(rows, space.one_hot(ends)).min(1)
    parts = np.array_split(macs_of(space, pool).argsort(), count - len(ends))
    for part in (parts[i] for i in rng.permutation(len(parts))):
        chosen.append(int(part[away[part].argmax()]))
        away = np.minimum(away, _distances(rows, rows[chosen[-1:]])[:, 0])
    codes = np.vstack([ends, pool[chosen]])
    return codes[rng.permutation(len(codes))]


def near_frontier(
    space: SearchSpace, predict: Callable[[Codes], NDArray[np.float64]], known: Codes, count: int, seed: int
) -> Codes:
    """Chooses architectures with the best predicted top-1 for their cost, from random ones and mutations of the best.

    Args:
        space: Search space.
        predict: Maps codes to top-1.
        known: Codes that are not chosen again.
        count: Number of architectures, each from another range of cost.
        seed: Seed of the candidates.

    Returns:
        Codes, int8, shape (count, decisions).
    """
    rng = np.random.default_rng(seed)
    first = new_codes(space.sample(_POOL, rng), known)
    best = first[best_of_every_cost(macs_of(space, first), predict(first), count)]
    pool = new_codes(np.vstack([best, space.mutate(np.repeat(best, _MUTANTS, axis=0), rng, _RATE)]), known)
    return pool[best_of_every_cost(macs_of(space, pool), predict(pool), count)]


def require_enough(space: SearchSpace, count: int) -> None:
    """Checks that this number of subnets is enough for a fit, and that the space is large enough for it.

    Raises:
        UsageError: There are fewer than `LEAST` subnets, or the space has fewer than twice as many architectures.
    """
    ranges.check(subnets=count)
    known = space.count()
    if known < 2 * count:
        fewer = f", or measure fewer subnets: {LEAST}" if known >= 2 * LEAST else ""
        raise UsageError(
            f"The space has {counted(known, 'architecture')}, too few to measure {count} and still choose.",
            f"Give the space more choices{fewer}.",
        )


def measure_subnets(
    space: NetworkSpace,
    evaluate: Evaluate,
    count: int,
    table: Path,
    seed: int = 0,
    ranks: Ranks | None = None,
    on_event: Listener = ignore,
    strategy: Strategy | None = None,
) -> tuple[Codes, NDArray[np.float64]]:
    """Measures subnets in rounds; subnets that an earlier run stored in the table are not measured again.

    Args:
        space: Search space of the supernet.
        evaluate: Measures the top-1 of architectures in per cent; every process calls it with the same architectures.
        count: Number of subnets, at least `LEAST`.
        table: CSV file that the first process writes after every round.
        seed: Seed of the choice.
        ranks: Processes that share the work.
        on_event: Receives progress.
        strategy: Chooses the subnets; those that it leaves over, or all if it is None, are chosen all over the space
            and near the frontier.

    Returns:
        Codes, int8, shape (count, decisions), and top-1, shape (count,).
    """
    ranks = ranks or Ranks()
    codes, top1 = np.empty((0, len(space.decisions)), np.int8), np.empty(0)
    if table.is_file():
        codes, top1 = _measured(table, space)
    ranks.wait()

    def measure(fresh: Codes) -> None:
        nonlocal codes, top1
        top1 = np.append(top1, np.round(evaluate(space.decode(fresh)), 4))
        codes = np.vstack([codes, fresh])
        if ranks.first:
            space.write_table(table, space.decode(codes), top1=top1.tolist())
        ranks.wait()

    def measured(asked: Codes) -> NDArray[np.float64]:
        fresh = new_codes(asked, codes)
        if len(fresh):
            on_event(Notice(f"{len(codes)} subnets are measured; {len(fresh)} more are chosen."))
            measure(ranks.of_first(fresh))
        known = dict(zip(map(bytes, codes), top1, strict=True))
        return np.array([known[bytes(code)] for code in asked])

    # All processes use the choice of the first one, since different processors may round differently and choose others.
    if strategy is not None and ranks.first:
        label(strategy, space, measured, count, seed)
        ranks.of_first(None)
    elif strategy is not None:
        while (fresh := ranks.of_first(codes[:0])) is not None:
            measure(fresh)
    for number, share in enumerate(ROUNDS):
        missing = round(share * count) - len(codes)
        if missing <= 0:
            continue
        if number == 0:
            fresh = new_codes(space_filling(space, round(share * count), seed), codes)[:missing]
        else:
            on_event(Notice(f"{len(codes)} subnets are measured; the next {missing} are chosen near the frontier."))
            fresh = near_frontier(space, _first_fit(space, codes, top1, seed), codes, missing, seed + number)
        measure(ranks.of_first(fresh))
    return codes, top1


def _first_fit(
    space: SearchSpace, codes: Codes, top1: NDArray[np.float64], seed: int
) -> Callable[[Codes], NDArray[np.float64]]:
    """Maps codes to the top-1 that a fit to the subnets so far predicts; to their cost if all have the same top-1."""
    if np.ptp(top1) == 0:
        return partial(macs_of, space)
    fitter = Fitter(space, MeasuredSubnets.of(space, codes, top1, None, seed), recipe_for(len(codes)), seed)
    return partial(fitter.alone(np.ones(len(codes), dtype=bool)).predict, space)


def _measured(table: Path, space: NetworkSpace) -> tuple[Codes, NDArray[np.float64]]:
    """The subnets that an earlier run measured.

    Raises:
        UsageError: The table is damaged.
    """
    try:
        codes, columns = space.read_table(table)
        top1 = columns["top1"].astype(np.float64)
        if not ((top1 >= 0) & (top1 <= 100)).all():
            raise ValueError("top1 must be a percentage")
    except (ArchitectureError, KeyError, ValueError) as error:
        reason = error.message.rstrip(".") if isinstance(error, ArchitectureError) else f"top1 is not valid ({error})"
        raise UsageError(
            f"The measurements of an earlier run in {table} cannot be used: {reason}.",
            "Delete this file to measure the subnets again.",
        ) from error
    return codes, top1


def fit_measured(
    space: SearchSpace,
    codes: Codes,
    top1: NDArray[np.float64],
    images: int,
    folder: Path,
    seed: int = 0,
    on_event: Listener = ignore,
    strategy: Strategy | None = None,
) -> AccuracyPredictor:
    """Fits the accuracy predictor to measured subnets and writes its files.

    Args:
        space: Search space of the subnets.
        codes: Codes of the subnets, int8, shape (n, decisions).
        top1: Measured top-1 in per cent, shape (n,).
        images: Number of images that each subnet was measured on.
        folder: Folder for the files.
        seed: Seed of all random choices.
        on_event: Receives progress.
        strategy: What chose the subnets; see `measure_subnets`.
    """
    spread = f"{ROUNDS[0]:.0%} all over the space, the others near the frontier of accuracy over MACs"
    facts: dict[str, Any] = {
        "chosen": spread if strategy is None else f"in rounds, by the strategy {strategy.id} on what was measured",
        "source": f"{len(codes)} subnets of this bundle, each recalibrated and measured on {images} images "
        "(measured.csv)",
    }
    recipe = recipe_for(len(codes))
    why = why_by_cost(space, codes, top1, recipe, images, seed)
    if why:
        predictor = cost_predictor(space, codes, top1, recipe, facts, seed)
    else:
        predictor = fit_predictor(space, codes, top1, facts=facts, recipe=recipe, seed=seed, on_event=on_event,
                                  source=facts["source"])  # fmt: skip
    found = predictor.card["folds"]
    doubt = why or doubt_of(found["kendall_tau"], found["rmse"], float(top1.std()), images)
    predictor.card = {**predictor.card, "by_cost": bool(why), "doubt": doubt}
    predictor.save(folder)
    return predictor


def recipe_for(count: int) -> EnsembleRecipe:
    """The settings of ensembles: few measurements are learnt in few steps."""
    usual = EnsembleRecipe()
    return replace(usual, steps=min(usual.steps, max(_LEAST_STEPS, _STEPS_EACH * count)))


def why_by_cost(
    space: SearchSpace, codes: Codes, top1: NDArray[np.float64], recipe: EnsembleRecipe, images: int, seed: int
) -> str | None:
    """Why an accuracy predictor tells less about subnets than their cost does; None if it tells more."""
    measured = f"{counted(len(codes), 'subnet')} on {counted(images, 'image')}"
    line = judged_line(space, codes, top1, seed).figures()
    noise = noise_of_tau(len(codes))
    if np.ptp(top1) == 0:
        reason = f"all of {measured} have the same top-1"
    else:
        fitter = Fitter(space, MeasuredSubnets.of(space, codes, top1, None, seed), recipe, seed)
        found = fitter.folds()[0].figures()
        tau = found["kendall_tau"]
        if tau > _CLEAR * noise and found["rmse"] < line["rmse"]:
            return None
        reason = (
            f"for left-out ones of {measured}, Kendall's tau of predicted and measured top-1 is {tau:.2f} and the RMSE "
            f"{found['rmse']:.2f} points, while a line over their cost has {line['kendall_tau']:.2f} and "
            f"{line['rmse']:.2f} points, and chance a tau of ±{_CLEAR * noise:.2f}"
        )
    matters = np.nan_to_num(line["kendall_tau"]) > _CLEAR * noise
    return (
        f"Subnets of the same cost cannot be told apart: {reason}. So the most expensive network within a budget is "
        "taken, and the predicted top-1 is that of its cost. "
        + (
            "More images, above all for validation, would help; 'nagsdk deploy --finetune 10 --data FOLDER' trains "
            "the one network of a budget further."
            if matters
            else "Not even cost makes a difference that can be measured: the smallest network may be as good as the "
            "largest."
        )
    )


def doubt_of(tau: float, rmse: float, spread: float, images: int) -> str | None:
    """Returns a warning that a predictor is useless, with the next step; None if it is useful.

    Args:
        tau: Kendall's tau on subnets that it was not fitted to.
        rmse: Root mean squared error on these subnets, in points of top-1.
        spread: Standard deviation of the measured top-1.
        images: Number of images that each subnet was measured on.
    """
    if tau >= _LEAST_TAU and rmse <= spread:
        return None
    return (
        f"The accuracy predictor cannot tell better subnets from worse ones: Kendall's tau is {tau:.2f}, and the RMSE "
        f"is {rmse:.2f} points, while the measured top-1 has a standard deviation of {spread:.2f} points. Either the "
        f"subnets learnt too little, or {counted(images, 'validation image')} cannot show which are better. Train for "
        "more epochs, or give more validation images."
    )


def fit_seconds(space: SearchSpace, count: int) -> float:
    """Estimates the seconds that fitting takes, from a few steps of one fit.

    The ensembles trained in total are: one in each round but the first, one for every pair of folds and for every fold,
    two cross-validations, those of halves, and the last one on all subnets.

    Args:
        space: Search space of the subnets.
        count: Number of measured subnets.
    """
    rng, recipe = np.random.default_rng(0), recipe_for(count)
    rows = space.one_hot(space.sample(count, rng)).astype(np.float64)
    # Timed twice: the first optimiser of a process takes seconds longer, because torch imports modules then.
    for _ in range(2):
        began = time.monotonic()
        train_ensemble(rows, rng.normal(size=len(rows)), replace(recipe, steps=_FEW_STEPS), 0)
        seconds = time.monotonic() - began
    fits = len(ROUNDS) - 1 + FOLDS * (FOLDS - 1) // 2 + 2 * FOLDS + 2 * SPLITS + 1
    return seconds * recipe.steps / _FEW_STEPS * fits


def _distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances, shape (rows, others)."""
    distances: NDArray[np.float32] = (rows**2).sum(1)[:, None] + (others**2).sum(1) - 2 * rows @ others.T
    return distances


def new_codes(codes: Codes, known: Codes) -> Codes:
    """Returns the distinct codes that are not known, in their order."""
    unique, place = np.unique(np.vstack([known, codes]), axis=0, return_index=True)
    fresh: Codes = unique[place >= len(known)][place[place >= len(known)].argsort()]
    return fresh
