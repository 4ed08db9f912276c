"""The cheapest and the most expensive architectures under an additive cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.space.space import Codes, SearchSpace


@dataclass(frozen=True)
class Completions:
    """Cheapest and most expensive architectures under one table; R resolutions, D decisions.

    Attributes:
        floor: Cost of the cheapest architecture at each resolution, inf where none is allowed, shape (R,).
        ceiling: Cost of the most expensive architecture at each resolution, -inf where none is allowed, shape (R,).
        cheapest: A cheapest architecture at each resolution, int8, shape (R, D).
    """

    floor: Floats
    ceiling: Floats
    cheapest: Codes

    @classmethod
    def of(cls, space: SearchSpace, table: AdditiveTable) -> Completions:
        """Computes the bounds of a table by dynamic programming, last decision first."""
        forest = space.forest
        own = np.where(space.existing, table.choice, np.inf)
        least: dict[int, Floats] = {}
        most: dict[int, Floats] = {}
        picked: dict[int, NDArray[np.intp]] = {}
        for decision in reversed(range(len(space.decisions))):
            low = own[:, forest.rows[decision]]
            high = np.where(np.isfinite(low), low, -np.inf)
            # Children come later in the order, so their values are final.
            for start, child in forest.children[decision]:
                choices = slice(max(start, 0), int(space.sizes[decision]))
                low[:, :, choices] += forest.spread(child, least[child], choices)
                high[:, :, choices] += forest.spread(child, most[child], choices)
            high[~np.isfinite(low)] = -np.inf
            least[decision], most[decision], picked[decision] = low.min(2), high.max(2), low.argmin(2)
            off = forest.inactive[decision]
            for bound in (least, most) if len(off) else ():
                bound[decision][:, off] = sum(
                    (
                        bound[child][:, forest.below[child][off, -1]]
                        for start, child in forest.children[decision]
                        if start < 0
                    ),
                    start=np.zeros(1),
                )
        every = np.arange(len(table.base))
        floor = table.base + low[every, 0, every] + np.sum([least[root][:, 0] for root in forest.roots], axis=0)
        possible = np.isfinite(floor)
        ceiling = np.full_like(floor, -np.inf)
        ceiling[possible] = (table.base[possible] + high[every, 0, every][possible]) + np.sum(
            [most[root][possible, 0] for root in forest.roots], axis=0
        )
        cheapest = forest.follow(every, picked)
        floor[possible] = table.cost(cheapest[possible])
        return cls(floor, ceiling, cheapest)

    @property
    def least(self) -> float:
        """Cost of the cheapest architecture; inf if none is allowed."""
        return float(self.floor.min())

    @property
    def most(self) -> float:
        """Cost of the most expensive architecture; -inf if none is allowed."""
        return float(self.ceiling.max())
