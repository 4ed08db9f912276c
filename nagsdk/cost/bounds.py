"""The cheapest and the most expensive architectures under an additive cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.space.dependencies import Forest, existing
from nagsdk.space.space import Codes, SearchSpace

if TYPE_CHECKING:
    pass


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
        forest, exists = Forest.of(space), existing(space)
        low = np.where(exists, table.choice, np.inf)
        high = np.where(exists & np.isfinite(table.choice), table.choice, -np.inf)
        least, most = low.min(2), high.max(2)
        for decision in reversed(range(len(space.decisions))):
            # Children come later in the order, so their values are final.
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
        """Cost of the cheapest architecture; inf if none is allowed."""
        return float(self.floor.min())

    @property
    def most(self) -> float:
        """Cost of the most expensive architecture; -inf if none is allowed."""
        return float(self.ceiling.max())
