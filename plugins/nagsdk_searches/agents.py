"""Agents with hyper-parameters, through one interface: a random walker, a genetic algorithm, an ant colony.

Source: Krishnan et al., "ArchGym: An Open-Source Gymnasium for Machine Learning Assisted Architecture Design" (2023).
Its hyper-parameter lottery: an agent's luck with its settings may exceed the difference between agents. So each agent
has several settings, an option chooses among them, and benchmarks/searches.py shows quantiles over all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.space.space import Codes
from nagsdk_searches.evaluator import Evaluator, Search, top
from nagsdk_searches.monas import Monas

SETTINGS = ("0", "1", "2", "3")
Setting = Mapping[str, float]
Memory = dict[str, Floats]


class Agent(Search):
    """An agent proposes architectures for every budget, and is told their top-1.

    Attributes:
        settings: Hyper-parameters by the value of the option ``setting``; the first is the default.
    """

    options: ClassVar[Mapping[str, Sequence[str]]] = {"setting": SETTINGS}
    settings: ClassVar[Sequence[Setting]]

    def search(self, evaluator: Evaluator) -> None:
        """See `Search.search`."""
        setting = self.settings[int(self.option(evaluator.question, "setting"))]
        codes, memory = evaluator.random(evaluator.share(setting["first"])), dict[str, Floats]()
        while True:
            codes = self.ask(evaluator, setting, codes, evaluator.top1(codes), memory)

    @abstractmethod
    def ask(self, evaluator: Evaluator, setting: Setting, codes: Codes, values: Floats, memory: Memory) -> Codes:
        """The next architectures within the limits, shape (n, count, decisions).

        Args:
            evaluator: What was evaluated before.
            setting: The hyper-parameters.
            codes: The architectures that were evaluated last, shape (n, any number, decisions).
            values: Their top-1.
            memory: What the agent remembers from turn to turn; empty before the first.
        """


class Walker(Agent):
    """A random walk: some decisions of where it is are drawn anew, whether that is better or not."""

    id: ClassVar[str] = "walker"
    title: ClassVar[str] = "a random walker (ArchGym)"
    settings = tuple({"first": 0.02, "rate": rate} for rate in (0.1, 0.03, 0.3, 1.0))

    def ask(self, evaluator: Evaluator, setting: Setting, codes: Codes, values: Floats, memory: Memory) -> Codes:
        """See `Agent.ask`."""
        return evaluator.question.kept(evaluator.redrawn(codes, setting["rate"]), codes)


class Genetic(Agent):
    """A genetic algorithm: tournaments among all that was evaluated, crossover, mutation."""

    id: ClassVar[str] = "genetic"
    title: ClassVar[str] = "a genetic algorithm with tournaments (ArchGym)"
    settings = (
        {"first": 0.1, "rate": 0.08, "crossed": 0.5, "tournament": 4},
        {"first": 0.02, "rate": 0.03, "crossed": 0.2, "tournament": 2},
        {"first": 0.3, "rate": 0.2, "crossed": 0.8, "tournament": 2},
        {"first": 0.1, "rate": 0.05, "crossed": 0.0, "tournament": 16},
    )

    def ask(self, evaluator: Evaluator, setting: Setting, codes: Codes, values: Floats, memory: Memory) -> Codes:
        """See `Agent.ask`."""
        best, known = evaluator.best(32)
        usable = np.maximum(np.isfinite(known).sum(1), 1)
        count, rng = evaluator.share(0.05), evaluator.rng
        # The best are sorted, so the smallest of several random places wins a tournament.
        drawn = (rng.random((int(setting["tournament"]), evaluator.n, 2 * count)) * usable[:, None]).astype(int).min(0)
        parents = np.take_along_axis(best, drawn[..., None], axis=1)
        return evaluator.children(parents, count, setting["rate"], setting["crossed"])


class Ants(Agent):
    """An ant colony: ants choose by pheromone, which evaporates, and which the best ants so far leave on their way."""

    id: ClassVar[str] = "ants"
    title: ClassVar[str] = "an ant colony (ArchGym)"
    settings = (
        {"first": 0.1, "evaporation": 0.3, "elite": 4, "floor": 0.02},
        {"first": 0.1, "evaporation": 0.1, "elite": 4, "floor": 0.05},
        {"first": 0.1, "evaporation": 0.6, "elite": 1, "floor": 0.01},
        {"first": 0.3, "evaporation": 0.3, "elite": 16, "floor": 0.1},
    )

    def ask(self, evaluator: Evaluator, setting: Setting, codes: Codes, values: Floats, memory: Memory) -> Codes:
        """See `Agent.ask`."""
        exists = np.arange(int(evaluator.space.sizes.max())) < evaluator.space.sizes[:, None]
        even = np.broadcast_to(exists / exists.sum(1)[:, None], (evaluator.n, *exists.shape))
        best = evaluator.best(int(setting["elite"]))
        memory["pheromone"] = self.left(memory.get("pheromone", even), setting, *best)
        p = np.where(exists, np.maximum(memory["pheromone"], setting["floor"]), 0.0)
        return evaluator.repaired(Monas.sampled(evaluator, p / p.sum(2, keepdims=True), evaluator.share(0.05)))

    @staticmethod
    def left(pheromone: Floats, setting: Setting, codes: Codes, values: Floats) -> Floats:
        """The pheromone after a turn, shape (n, decisions, choices); decisions that are off keep theirs."""
        elite = np.take_along_axis(codes, top(values, int(setting["elite"]))[..., None], axis=1)
        used = (elite[..., None] == np.arange(pheromone.shape[2])).sum(1)
        active = used.sum(2, keepdims=True)
        trail = np.where(active > 0, used / np.maximum(active, 1), pheromone)
        result: Floats = (1 - setting["evaporation"]) * pheromone + setting["evaporation"] * trail
        return result
