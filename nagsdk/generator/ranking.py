"""Ranks the architectures that a generator proposed, by predicted accuracy within the limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.cost.table import Floats
from nagsdk.predictor.protocol import Predictor
from nagsdk.space.space import Codes


def choose(
    predictor: Predictor, codes: Codes, upper: Floats | None = None, limits: ArrayLike = np.inf
) -> NDArray[np.intp]:
    """Ranks candidates, best first.

    Candidates whose upper bound holds the limit come first, in the order of their predicted top-1. The others follow,
    ordered by how little they exceed the limit. Ties go to the lower bound, then to the earlier candidate.

    Args:
        predictor: Its mean predictions determine the order; it is called with every distinct architecture once.
        codes: Proposed architectures, int8, shape (..., candidates, decisions).
        upper: Upper bounds of their costs, shape (..., candidates); None if all hold the limit.
        limits: Limits on the upper bounds, shape (...), or one limit for all.

    Returns:
        Indices of the candidates in order, shape (..., candidates).
    """
    rows, first, inverse = distinct(codes)
    top1 = np.asarray(predictor.predict(rows[first]).mean, dtype=np.float64)[inverse].reshape(codes.shape[:-1])
    bound = np.zeros(top1.shape) if upper is None else upper
    over = np.maximum(bound - np.asarray(limits, dtype=np.float64)[..., None], 0.0)
    return np.lexsort((bound, -top1, over), axis=-1)


def distinct(codes: Codes) -> tuple[Codes, NDArray[np.intp], NDArray[np.intp]]:
    """Finds equal architectures, so that each is predicted once.

    Args:
        codes: Architectures, int8, shape (..., decisions).

    Returns:
        The architectures in rows, shape (n, decisions); the indices of the m distinct ones, shape (m,); and for each
        row the number of its distinct one, shape (n,).
    """
    rows = np.ascontiguousarray(codes.reshape(-1, codes.shape[-1]))
    keys = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows, first, inverse


def best_of_every_cost(cost: Floats, top1: Floats, count: int) -> NDArray[np.intp]:
    """Sorts architectures by cost, splits them into equal parts and picks the most accurate one of each part.

    Args:
        cost: Costs of the architectures, shape (n,), n >= count.
        top1: Top-1 of the architectures, shape (n,).
        count: Number of parts.

    Returns:
        Indices of the picked architectures, shape (count,).
    """
    return np.array([part[top1[part].argmax()] for part in np.array_split(cost.argsort(), count)], np.intp)
