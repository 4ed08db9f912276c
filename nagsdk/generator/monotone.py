"""Answers that never get worse when the budget grows, although no answer depends on which other budgets were asked.

The range of a cost is halved again and again, so that every budget lies in a small cell, and a path of halvings leads
to it. Architectures are proposed for the budgets at which the range is halved, not for the budget itself. The worth of
such a halving is that of the best architecture so far that holds it. Budgets below it may only be answered with
architectures of at most this worth; budgets above it know the architecture that has it. So two budgets with the same
path choose from the same architectures, of which the larger one may use more, and two budgets with different paths are
separated by the worth of the halving at which their paths part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.generator.frontier import check_limits
from nagsdk.generator.ranking import distinct
from nagsdk.space.space import Codes, SearchSpace

Indices = NDArray[np.intp]
# Cells of a thousandth of the range: much smaller than the share of a budget that an architecture leaves unused.
_HALVINGS = 10


def monotone(
    space: SearchSpace,
    table: AdditiveTable,
    limits: Floats,
    propose: Callable[[Floats], Codes],
    worth: Callable[[Codes], Floats],
) -> Codes:
    """Answers budgets on one cost.

    Args:
        space: The search space.
        table: The limited cost.
        limits: Upper limits, shape (n,).
        propose: Proposes architectures for limits: shape (m,) to (m, candidates, decisions).
        worth: Predicts the worth of architectures, such as their top-1.

    Returns:
        Codes, int8, shape (n, candidates, decisions), all within their limit. The first of each budget has the highest
        worth; a larger limit never gets a first one of lower worth.

    Raises:
        InfeasibleError: No architecture holds a limit.
    """
    bounds = Completions.of(space, table)
    check_limits(limits, bounds.least)
    grid = np.linspace(bounds.least, bounds.most, 2**_HALVINGS + 1)
    cell = np.searchsorted(grid, limits, side="right") - 1
    path = _paths(cell)
    nodes, at = np.unique(path, return_inverse=True)
    proposed = propose(grid[nodes])
    count = proposed.shape[1]
    rows, first, same = distinct(proposed)
    # For every budget and halving on its path: worth and cost of the architectures, shape (n, halvings, candidates).
    at = at.reshape(path.shape)
    which = same.reshape(-1, count)[at]
    value, cost = worth(rows[first])[which], table.cost(rows)[first][which]
    n = len(limits)
    most = np.full((n, 1, 1), np.inf)
    for step in range(1, path.shape[1]):
        seen = slice(step + 1)
        limit = grid[path[:, step], None, None]
        usable = (cost[:, seen] <= limit) & (value[:, seen] <= most)
        best = np.where(usable, value[:, seen], -np.inf).max((1, 2), keepdims=True)
        most = np.where((cell >= path[:, step])[:, None, None], most, best)
    usable = (cost <= limits[:, None, None]) & (value <= most)
    return rows[first][_ranked(np.where(usable, value, -np.inf).reshape(n, -1), which.reshape(n, -1), count)]


def _paths(cell: Indices) -> Indices:
    """The ends of the range and the halvings on the way to each cell, as indices of the grid, shape (n, halvings)."""
    low, high = np.zeros_like(cell), np.full_like(cell, 2**_HALVINGS)
    path = [low, high]
    for _ in range(_HALVINGS):
        middle = (low + high) // 2
        path.append(middle)
        low, high = np.where(cell >= middle, middle, low), np.where(cell >= middle, high, middle)
    return np.stack(path, 1)


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
