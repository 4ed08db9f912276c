"""The interface of strategies: ways to find architectures within limits, to which plugins may add."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    """The task of a strategy.

    Attributes:
        space: The search space.
        predictor: Predicts the accuracy of architectures; the best candidate is the one that it ranks first.
        tables: Tables of the limited costs; what they mark with inf is not allowed.
        limits: Limits of each budget on each cost, shape (n, costs).
        generator: Returns the trained generator, for strategies that use it.
        seed: Seed of all random choices.
        on_event: Receives the progress.
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
        """The name of `on_event` in 0.1.0, kept for strategies of plugins."""
        warnings.warn("Question.listener is deprecated: use Question.on_event.", DeprecationWarning, stacklevel=2)
        return self.on_event

    @cached_property
    def paths(self) -> Paths:
        """Paths of the limited costs."""
        return Paths.of(self.space, self.tables, self.predictor.additive)

    @cached_property
    def reserves(self) -> Codes:
        """An architecture within the limits of each budget, for searches that find none; shape (n, decisions).

        Raises:
            InfeasibleError: No architecture was found for a budget.
        """
        return reserves(self.space, self.tables, self.paths, self.limits)[0]


class Strategy(ABC):
    """A way to find architectures within limits.

    Attributes:
        id: Name on the command line.
        title: Description of one line.
        time_limits_s: Seconds that methods may take, by name, where the default limits are too short.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    time_limits_s: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def propose(self, question: Question) -> Codes:
        """Finds architectures for every budget.

        Returns:
            Codes, int8, shape (n, candidates, decisions), each within all limits of its budget.

        Raises:
            InfeasibleError: No architecture holds the limits of a budget.
        """
