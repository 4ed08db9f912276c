"""Non-dominated sorting, for searches that keep several aims apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats


def fronts(aims: Floats) -> NDArray[np.intp]:
    """Number of the front of every row, 0 for those that no other dominates.

    Args:
        aims: Values to minimise, shape (m, aims).
    """
    no_worse = (aims[:, None] <= aims[None]).all(2)
    dominates = no_worse & (aims[:, None] < aims[None]).any(2)
    number = np.full(len(aims), -1)
    for front in range(len(aims)):
        rest = number < 0
        if not rest.any():
            break
        number[rest & ~(dominates & rest[:, None]).any(0)] = front
    return number


def crowding(aims: Floats) -> Floats:
    """How far the neighbours of every row are from each other, inf at the ends, shape (m,)."""
    result = np.zeros(len(aims))
    for of in aims.T:
        order = np.argsort(of, kind="stable")
        gaps = np.full(len(of), np.inf)
        gaps[1:-1] = (of[order][2:] - of[order][:-2]) / max(float(np.ptp(of)), 1e-12)
        result[order] += gaps
    return result


def survivors(aims: Floats, count: int) -> NDArray[np.intp]:
    """Indices of `count` rows as NSGA-II (Deb et al., 2002) keeps them: by front, then by crowding."""
    return np.lexsort((-crowding(aims), fronts(aims)))[:count]
