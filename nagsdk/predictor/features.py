"""Features of an architecture for the predictor: a linear map of the one-hot encoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.space.decisions import Decision
from nagsdk.space.space import SearchSpace

Floats = NDArray[np.float64]


def feature_map(space: SearchSpace, measured: NDArray[np.bool_]) -> Floats:
    """Returns the matrix that turns one-hot rows into features.

    A choice that is a tuple, such as (kernel, expansion), is split into its parts: the effect of a kernel is then
    learned over all expansions together, which needs far fewer measured architectures than nine unrelated choices
    would. The resolution is encoded by its position between the measured resolutions, so that others are interpolated;
    with only one measured resolution, it is not a feature.

    Args:
        space: Search space of the architectures.
        measured: Mask of the resolutions with measured architectures, shape (resolutions,).

    Returns:
        Matrix of shape (space.one_hot_width, features).
    """
    parts = [_resolution_part(space.resolutions, measured), *(_part(decision) for decision in space.decisions[1:])]
    rows, columns = (np.cumsum([0, *(part.shape[axis] for part in parts)]) for axis in (0, 1))
    result = np.zeros((rows[-1], columns[-1]))
    for part, row, column in zip(parts, rows, columns, strict=False):
        result[row : row + part.shape[0], column : column + part.shape[1]] = part
    return result


def _resolution_part(resolutions: tuple[int, ...], measured: NDArray[np.bool_]) -> Floats:
    known = np.array(resolutions)[measured]
    if len(known) < 2:
        return np.zeros((len(resolutions), 0))
    order = np.argsort(known)
    return np.stack([np.interp(resolutions, known[order], np.eye(len(known))[i]) for i in range(len(known))], axis=1)


def _part(decision: Decision) -> Floats:
    choices = [choice if isinstance(choice, tuple) else (choice,) for choice in decision.choices]
    if len({len(choice) for choice in choices}) > 1:
        return np.eye(len(choices))
    blocks = [
        [[float(value == legal) for legal in dict.fromkeys(values)] for value in values]
        for values in zip(*choices, strict=True)
    ]
    return np.concatenate([np.array(block) for block in blocks], axis=1)
