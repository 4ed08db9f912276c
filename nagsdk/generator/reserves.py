"""Cheapest architectures: what bounds every cost from below, and what is sure to hold limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import InfeasibleError
from nagsdk.generator.frontier import check_limits, mixed
from nagsdk.space.dependencies import Forest, existing
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    from nagsdk.generator.prices import Paths

_ATTEMPTS = 60


@dataclass(frozen=True)
class Completions:
    """Cheapest and dearest architectures under one table; R resolutions, D decisions.

    Attributes:
        floor: Cost of the cheapest architecture at each resolution, inf where none is allowed, shape (R,).
        ceiling: Cost of the dearest one, -inf where none is allowed, shape (R,).
        cheapest: A cheapest architecture at each resolution, int8, shape (R, D).
    """

    floor: Floats
    ceiling: Floats
    cheapest: Codes

    @classmethod
    def of(cls, space: SearchSpace, table: AdditiveTable) -> Completions:
        """Computes the bounds of a table by dynamic programming, last decision first."""
        forest, exists = Forest.of(space), existing(space)
        low = np.where(exists, table.choice, np.inf)
        high = np.where(exists & np.isfinite(table.choice), table.choice, -np.inf)
        least, most = low.min(2), high.max(2)
        for decision in reversed(range(len(space.decisions))):
            # Children come later in the order, so theirs is done.
            for start, child in forest.children[decision]:
                low[:, decision, start:] += least[:, child, None]
                high[:, decision, start:] += most[:, child, None]
            high[~np.isfinite(low)] = -np.inf
            least[:, decision], most[:, decision] = low[:, decision].min(1), high[:, decision].max(1)
        every, roots = np.arange(len(table.base)), list(forest.roots)
        floor = table.base + low[every, 0, every] + least[:, roots].sum(1)
        possible = np.isfinite(floor)
        ceiling = np.full_like(floor, -np.inf)
        ceiling[possible] = (table.base[possible] + high[every, 0, every][possible]) + most[possible][:, roots].sum(1)
        cheapest = low.argmin(2).astype(np.int8)
        cheapest[:, 0] = every
        for decision, children in enumerate(forest.children):
            for start, child in children:
                cheapest[cheapest[:, decision] < start, child] = -1
        floor[possible] = table.cost(cheapest[possible])
        return cls(floor, ceiling, cheapest)

    @property
    def least(self) -> float:
        """Cost of the cheapest architecture; inf where nothing is allowed."""
        return float(self.floor.min())

    @property
    def most(self) -> float:
        """Cost of the dearest architecture; -inf where nothing is allowed."""
        return float(self.ceiling.max())


def reserves(space: SearchSpace, tables: Sequence[AdditiveTable], paths: Paths, limits: Floats) -> tuple[Codes, NDArray[np.bool_]]:
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
        "Architectures hold each of the limits, but none was found that holds all of them together.", "Raise one of the limits."
    )


def _costs(tables: Sequence[AdditiveTable], codes: Codes) -> Floats:
    return np.stack([table.cost(codes) for table in tables], axis=1)
