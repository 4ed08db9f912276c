"""Answers that never get worse when the first budget grows, although none depends on which other budgets were asked.

The range of the first cost is halved again and again, so that every budget lies in a small cell, and a path of halvings
leads to it. Architectures are proposed for the budgets at which the range is halved, not for the budget itself; limits
on other costs are those of the budget. The worth of such a halving is that of the best architecture so far that holds
it. Budgets below it may only be answered with architectures of at most this worth; budgets above it know the
architecture that has it. So two budgets with the same path choose from the same architectures, of which the larger one
may use more, and two budgets with different paths are separated by the worth of the halving at which their paths part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import Floats
from nagsdk.generator.ranking import distinct
from nagsdk.generator.strategy import Question
from nagsdk.space.space import Codes

Indices = NDArray[np.intp]
# Cells of a thousandth of the range: much smaller than the share of a budget that an architecture leaves unused.
_HALVINGS = 10
# Only the last halvings, which are near the budget, get all candidates; the worth of the first ones is far from that of
# the answer, so that this share of the candidates is enough there.
_FULL, _SHARE = 7, 0.25


def monotone(
    question: Question, propose: Callable[[Floats, Indices], Codes], worth: Callable[[Codes], Floats], count: int
) -> Codes:
    """Answers budgets.

    Args:
        question: The budgets.
        propose: Proposes architectures for limits of shape (m, costs), as many as wanted for each, of shape (m,); shape
            (all of them, decisions). Where fewer are wanted, it proposes the first ones.
        worth: Predicts the worth of architectures, such as their top-1.
        count: Number of candidates of each answer.

    Returns:
        Codes, int8, shape (n, count, decisions), all within their limits. The first of each budget has the highest
        worth. With a larger first limit and the same other ones it is never a first one of lower worth, unless the
        smaller budget is so tight that only the search for a reserve finds an architecture for it.

    Raises:
        InfeasibleError: No architecture was found within the limits of a budget.
    """
    limits, decisions = question.limits, len(question.space.decisions)
    reserves, cheapest = question.reserves, question.paths.cheapest.reshape(-1, decisions)
    bounds = Completions.of(question.space, question.tables[0])
    grid = np.linspace(bounds.least, bounds.most, 2**_HALVINGS + 1)
    cell = np.searchsorted(grid, limits[:, 0], side="right") - 1
    path = _paths(cell)
    wanted = np.repeat(limits[:, None], path.shape[1], axis=1)
    wanted[..., 0] = grid[path]
    nodes, at = np.unique(
        np.column_stack([path.reshape(-1), wanted.reshape(-1, limits.shape[1])]),
        axis=0,
        return_inverse=True,
    )
    halvings = np.asarray(nodes[:, 1:], np.float64)
    # The generator is certain to find something where one of the cheapest architectures holds the limits.
    holds = (_costs(question, cheapest) <= halvings[:, None]).all(2)
    certain: NDArray[np.bool_] = np.any(holds, axis=1)
    few = max(1, round(_SHARE * count))
    counts = np.where(_halving(nodes[:, 0].astype(np.intp)) > _HALVINGS - _FULL, count, few)
    # The least limit allows the cheapest architectures only, which are known.
    counts = np.where(certain & (nodes[:, 0] > 0), counts, 0)
    proposed = propose(halvings[counts > 0], counts[counts > 0])
    rows, first, same = distinct(np.concatenate([cheapest, reserves, proposed]))
    rows = rows[first]
    # One more architecture, which holds no limit, stands where nothing was proposed.
    all_worth = np.append(worth(rows), -np.inf)
    all_cost = np.append(_costs(question, rows), np.full((1, limits.shape[1]), np.inf), 0)
    table = np.full((len(nodes), count), len(rows))
    table[np.arange(count) < counts[:, None]] = same[len(cheapest) + len(reserves) :]
    # For every budget and halving on its path: worth and cost of the architectures, shape (n, halvings, candidates).
    which = table[at.reshape(path.shape)]
    value, cost = all_worth[which], all_cost[which]
    within = (cost[..., 1:] <= limits[:, None, None, 1:]).all(3)
    value, cost = np.where(within, value, -np.inf), cost[..., 0]
    n = len(limits)
    most = np.full((n, 1, 1), np.inf)
    for step in range(1, path.shape[1]):
        seen = slice(step + 1)
        limit = grid[path[:, step], None, None]
        usable = (cost[:, seen] <= limit) & (value[:, seen] <= most)
        best = np.where(usable, value[:, seen], -np.inf).max((1, 2), keepdims=True)
        most = np.where((cell >= path[:, step])[:, None, None], most, best)
    usable = (cost <= limits[:, :1, None]) & (value <= most)
    answers = np.where(usable, which, len(rows)).reshape(n, -1)
    # The cheapest architectures are the same for all budgets, so the better one of both never gets worse either.
    known = same[: len(cheapest) + n]
    fixed = np.column_stack([np.broadcast_to(known[: len(cheapest)], (n, len(cheapest))), known[len(cheapest) :]])
    fixed = np.where((all_cost[fixed] <= limits[:, None]).all(2), fixed, len(rows))
    found = np.concatenate([answers, fixed], axis=1)
    return rows[_ranked(all_worth[found], found, count)]


def _costs(question: Question, codes: Codes) -> Floats:
    return np.stack([table.cost(codes) for table in question.tables], axis=1)


def _paths(cell: Indices) -> Indices:
    """The ends of the range and the halvings on the way to each cell, as indices of the grid, shape (n, halvings)."""
    low, high = np.zeros_like(cell), np.full_like(cell, 2**_HALVINGS)
    path = [low, high]
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        path.append(middle)
        low, high = np.where(cell >= middle, middle, low), np.where(cell >= middle, high, middle)
    return np.stack(path, 1)


def _halving(index: Indices) -> Indices:
    """The number of the halving at which an index of the grid is the middle; 0 for the ends of the range."""
    divisors: Indices = np.bitwise_and(index, -index)
    return np.where(divisors > 0, _HALVINGS - np.log2(np.maximum(divisors, 1)).astype(np.intp), 0)


def _ranked(value: Floats, which: Indices, count: int) -> Indices:
    """The `count` architectures of highest value in each row, each one once as far as there are enough of them."""
    order = np.argsort(-value, axis=1, kind="stable")
    value, which = np.take_along_axis(value, order, 1), np.take_along_axis(which, order, 1)
    again = np.zeros(which.shape, bool)
    again[:, 1:] = which[:, 1:] == which[:, :-1]
    again |= np.isneginf(value)
    which = np.where(again, which[:, :1], which)
    kept = np.argsort(again, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(which, kept, 1)
