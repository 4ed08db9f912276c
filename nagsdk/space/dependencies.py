"""Which decision switches on which: the structure that makes exact sums over a space cheap.

A decision depends on at most one earlier decision (`Decision.active_if`), so the decisions of any space
form a forest. Everything additive then splits: a subtree is a choice of its root plus the subtrees that
this choice switches on, and subtrees are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.space import SearchSpace


@dataclass(frozen=True)
class Forest:
    """The decisions of a space as trees; decision 0, the resolution, stands above all of them.

    Attributes:
        roots: Decisions that are always active, without decision 0.
        children: Of every decision: (smallest choice index that switches it on, decision), ascending.
    """

    roots: tuple[int, ...]
    children: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, space: SearchSpace) -> Forest:
        """Reads the forest off a space."""
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
    """Which cells of a (decisions, most choices) table are choices of the space."""
    most = int(space.sizes.max())
    return np.arange(most) < space.sizes[:, None]
