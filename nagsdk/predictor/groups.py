"""Measured architectures in groups, and folds of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.errors import UsageError
from nagsdk.predictor.features import Floats
from nagsdk.space.space import Codes, SearchSpace

FOLDS = 5
_FEWEST = 30


@dataclass(frozen=True)
class MeasuredSubnets:
    """Measured architectures.

    Attributes:
        codes: Codes, int8, shape (n, decisions); one row per measurement.
        top1: Measured top-1 in per cent, shape (n,).
        architecture: Number of the architecture of every row, shape (n,).
        group: Number of the group of every row, such as the search run that produced it, shape (n,).
        names: Names of the groups.
        random: Whether the groups are random folds, so that they differ by chance only.
    """

    codes: Codes
    top1: Floats
    architecture: NDArray[np.intp]
    group: NDArray[np.intp]
    names: tuple[str, ...]
    random: bool = False

    @classmethod
    def of(
        cls, space: SearchSpace, codes: Codes, top1: ArrayLike, groups: ArrayLike | None, seed: int
    ) -> MeasuredSubnets:
        """Numbers architectures and groups; without groups, five folds of architectures are used instead."""
        codes, values = space.validate(codes), np.asarray(top1, dtype=np.float64)
        architecture = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
        if len(values) and (values == values[0]).all():
            raise UsageError(
                f"Every subnet has the same top-1, {values[0]:.2f} %.", "Train longer, or give more validation images."
            )
        if values.shape != (len(codes),) or not np.isfinite(values).all() or len(np.unique(architecture)) < _FEWEST:
            raise UsageError(
                "The measurements are not one finite top-1 per architecture, or too few to fit an accuracy predictor.",
                f"Give at least {_FEWEST} different architectures with one top-1 each.",
            )
        if groups is None:
            names = tuple(f"fold {f + 1}" for f in range(FOLDS))
            return cls(codes, values, architecture, folds(architecture, seed), names, random=True)
        known, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        if len(known) < 3:
            raise UsageError("Intervals need at least three groups.", "Give more groups, or none.")
        return cls(codes, values, architecture, group, tuple(known.tolist()))

    def outside(self, *groups: int) -> NDArray[np.bool_]:
        """Mask of the rows whose architecture was not measured in any of the groups, shape (n,)."""
        within = self.architecture[np.isin(self.group, groups)]
        return ~np.isin(self.architecture, within)


def folds(architecture: NDArray[np.intp], seed: int, count: int = FOLDS) -> NDArray[np.intp]:
    """Assigns a fold to every row; all rows of one architecture get the same fold."""
    known, index = np.unique(architecture, return_inverse=True)
    result: NDArray[np.intp] = (np.random.default_rng(seed).permutation(len(known)) % count)[index.ravel()]
    return result
