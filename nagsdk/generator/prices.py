"""Prices of limits: for every price, the best architecture and the worth of each of its choices.

Under a price on cost (Lagrange multiplier) the best architecture is found by dynamic programming over the `Forest`,
for many prices at once. With several limits, the price applies to a mix of the costs. The architectures of one mix,
from price zero to infinite price, form a *path*. For any partial architecture a path contains cost and score of its
best completion at every price. The price at which that completion just holds all limits is the price at which the open
choices are valued. A policy that reads this price does not need to know the device: the same network serves all of
them. The last point of a path costs least, so a choice after which the last point of some path holds every limit can
always be completed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.predictor.protocol import Score
from nagsdk.space.decisions import Contexts
from nagsdk.space.dependencies import Forest
from nagsdk.space.space import Codes, SearchSpace

PRICES = 16
# Range of prices, in units of (range of the score) / (range of the cost). Prices below it count as zero, prices above
# it as infinite.
_LEAST_PRICE, _MOST_PRICE = 0.05, 8.0
_ROUGH = 30
_ROUNDING = 1e-9


def mixes(count: int) -> Floats:
    """Returns the shares of the costs in the mixes: each cost alone, equal shares of each two, and of all.

    Returns:
        The shares, shape (mixes, count).
    """
    chosen: list[tuple[int, ...]] = [(i,) for i in range(count)]
    if count > 2:
        chosen += list(combinations(range(count), 2))
    if count > 1:
        chosen.append(tuple(range(count)))
    result = np.zeros((len(chosen), count))
    for row, members in zip(result, chosen, strict=True):
        row[list(members)] = 1 / len(members)
    return result


@dataclass(frozen=True)
class Paths:
    """Best completions under prices.

    Shapes use R resolutions, D decisions, S states of decisions (`Forest.states`), C most choices of all decisions but
    decision 0, K mixes, J prices, M costs. Costs are in units of `scale`, scores in units of `worth`.

    Attributes:
        scale: Range of each cost over the architectures of a resolution, shape (M,).
        worth: Range of the score over the architectures of a resolution.
        price: Prices, given as the weight of the cost: 0 means price zero, 1 means infinite price. The score has the
            weight 1 - price. Shape (K, J).
        cost: Cost of the best architecture at each resolution and price, inf where nothing is allowed, shape
            (R, K, J, M).
        score: Score of the best architecture at each resolution and price, -inf where nothing is allowed, shape
            (R, K, J).
        value: Worth of a choice with its best subtree minus that of the best choice, at least -1. Score and cost are
            weighted by the price. Shape (R, S, K, J, C).
        extra: Cost of the choice with its subtree minus that of the best choice, shape (R, S, C, K, J, M).
        gain: Score of the choice with its subtree minus that of the best choice, shape (R, S, C, K, J).
        cheapest: Last architecture of each mix, int8, shape (K, R, D).
        states: The states, by which the worth of a choice differs.
    """

    scale: Floats
    worth: float
    price: Floats
    cost: Floats
    score: Floats
    value: NDArray[np.float32]
    extra: Floats
    gain: NDArray[np.float32]
    cheapest: Codes
    states: Contexts

    @classmethod
    def of(cls, space: SearchSpace, tables: Sequence[AdditiveTable], score: Score) -> Paths:
        """Computes the paths of some costs by dynamic programming, last decision first.

        Args:
            space: Any search space.
            tables: Tables of the limited costs.
            score: The score to maximise.
        """
        forest, resolutions = space.forest, len(space.resolutions)
        every, exists, most = np.arange(resolutions), space.existing, int(space.sizes[1:].max(initial=1))
        cost = np.stack([np.where(exists, table.choice, np.inf) for table in tables], axis=-1)
        base = np.stack([table.base for table in tables], axis=-1) + cost[every, 0, every]
        scale = np.array([_range(space, table) for table in tables])
        by_row = score.table[space.rows.decision]
        worth = _range(
            space,
            AdditiveTable(np.zeros(resolutions), np.broadcast_to(by_row, (resolutions, *by_row.shape)), space.rows),
        )
        cost, gains = cost[:, :, :most] / scale, score.table / worth

        mix = mixes(len(tables))
        on_cost = _prices(space, forest, cost, gains, mix, np.isfinite(base).all(1))
        weight = mix[:, None] * on_cost[..., None]
        grid = on_cost.shape
        extra = np.full((resolutions, len(forest.states), most, *grid, len(tables)), np.inf)
        gain = np.zeros(extra.shape[:-1], np.float32)
        value = np.full((*extra.shape[:2], *grid, most), -1, np.float32)
        last: dict[int, NDArray[np.intp]] = {}
        # For each subtree: cost, shape (R, states, K, J, M), score and value, shape (R, states, K, J) each.
        best: dict[int, list[Floats]] = {}
        for decision, parts, pick, taken, subtree in _bottom_up(space, forest, cost, gains, weight, 1 - on_cost):
            best[decision] = subtree
            states, choices = forest.states.of(decision), slice(int(space.sizes[decision]))
            np.subtract(parts[0], taken[0], out=extra[:, states, choices])
            extra[:, states, choices][~np.isfinite(parts[2])] = np.inf
            gain[:, states, choices] = parts[1] - taken[1]
            least = np.where(np.isfinite(taken[2]), taken[2], 0.0)
            value[:, states, :, :, choices] = np.maximum(parts[2] - least, -1).transpose(0, 1, 3, 4, 2)
            last[decision] = pick[:, :, 0, :, -1]

        whole = [base[:, None, None] / scale, gains[0, every, None, None], np.zeros((resolutions, 1, 1))]
        whole = [np.broadcast_to(part, (resolutions, *grid, *part.shape[3:])).copy() for part in whole]
        for root in forest.roots:
            for part, below in zip(whole, best[root], strict=True):
                part += below[:, 0]
        for start, child in forest.children[0]:
            above = every[max(start, 0) :]
            for part, below in zip(whole, best[child], strict=True):
                part[above] += below[above, forest.below[child][0, above]]
        cheapest = np.stack(
            [forest.follow(every, {d: pick[:, :, k] for d, pick in last.items()}) for k in range(len(mix))]
        )
        possible = np.isfinite(whole[2]) & np.isfinite(whole[0]).all(-1)
        total = np.where(possible[..., None], whole[0], np.inf)
        reached = np.where(possible, whole[1], -np.inf)
        return cls(scale, worth, on_cost, total, reached, value, extra, gain, cheapest, forest.states)


def _prices(
    space: SearchSpace, forest: Forest, cost: Floats, gains: Floats, mix: Floats, allowed: NDArray[np.bool_]
) -> Floats:
    """Chooses the prices of each mix: half of them spread over the whole range, half of them where the costs fall.

    Where layers have similar ratios of score to cost, all depths lie between few prices, so prices are needed there.
    One resolution suffices to find out where the costs fall.

    Returns:
        Weights of the cost, shape (mixes, PRICES), ascending from 0 to 1.
    """
    wide = np.geomspace(_LEAST_PRICE, _MOST_PRICE, _ROUGH)
    grid = np.concatenate([[0.0], wide / (1 + wide), [1.0]])
    resolutions = np.flatnonzero(allowed)
    if len(resolutions):
        r = int(resolutions[len(resolutions) // 2])
        on_score = np.broadcast_to(1 - grid, (len(mix), len(grid)))
        subtrees = _bottom_up(space, forest, cost[[r]], gains, mix[:, None] * grid[:, None], on_score)
        top = forest.top(r)
        costs = np.sum([best[0][0, top[decision]] for decision, _, _, _, best in subtrees if decision in top], axis=0)
        spent = (costs * mix[:, None]).sum(-1)
        fallen = np.maximum.accumulate(spent[:, :1] - spent, axis=1)
        fallen /= np.maximum(fallen[:, -1:], _ROUNDING)
    else:
        fallen = np.zeros((len(mix), len(grid)))
    place = (fallen + np.linspace(0, 1, len(grid))) / 2
    position = [np.interp(np.linspace(0, p[-1], PRICES), p, np.arange(len(grid))) for p in place]
    result: Floats = np.interp(position, np.arange(len(grid)), grid)
    return result


def _bottom_up(
    space: SearchSpace, forest: Forest, cost: Floats, gains: Floats, weight: Floats, on_score: Floats
) -> Iterator[tuple[int, list[Floats], NDArray[np.intp], list[Floats], list[Floats]]]:
    """Runs the dynamic programming, last decision first.

    Yields:
        The decision; cost, score and worth of its choices with their best subtrees; the index of the best choice, shape
        (R, S, 1, K, J) with the S states of the decision; cost, score and worth of the best choice, and those of the
        subtree, which are the same except in states in which the decision is inactive.
    """
    best: dict[int, list[Floats]] = {}
    for decision in reversed(range(1, len(space.decisions))):
        size = int(space.sizes[decision])
        parts = _own(cost[:, forest.rows[decision], :size], gains[decision, :size], weight, on_score)
        if forest.children[decision]:
            parts = [part.copy() for part in parts]
        for start, child in forest.children[decision]:
            choices = slice(max(start, 0), size)
            for part, below in zip(parts, best[child], strict=True):
                part[:, :, choices] += forest.spread(child, below, choices)
        pick = parts[2].argmax(2)[:, :, None]
        taken = [np.take_along_axis(parts[0], pick[..., None], 2), np.take_along_axis(parts[1], pick, 2)]
        taken.append(parts[2].max(2, keepdims=True))
        best[decision] = [part[:, :, 0] for part in taken]
        off = forest.inactive[decision]
        if len(off):
            best[decision] = [part.copy() for part in best[decision]]
            for number, part in enumerate(best[decision]):
                part[:, off] = 0.0
                for start, child in forest.children[decision]:
                    if start < 0:
                        part[:, off] += best[child][number][:, forest.below[child][off, -1]]
        yield decision, parts, pick, taken, best[decision]


def _own(cost: Floats, gain: Floats, weight: Floats, on_score: Floats) -> list[Floats]:
    """Computes cost, score and worth of the choices of a decision without their subtrees, at every price.

    Args:
        cost: Cost of the choices, shape (R, S, C, M); inf where a choice is not allowed.
        gain: Score of the choices, shape (C,).
        weight: Weight of each cost in the worth, shape (K, J, M).
        on_score: Weight of the score in the worth, shape (K, J).

    Returns:
        Cost, score and worth, shapes (R, S, C, K, J, M), (R, S, C, K, J) and (R, S, C, K, J); the first two are
        read-only.
    """
    allowed: NDArray[np.bool_] = np.all(np.isfinite(cost), axis=3)
    cost = np.where(allowed[..., None], cost, 0.0)
    shape = (*cost.shape[:3], *weight.shape[:2])
    charged = (cost @ weight.reshape(-1, cost.shape[3]).T).reshape(shape)
    worth = np.where(allowed[..., None, None], on_score * gain[:, None, None] - charged, -np.inf)
    return [
        np.broadcast_to(cost[:, :, :, None, None], (*shape, cost.shape[3])),
        np.broadcast_to(gain[:, None, None], shape),
        worth,
    ]


def _range(space: SearchSpace, table: AdditiveTable) -> float:
    """Returns the cost of the most expensive minus the cheapest architecture, as the mean over allowed resolutions.

    Returns 1 if all architectures cost the same. The sum of the differences between single choices would not do: if the
    cost of a layer is mainly that of its call, choices hardly differ but depths do, and prices in units of such small
    differences would all count as infinite.
    """
    bounds = Completions.of(space, table)
    possible = np.isfinite(bounds.floor)
    if not possible.any():
        return 1.0
    spread = float(np.mean((bounds.ceiling - bounds.floor)[possible]))
    # A difference that is only due to rounding does not count as a range.
    return spread if spread > _ROUNDING * np.abs(table.choice[np.isfinite(table.choice)]).max(initial=0.0) else 1.0
