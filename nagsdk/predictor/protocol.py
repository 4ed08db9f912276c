"""What generators need of an accuracy predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nagsdk.space.space import Codes

if TYPE_CHECKING:
    pass

from nagsdk.cost.table import Floats


class Score(Protocol):
    """What the frontier maximises: a score that is additive over all active decisions."""

    @property
    def base(self) -> float:
        """Score before any decision."""

    @property
    def table(self) -> Floats:
        """Score that each choice adds, shape (decisions, most choices)."""

    def inverse(self, score: Any) -> Any:
        """Top-1 in per cent of scores; increasing."""


class Predictor(Protocol):
    """What ranking needs of an accuracy predictor."""

    def predict(self, codes: Codes) -> Any:
        """Predictions whose `mean` is top-1 in per cent, shape (n,)."""


class Teacher(Predictor, Protocol):
    """What a generator needs of an accuracy predictor."""

    @property
    def hash(self) -> str:
        """Changes whenever the predictions do."""

    @property
    def additive(self) -> Score:
        """The additive score under a link whose frontiers are imitated."""
