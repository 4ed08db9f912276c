"""Prices of limits: for every price, the best architecture and what each of its choices is worth.

Under a price on cost (Lagrange multiplier) the best architecture is found by dynamic programming over the
`Forest`, for many prices at once. With several limits a price is charged on a mix of the costs. The
architectures of one mix, from free to priceless, are a *path*. For any partial architecture a path tells
what its best completion costs and scores at every price; the price at which that completion just holds all
limits is the price at which the open choices are to be judged. A policy that reads it need not know the
device: the same network serves all of them. The last point of a path costs least, so a choice after which
some path's last point holds every limit can always be completed.
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
from nagsdk.space.dependencies import Forest, existing
from nagsdk.space.space import Codes, SearchSpace

PRICES = 16
# In units of (range of the score) / (range of the cost): what lies beyond is free or priceless.
_LEAST_PRICE, _MOST_PRICE = 0.05, 8.0
_ROUGH = 30
_ROUNDING = 1e-9


def mixes(count: int) -> Floats:
    """Shares of the costs in the mixes that are priced: each alone, and equal shares of two and of all.

    Returns:
        Shape (mixes, count).
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
    """Best completions under prices; R resolutions, D decisions, C most choices but for decision 0, K mixes, J prices, M costs.

    Costs are in units of `scale`, scores in units of `worth`.

    Attributes:
        scale: Range of each cost over the architectures of a resolution, shape (M,).
        worth: Range of the score over them.
        price: Weight of the cost against 1 less it of the score, from 0, free, to 1, priceless; shape (K, J).
        cost: Of the best architecture at each resolution and price; inf where nothing is allowed, shape (R, K, J, M).
        score: Its score, likewise, -inf where nothing is allowed, shape (R, K, J).
        value: Worth of a choice with its best subtree less that of the best choice, between score alone and
            cost alone as the price has it, but not less than -1; shape (R, D, K, J, C).
        extra: What the choice with its subtree costs more than the best one, shape (R, D, C, K, J, M).
        gain: What it scores more, shape (R, D, C, K, J).
        cheapest: The last architecture of each mix, int8, shape (K, R, D).
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

    @classmethod
    def of(cls, space: SearchSpace, tables: Sequence[AdditiveTable], score: Score) -> Paths:
        """Computes the paths of some costs by dynamic programming, last decision first.

        Args:
            space: Any search space.
            tables: The costs that are limited.
            score: The score to maximise.
        """
        forest, count, resolutions = Forest.of(space), len(space.decisions), len(space.resolutions)
        every, exists, most = np.arange(resolutions), existing(space), int(space.sizes[1:].max(initial=1))
        cost = np.stack([np.where(exists, table.choice, np.inf) for table in tables], axis=-1)
        base = np.stack([table.base for table in tables], axis=-1) + cost[every, 0, every]
        scale = np.array([_range(space, table) for table in tables])
        worth = _range(
            space, AdditiveTable(np.zeros(resolutions), np.broadcast_to(score.table, (resolutions, *score.table.shape)))
        )
        cost, gains = cost[:, :, :most] / scale, score.table / worth

        mix = mixes(len(tables))
        on_cost = _prices(space, forest, cost, gains, mix, np.isfinite(base).all(1))
        weight = mix[:, None] * on_cost[..., None]
        grid = on_cost.shape
        extra = np.full((resolutions, count, most, *grid, len(tables)), np.inf)
        gain = np.zeros(extra.shape[:-1], np.float32)
        value = np.full((resolutions, count, *grid, most), -1, np.float32)
        cheapest = np.zeros((len(mix), resolutions, count), np.int8)
        cheapest[:, :, 0] = every
        best: dict[int, list[Floats]] = {}  # of subtrees: cost (R, K, J, M), score and value (R, K, J)
        for decision, parts, pick, taken in _bottom_up(space, forest, cost, gains, weight, 1 - on_cost):
            best[decision] = [part[:, 0] for part in taken]
            choices = slice(int(space.sizes[decision]))
            np.subtract(parts[0], taken[0], out=extra[:, decision, choices])
            extra[:, decision, choices][~np.isfinite(parts[2])] = np.inf
            gain[:, decision, choices] = parts[1] - taken[1]
            least = np.where(np.isfinite(taken[2]), taken[2], 0.0)
            value[:, decision, :, :, choices] = np.maximum(parts[2] - least, -1).transpose(0, 2, 3, 1)
            cheapest[:, :, decision] = pick[:, 0, :, -1].T

        whole = [base[:, None, None] / scale, gains[0, every, None, None], np.zeros((resolutions, 1, 1))]
        whole = [np.broadcast_to(part, (resolutions, *grid, *part.shape[3:])).copy() for part in whole]
        for start, child in [(0, root) for root in forest.roots] + list(forest.children[0]):
            for part, below in zip(whole, best[child], strict=True):
                part[start:] += below[start:]
        for decision, children in enumerate(forest.children):
            for start, child in children:
                cheapest[cheapest[..., decision] < start, child] = -1
        possible = np.isfinite(whole[2]) & np.isfinite(whole[0]).all(-1)
        total = np.where(possible[..., None], whole[0], np.inf)
        return cls(scale, worth, on_cost, total, np.where(possible, whole[1], -np.inf), value, extra, gain, cheapest)


def _prices(
    space: SearchSpace, forest: Forest, cost: Floats, gains: Floats, mix: Floats, allowed: NDArray[np.bool_]
) -> Floats:
    """Weights of the cost at the prices of each mix: half of them spread over all prices, half of them where costs fall.

    Where what layers score for what they cost is much the same, all depths lie within few prices. One resolution tells.

    Returns:
        Shape (mixes, PRICES), ascending from 0 to 1.
    """
    wide = np.geomspace(_LEAST_PRICE, _MOST_PRICE, _ROUGH)
    of_all = np.concatenate([[0.0], wide / (1 + wide), [1.0]])
    among = np.flatnonzero(allowed)
    if len(among):
        r = int(among[len(among) // 2])
        active = {*forest.roots, *(child for start, child in forest.children[0] if start <= r)}
        on_score = np.broadcast_to(1 - of_all, (len(mix), len(of_all)))
        subtrees = _bottom_up(space, forest, cost[[r]], gains, mix[:, None] * of_all[:, None], on_score)
        costs = np.sum([taken[0][0, 0] for decision, _, _, taken in subtrees if decision in active], axis=0)
        spent = (costs * mix[:, None]).sum(-1)
        fallen = np.maximum.accumulate(spent[:, :1] - spent, axis=1)
        fallen /= np.maximum(fallen[:, -1:], _ROUNDING)
    else:
        fallen = np.zeros((len(mix), len(of_all)))
    place = (fallen + np.linspace(0, 1, len(of_all))) / 2
    position = [np.interp(np.linspace(0, p[-1], PRICES), p, np.arange(len(of_all))) for p in place]
    result: Floats = np.interp(position, np.arange(len(of_all)), of_all)
    return result


def _bottom_up(
    space: SearchSpace, forest: Forest, cost: Floats, gains: Floats, weight: Floats, on_score: Floats
) -> Iterator[tuple[int, list[Floats], NDArray[np.intp], list[Floats]]]:
    """Dynamic programming, last decision first.

    Yields:
        The decision; what its choices with their best subtrees cost, score and are worth; which is best, shape (R, 1, K, J); the same of that one.
    """
    best: dict[int, list[Floats]] = {}
    for decision in reversed(range(1, len(space.decisions))):
        choices = slice(int(space.sizes[decision]))
        parts = _own(cost[:, decision, choices], gains[decision, choices], weight, on_score)
        if forest.children[decision]:
            parts = [part.copy() for part in parts]
        for start, child in forest.children[decision]:
            for part, below in zip(parts, best[child], strict=True):
                part[:, start:] += below[:, None]
        pick = parts[2].argmax(1)[:, None]
        taken = [np.take_along_axis(part, pick if part.ndim == 4 else pick[..., None], 1) for part in parts]
        best[decision] = [part[:, 0] for part in taken]
        yield decision, parts, pick, taken


def _own(cost: Floats, gain: Floats, weight: Floats, on_score: Floats) -> list[Floats]:
    """What the choices of a decision cost, score and are worth by themselves, at every price.

    Args:
        cost: Shape (R, C, M); inf where a choice is not allowed.
        gain: Shape (C,).
        weight: Share of each cost in the worth, shape (K, J, M).
        on_score: Share of the score, shape (K, J).

    Returns:
        Shapes (R, C, K, J, M), (R, C, K, J) and (R, C, K, J), the first two read-only.
    """
    allowed: NDArray[np.bool_] = np.all(np.isfinite(cost), axis=2)
    cost = np.where(allowed[..., None], cost, 0.0)
    shape = (*cost.shape[:2], *weight.shape[:2])
    charged = (cost @ weight.reshape(-1, cost.shape[2]).T).reshape(shape)
    worth = np.where(allowed[..., None, None], on_score * gain[:, None, None] - charged, -np.inf)
    return [
        np.broadcast_to(cost[:, :, None, None], (*shape, cost.shape[2])),
        np.broadcast_to(gain[:, None, None], shape),
        worth,
    ]


def _range(space: SearchSpace, table: AdditiveTable) -> float:
    """Dearest less cheapest architecture, mean over the resolutions that are allowed; 1 where all are alike.

    Not the sum of what single choices differ by: where layers cost what calls cost, hardly any choice does,
    but depths do, and prices in units of so little would all be priceless.
    """
    bounds = Completions.of(space, table)
    possible = np.isfinite(bounds.floor)
    if not possible.any():
        return 1.0
    spread = float(np.mean((bounds.ceiling - bounds.floor)[possible]))
    # What rounding leaves of equal sums is no range.
    return spread if spread > _ROUNDING * np.abs(table.choice[np.isfinite(table.choice)]).max(initial=0.0) else 1.0
