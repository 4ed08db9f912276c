"""Cheapest architectures: what bounds every cost from below, and what is sure to hold limits."""

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
    """An architecture that holds the limits of each budget.

    Args:
        space: The space.
        tables: The costs that are limited.
        paths: Theirs.
        limits: Shape (n, M).

    Returns:
        Codes, int8, shape (n, decisions), and where the last architecture of a path is one, shape (n,):
        elsewhere the limits leave so little that a `Walk` might get stuck.

    Raises:
        InfeasibleError: A budget has none, or none was found among the cheapest under many mixes of the costs.
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
    """The cheapest architecture of a mix in which costs that pass their limit weigh more and more."""
    pressure = np.zeros(len(tables))
    for attempt in range(_ATTEMPTS):
        bounds = Completions.of(space, mixed(tables, np.exp(pressure - pressure.max()) / scale))
        code: Codes = bounds.cheapest[bounds.floor.argmin()]
        over = (_costs(tables, code[None])[0] - limit) / scale
        if (over <= 0).all():
            return code
        pressure += over / np.abs(over).max() / np.sqrt(1 + attempt)
    raise InfeasibleError(
        "Architectures hold each of the limits, but none was found that holds all of them together.",
        "Raise one of the limits.",
    )


def _costs(tables: Sequence[AdditiveTable], codes: Codes) -> Floats:
    return np.stack([table.cost(codes) for table in tables], axis=1)
