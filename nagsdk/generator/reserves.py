"""Reserves: architectures that are certain to hold given limits, found among the cheapest ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats, mixed
from nagsdk.errors import InfeasibleError
from nagsdk.generator.frontier import check_limits
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    from nagsdk.generator.prices import Paths

_ATTEMPTS = 60


def reserves(
    space: SearchSpace, tables: Sequence[AdditiveTable], paths: Paths, limits: Floats
) -> tuple[Codes, NDArray[np.bool_]]:
    """Finds an architecture that holds the limits of each budget.

    Args:
        space: The search space.
        tables: Tables of the limited costs.
        paths: Paths of these costs.
        limits: Limits of each budget on each cost, shape (n, M).

    Returns:
        Codes, int8, shape (n, decisions), and for which budgets the last architecture of a path holds the limits,
        shape (n,). The limits of other budgets are so tight that a `Walk` might get stuck.

    Raises:
        InfeasibleError: No architecture holds the limits of a budget, or none was found among the cheapest ones under
            many mixes of the costs.
    """
    codes = paths.cheapest.reshape(-1, paths.cheapest.shape[2])
    costs = _costs(tables, codes)
    for cost, limit in zip(costs.T, limits.T, strict=True):
        check_limits(limit, float(cost.min()))
    holds: NDArray[np.bool_] = np.all(costs <= limits[:, None], axis=2)
    sure: NDArray[np.bool_] = np.any(holds, axis=1)
    result: Codes = codes[holds.argmax(1)]
    for number in np.flatnonzero(~sure):
        result[number] = _balanced(space, tables, paths.scale, limits[number])
    return result, sure


def _balanced(space: SearchSpace, tables: Sequence[AdditiveTable], scale: Floats, limit: Floats) -> Codes:
    """Searches for an architecture within a limit: the cheapest one of mixes in which exceeded costs gain weight."""
    pressure = np.zeros(len(tables))
    for attempt in range(_ATTEMPTS):
        bounds = Completions.of(space, mixed(tables, np.exp(pressure - pressure.max()) / scale))
        code: Codes = bounds.cheapest[bounds.floor.argmin()]
        over = (_costs(tables, code[None])[0] - limit) / scale
        if (over <= 0).all():
            return code
        pressure += over / np.abs(over).max() / np.sqrt(1 + attempt)
    raise InfeasibleError(
        "Each of the limits can be held, but no architecture was found that holds all of them together.",
        "Raise one of the limits.",
    )


def _costs(tables: Sequence[AdditiveTable], codes: Codes) -> Floats:
    return np.stack([table.cost(codes) for table in tables], axis=1)
