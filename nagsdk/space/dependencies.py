"""Dependencies between decisions; thanks to their structure, exact sums over a whole space are cheap.

A decision depends on at most one earlier decision (`Decision.active_if`), so the decisions of any space form a forest.
Any additive cost then splits into parts: the cost of a subtree is the cost of a choice at its root plus the costs of
the subtrees that this choice activates, and the subtrees are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.space import SearchSpace


@dataclass(frozen=True)
class Forest:
    """The decisions of a space as trees; decision 0, the resolution, belongs to no tree and applies to all.

    Attributes:
        roots: Decisions that are always active, except decision 0.
        children: For every decision, the decisions that depend on it: pairs (smallest choice index that activates the
            dependent decision, dependent decision), ascending.
    """

    roots: tuple[int, ...]
    children: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, space: SearchSpace) -> Forest:
        """Builds the forest of a space."""
        children: list[list[tuple[int, int]]] = [[] for _ in space.decisions]
        roots = []
        for index, decision in enumerate(space.decisions):
            if decision.active_if is not None:
                parent, least = decision.active_if
                children[parent].append((least, index))
            elif index:
                roots.append(index)
        return cls(tuple(roots), tuple(tuple(sorted(c)) for c in children))


def existing(space: SearchSpace) -> NDArray[np.bool_]:
    """Mask of the cells of a (decisions, largest number of choices) table that are choices of the space."""
    most = int(space.sizes.max())
    return np.arange(most) < space.sizes[:, None]
