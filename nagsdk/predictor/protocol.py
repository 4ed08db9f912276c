"""Interfaces of accuracy predictors, as ranking and generators use them."""

from __future__ import annotations

from typing import Any, Protocol

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes


class Score(Protocol):
    """A score that is additive over all active decisions; the frontier maximises it."""

    @property
    def base(self) -> float:
        """Score before any decision is added."""

    @property
    def table(self) -> Floats:
        """Score that each choice adds, shape (decisions, largest number of choices)."""

    def inverse(self, score: Any) -> Any:
        """Returns the top-1 in per cent for scores; it increases with the score."""


class Predictor(Protocol):
    """An accuracy predictor as ranking uses it."""

    def predict(self, codes: Codes) -> Any:
        """Returns predictions whose `mean` is the top-1 in per cent, shape (n,)."""


class Teacher(Predictor, Protocol):
    """An accuracy predictor as generators use it."""

    @property
    def hash(self) -> str:
        """Hash that changes whenever the predictions change."""

    @property
    def additive(self) -> Score:
        """Additive score under a link, whose frontiers the generator learns to imitate."""


class Derived:
    """Base of predictors that change what another one says; its hash and its additive score stay those of the other.

    Args:
        predictor: The other predictor.
    """

    def __init__(self, predictor: Teacher) -> None:
        self.predictor = predictor

    @property
    def hash(self) -> str:
        """That of the other predictor, whose generator proposes for this one too."""
        return self.predictor.hash

    @property
    def additive(self) -> Score:
        """That of the other predictor."""
        return self.predictor.additive
