"""The interface of strategies: ways to find architectures within limits, to which plugins may add."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore
from nagsdk.generator.generator import Generator
from nagsdk.generator.prices import Paths
from nagsdk.generator.reserves import reserves
from nagsdk.predictor.protocol import Teacher
from nagsdk.ranges import EVALUATIONS
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
        evaluations: Largest number of different architectures whose accuracy may be predicted, for all budgets
            together; None leaves it to the strategy. The additive score may be read as often as wanted.
        options: The options of the strategy that the user gave, by name; see `Strategy.option`.
        start: The user's present architecture, shape (decisions,), for strategies that start from one.
        loss: Computes the loss of architectures, shape (n, decisions), in the bundle's supernet against its largest
            network; None where there is no supernet.
    """

    space: SearchSpace
    predictor: Teacher
    tables: Sequence[AdditiveTable]
    limits: Floats
    generator: Callable[[], Generator]
    seed: int = 0
    on_event: Listener = ignore
    evaluations: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    start: Codes | None = None
    loss: Callable[[Codes], Floats] | None = None

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

    def cost(self, codes: Codes) -> Floats:
        """Costs of architectures of shape (..., decisions), shape (..., costs)."""
        rows = codes.reshape(-1, codes.shape[-1])
        return np.stack([table.cost(rows) for table in self.tables], axis=1).reshape(*codes.shape[:-1], -1)

    def within(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether architectures hold the limits of their budgets.

        Args:
            codes: Architectures for each budget, shape (n, candidates, decisions).

        Returns:
            Mask of shape (n, candidates).
        """
        held: NDArray[np.bool_] = np.all(self.cost(codes) <= self.limits[:, None], axis=2)
        return held

    def kept(self, codes: Codes, instead: Codes) -> Codes:
        """Architectures of shape (n, candidates, decisions); those that break a limit are replaced by others."""
        return np.where(self.within(codes)[..., None], codes, instead)

    def random(self, count: int, rng: np.random.Generator, steps: int = 100) -> Codes:
        """Random architectures within the limits of each budget.

        Each is the end of a random walk within the limits. After many steps, every architecture that the walk can reach
        is as likely as `SearchSpace.sample` would draw it.

        Args:
            count: Number of architectures for each budget.
            rng: Source of randomness.
            steps: Number of steps of the walk.

        Returns:
            Codes, int8, shape (n, count, decisions).
        """
        codes = np.repeat(self.reserves[:, None], count, axis=1)
        rows, decisions = codes.shape[0] * count, codes.shape[2]
        shares = np.array([1 / decisions, 3 / decisions, 0.3, 1.0])
        for _ in range(steps):
            changed = self.space.mutate(codes.reshape(rows, decisions), rng, rng.choice(shares, (rows, 1)))
            codes = self.kept(changed.reshape(codes.shape), codes)
        return codes


class Strategy(ABC):
    """A way to find architectures within limits.

    Attributes:
        id: Name on the command line.
        title: Description of one line.
        time_limits_s: Seconds that methods may take, by name, where the default limits are too short.
        options: Legal values of every option by its name; the first one is the default.
        starts: Whether it starts from the user's present architecture (`Question.start`).
        labels: Whether it learns while it evaluates, so that what it evaluates is worth measuring
            (``nagsdk predictor fit --recipe``).
    """

    id: ClassVar[str]
    title: ClassVar[str]
    time_limits_s: ClassVar[Mapping[str, float]] = {}
    options: ClassVar[Mapping[str, Sequence[str]]] = {}
    starts: ClassVar[bool] = False
    labels: ClassVar[bool] = False

    def option(self, question: Question, name: str) -> str:
        """The value of an option: the user's, or the default."""
        return question.options.get(name, self.options[name][0])

    @abstractmethod
    def propose(self, question: Question) -> Codes:
        """Finds architectures for every budget.

        Returns:
            Codes, int8, shape (n, candidates, decisions), each within all limits of its budget.

        Raises:
            InfeasibleError: No architecture holds the limits of a budget.
        """


class WithOptions(Strategy):
    """A strategy with the options that a user gave, such as ``gradient:form=gumbel,evaluations=1000``.

    The option `evaluations` is understood for every strategy (`Question.evaluations`).

    Args:
        strategy: The strategy.
        text: The options, as text.

    Raises:
        UsageError: It has no such option, or the option no such value.
    """

    def __init__(self, strategy: Strategy, text: str) -> None:
        self.strategy, self.evaluations, self.given = strategy, None, dict[str, str]()
        self.id, self.title = f"{strategy.id}:{text}", strategy.title  # type: ignore[misc]
        self.starts = strategy.starts  # type: ignore[misc]
        legal = ", ".join([*(f"{name}={'|'.join(of)}" for name, of in strategy.options.items()), "evaluations=NUMBER"])
        for part in text.split(","):
            name, _, value = part.partition("=")
            if name == "evaluations":
                self.evaluations = EVALUATIONS.parse(value)
            elif value in strategy.options.get(name, ()):
                self.given[name] = value
            else:
                raise UsageError(f"The strategy {strategy.id} has no option {part!r}.", f"It has: {legal}.")

    def propose(self, question: Question) -> Codes:
        """Lets the strategy answer, with these options."""
        most = min((limit for limit in (self.evaluations, question.evaluations) if limit), default=None)
        return self.strategy.propose(replace(question, options=self.given, evaluations=most))
