"""Strategies: ways to find architectures within limits, which plugins may add to."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.events import Listener, ignore
from nagsdk.generator.generator import Generator
from nagsdk.generator.prices import Paths
from nagsdk.generator.reserves import reserves
from nagsdk.predictor.protocol import Teacher
from nagsdk.space.space import Codes, SearchSpace


@dataclass(frozen=True)
class Question:
    """What a strategy is asked.

    Attributes:
        space: Where to look.
        predictor: Says how accurate an architecture is; the best candidate is the one that it ranks first.
        tables: The costs that are limited; what they mark with inf is not allowed.
        limits: Of each budget on each cost, shape (n, costs).
        generator: Gives the trained generator, for those who want it.
        seed: Of everything random.
        on_event: Receives progress.
    """

    space: SearchSpace
    predictor: Teacher
    tables: Sequence[AdditiveTable]
    limits: Floats
    generator: Callable[[], Generator]
    seed: int = 0
    on_event: Listener = ignore

    @property
    def listener(self) -> Listener:
        """What `on_event` was called in 0.1.0; strategies of plugins may still ask for it."""
        warnings.warn("Question.listener is called on_event now.", DeprecationWarning, stacklevel=2)
        return self.on_event

    @cached_property
    def paths(self) -> Paths:
        """The paths of the costs."""
        return Paths.of(self.space, self.tables, self.predictor.additive)

    @cached_property
    def reserves(self) -> Codes:
        """An architecture within the limits of each budget, for searches that find none; shape (n, decisions).

        Raises:
            InfeasibleError: A budget has none.
        """
        return reserves(self.space, self.tables, self.paths, self.limits)[0]


class Strategy(ABC):
    """A way to find architectures.

    Attributes:
        id: Its name on the command line.
        title: One line.
    """

    id: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def propose(self, question: Question) -> Codes:
        """Finds architectures for every budget.

        Returns:
            Codes, int8, shape (n, candidates, decisions), each within all limits of its budget.

        Raises:
            InfeasibleError: No architecture holds the limits of a budget.
        """
