"""Two halves of measured architectures: a predictor of one steers searches, those of the other judge their picks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from nagsdk.predictor.additive import AdditiveScore
from nagsdk.predictor.features import Floats
from nagsdk.predictor.fitter import Fit, Fitter
from nagsdk.predictor.groups import MeasuredSubnets, folds
from nagsdk.predictor.kinds import Kind, features
from nagsdk.predictor.train import EnsembleRecipe
from nagsdk.space.space import Codes, SearchSpace


@dataclass
class Half:
    """A predictor of half of the measured architectures.

    Attributes:
        space: The search space.
        fit: The fitted ensemble.
        additive: The additive score whose frontier `lookup` computes.
    """

    space: SearchSpace
    fit: Fit
    additive: AdditiveScore

    @classmethod
    def fitted(cls, space: SearchSpace, codes: Codes, top1: Floats, seed: int) -> Half:
        """Fits the product's predictor to measured architectures."""
        fitter = Fitter(space, MeasuredSubnets.of(space, codes, top1, None, seed), EnsembleRecipe(), seed)
        fit = fitter.fit(np.ones(len(codes), dtype=bool))
        return cls(space, fit, fitter.additive(fit, codes))

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` is the top-1 in per cent."""
        return SimpleNamespace(mean=self.fit.predict(self.space, codes))

    @cached_property
    def hash(self) -> str:
        """Hash that changes whenever the predictions change."""
        parts = (*vars(self.fit.ensemble).values(), self.additive.table)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]


@dataclass(frozen=True)
class Judge:
    """An accuracy predictor of the second half, of some kind.

    Attributes:
        read: Turns architectures into what it reads.
        fitted: Predicts their top-1, shape (n,).
        rmse: Its RMSE on the first half, in points.
    """

    read: Callable[[Codes], Floats]
    fitted: Callable[[Floats], Floats]
    rmse: float

    def predict(self, codes: Codes) -> SimpleNamespace:
        """Predictions whose `mean` is the top-1 in per cent."""
        return SimpleNamespace(mean=self.fitted(self.read(codes)))


def second_half(codes: Codes, seed: int) -> NDArray[np.bool_]:
    """Which measurements belong to the second half; all of one architecture belong to the same one."""
    architecture = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    return folds(architecture, seed, 2).astype(bool)


def judges_of(space: SearchSpace, codes: Codes, top1: Floats, kinds: Mapping[str, Kind], seed: int) -> dict[str, Judge]:
    """Judges of several kinds, fitted to the second half of measured architectures."""
    second = second_half(codes, seed)
    read, found = features(space, codes), {}
    for name, kind in kinds.items():
        fitted = kind(read(codes[second]), top1[second], seed)
        error = fitted(read(codes[~second])) - top1[~second]
        found[name] = Judge(read, fitted, float(np.sqrt(np.mean(error**2))))
    return found
