"""The strategies that come with nagsdk: the generator, the exact frontier, and four searches with the predictor."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.pip import pip
from nagsdk.cost.table import Floats, mixed
from nagsdk.errors import UsageError
from nagsdk.events import stage
from nagsdk.generator.frontier import Frontier, frontier
from nagsdk.generator.monotone import monotone
from nagsdk.generator.prices import mixes
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.space.space import Codes, SearchSpace

CANDIDATES = 64
# With fewer evaluations than this there is no second generation.
_FEWEST = 10
# Up to so many architectures, all are compared where a generator would have to be trained first.
FEW = 1000
_MOST_COMPARED = 100_000


@dataclass(frozen=True)
class Nag(Strategy):
    """The generator.

    A larger first limit never gets an architecture of lower predicted top-1; see `monotone`. With a limited number of
    evaluations, each budget gets an equal share of candidates, and the best of all candidates that it holds.

    Attributes:
        candidates: Number of architectures sampled for each budget.
    """

    candidates: int = CANDIDATES
    id: ClassVar[str] = "nag"
    title: ClassVar[str] = "the trained generator: inference, no search"

    def propose(self, question: Question) -> Codes:
        """See `Generator.propose`."""
        generator = question.generator()
        if question.evaluations is not None:
            count = max(1, question.evaluations // len(question.limits))
            codes = generator.propose(question.tables, question.limits, count, question.seed)
            codes = codes.reshape(-1, codes.shape[2])[: question.evaluations]
            return best_within(question, codes, _top1(question, codes))

        def sampled(limits: Floats, counts: NDArray[np.intp]) -> Codes:
            return generator.sample(question.tables, question.paths, limits, counts, question.seed)

        return monotone(question, sampled, lambda codes: _top1(question, codes), self.candidates)


@dataclass(frozen=True)
class Lookup(Strategy):
    """The exact frontier of the additive score: one computation for all budgets, then a binary search for each.

    With several limits, it takes the best point within them on the frontiers of mixes of the costs.
    """

    id: ClassVar[str] = "lookup"
    title: ClassVar[str] = "the exact frontier of the additive accuracy score"

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        space, tables, score = question.space, question.tables, question.predictor.additive
        if len(tables) == 1:
            best = frontier(space, tables[0], score)
            return best.codes[best.lookup(question.limits)]
        known = [frontier(space, mixed(tables, mix / question.paths.scale), score) for mix in mixes(len(tables))]
        whole = Frontier(
            *(np.concatenate([getattr(part, name) for part in known]) for name in ("codes", "cost", "score"))
        )
        return best_within(question, whole.codes, whole.score)


@dataclass(frozen=True)
class Polished(Strategy):
    """The best candidates of another strategy, improved by local search with the predictor.

    The search trusts the predictor, so it may exploit the predictor's errors.

    Attributes:
        start: Strategy whose candidates the search starts from.
        rounds: Number of steps; each continues from the best of many neighbours.
        neighbours: Number of random changes that are tried in each step.
        changes: Mean number of decisions that are redrawn.
    """

    start: Strategy = field(default_factory=Lookup)
    rounds: int = 40
    neighbours: int = 100
    changes: float = 2.0
    id: ClassVar[str] = "polished"
    title: ClassVar[str] = "lookup's architectures, improved by local search on the accuracy predictor"

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        space, rng, codes = question.space, np.random.default_rng(question.seed), self.start.propose(question)
        every = np.arange(len(codes))
        rounds, neighbours = _fitting(question, self.rounds, self.neighbours, 1)
        if not rounds:
            return codes
        best = codes[:, 0] if codes.shape[1] == 1 else codes[every, choose(question.predictor, codes)[:, 0]]
        top1 = _top1(question, best)
        with stage(question.on_event, "Polishing", rounds) as advance:
            for number in range(rounds):
                same = np.repeat(best[:, None], neighbours, axis=1)
                changed = space.mutate(same.reshape(-1, same.shape[2]), rng, self.changes / same.shape[2]).reshape(
                    same.shape
                )
                tried = question.kept(changed, same)
                found = _top1(question, tried.reshape(-1, tried.shape[2])).reshape(tried.shape[:2])
                better = found.max(1) > top1
                best[better] = tried[every, found.argmax(1)][better]
                top1 = np.maximum(top1, found.max(1))
                advance(number + 1, f"Polishing, round {number + 1}")
        return best[:, None]


@dataclass(frozen=True)
class Random(Strategy):
    """Random architectures, ranked by the predictor.

    Attributes:
        evaluations: Number of architectures drawn, the same ones for all budgets.
    """

    evaluations: int = 20_000
    id: ClassVar[str] = "random"
    title: ClassVar[str] = "random architectures, ranked by the accuracy predictor"

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        count = min(self.evaluations, question.evaluations or self.evaluations)
        codes = _sample(question, count, np.random.default_rng(question.seed))
        return best_within(question, codes, _top1(question, codes))


@dataclass(frozen=True)
class Nsga2(Strategy):
    """NSGA-II (Deb et al., 2002) over costs and predicted top-1, by pymoo: one run for all budgets.

    Attributes:
        evaluations: Number of architectures whose accuracy is predicted; each of them may be picked.
        population: Size of the population.
    """

    evaluations: int = 20_000
    population: int = 200
    id: ClassVar[str] = "nsga2"
    title: ClassVar[str] = "NSGA-II on the accuracy predictor (needs nagsdk[search])"

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.core.mutation import Mutation
            from pymoo.core.problem import Problem
            from pymoo.operators.crossover.ux import UX
            from pymoo.optimize import minimize
        except ImportError as error:
            raise UsageError(
                "The strategy nsga2 needs pymoo.", f"Install it: {pip('install', 'nagsdk[search]')}"
            ) from error
        space, tables, rng = question.space, question.tables, np.random.default_rng(question.seed)
        evaluations = question.evaluations or self.evaluations
        if evaluations < _FEWEST:
            return Random().propose(question)
        population = min(self.population, max(2, evaluations // 10))
        seen: list[tuple[Codes, Floats]] = []

        class Search(Problem):  # type: ignore[misc]
            def _evaluate(self, x: NDArray[Any], out: dict[str, Any], *_: Any, **__: Any) -> None:
                codes = space.mutate(np.asarray(x, np.int8), rng, 0.0)
                top1, cost = _top1(question, codes), question.cost(codes)
                seen.append((codes, top1))
                allowed = np.isfinite(cost)
                out["F"] = np.column_stack([np.where(allowed, cost, 0.0), -top1])
                out["G"] = (~allowed).sum(1, keepdims=True)

        class Redraw(Mutation):  # type: ignore[misc]
            def _do(self, problem: object, x: NDArray[Any], **_: Any) -> NDArray[Any]:
                return np.where(rng.random(x.shape) < 1 / x.shape[1], _choices(question, len(x), rng), x)

        problem = Search(n_var=len(space.sizes), n_obj=len(tables) + 1, n_ieq_constr=1, xl=0, xu=space.sizes - 1)
        search = NSGA2(
            population,
            sampling=_choices(question, population, rng),
            crossover=UX(),
            mutation=Redraw(),
            eliminate_duplicates=True,
        )
        # The last generation may be smaller than those before, but there is none that exceeds the evaluations.
        minimize(problem, search, ("n_eval", max(population, evaluations - population + 1)), seed=question.seed)
        codes, top1 = (np.concatenate([part[i] for part in seen]) for i in (0, 1))
        return best_within(question, codes, top1)


@dataclass(frozen=True)
class Evolution(Strategy):
    """The evolutionary search of Once-for-All (Cai et al., 2020): one run for every budget, all runs in parallel.

    Attributes:
        population: Size of the population.
        generations: Number of generations.
        mutation: Probability that a decision is redrawn.
        parents: Share that survives and has children; half of the children are mutations, half are crossovers.
    """

    population: int = 100
    generations: int = 500
    mutation: float = 0.1
    parents: float = 0.25
    id: ClassVar[str] = "evolution"
    title: ClassVar[str] = "the evolution of Once-for-All on the accuracy predictor"

    def propose(self, question: Question) -> Codes:
        """Returns the last parents of every budget, best first."""
        space, rng, n = question.space, np.random.default_rng(question.seed), len(question.limits)
        generations, population = _fitting(question, self.generations, self.population)
        alive = np.repeat(question.reserves[:, None], population, 1)
        alive = question.kept(_sample(question, n * population, rng).reshape(alive.shape), alive)
        survivors = max(1, round(self.parents * population))
        every = np.arange(n)[:, None]
        with stage(question.on_event, "Evolving", generations) as advance:
            for generation in range(generations):
                order = np.argsort(
                    -_top1(question, alive.reshape(-1, alive.shape[2])).reshape(alive.shape[:2]), axis=1, kind="stable"
                )
                best = alive[every, order[:, :survivors]]
                picked = rng.integers(0, survivors, (2, n, population - survivors))
                one, other = best[every, picked[0]], best[every, picked[1]]
                crossed = np.where(rng.random(one.shape) < 0.5, one, other)
                mutants, mixtures = (
                    space.mutate(codes.reshape(-1, one.shape[2]), rng, p).reshape(one.shape)
                    for codes, p in ((one, self.mutation), (crossed, 0.0))
                )
                children = np.where(np.arange(one.shape[1])[:, None] % 2, mutants, mixtures)
                # A child that exceeds a limit is replaced by its parent.
                alive = np.concatenate([best, question.kept(children, one)], axis=1)
                if generation % 10 == 9:
                    advance(generation + 1, f"Evolving, generation {generation + 1}")
        return alive[:, :survivors]


@dataclass(frozen=True)
class Enumeration(Strategy):
    """Every architecture of a small space: the answer is exact, and nothing is trained or searched."""

    id: ClassVar[str] = "enumeration"
    title: ClassVar[str] = "all architectures of a small space, ranked by the accuracy predictor"

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget.

        Raises:
            UsageError: The space has too many architectures.
        """
        codes = _every(question.space)
        if question.evaluations is not None:
            codes = np.random.default_rng(question.seed).permutation(codes)[: question.evaluations]
        with stage(question.on_event, f"Comparing all {len(codes)} architectures"):
            return best_within(question, codes, _top1(question, codes))


STRATEGIES: tuple[Strategy, ...] = (Nag(), Lookup(), Polished(), Nsga2(), Evolution(), Random(), Enumeration())


def best_within(question: Question, codes: Codes, value: Floats) -> Codes:
    """Returns the architecture of highest value within each budget, or its reserve if none; shape (n, 1, decisions)."""
    cost = question.cost(codes)
    result = question.reserves.copy()
    for number, limit in enumerate(question.limits):
        within = np.flatnonzero(np.asarray((cost <= limit).all(1)))
        if len(within):
            result[number] = codes[within[value[within].argmax()]]
    return result[:, None]


def _fitting(question: Question, rounds: int, size: int, first: int = 0) -> tuple[int, int]:
    """The number of rounds of a search of every budget, and of its evaluations in each, that the question allows.

    Args:
        question: The question.
        rounds: Most rounds.
        size: Most evaluations of a round.
        first: Number of evaluations of each budget before the first round.
    """
    if question.evaluations is None:
        return rounds, size
    each = question.evaluations // len(question.limits) - first
    size = min(size, max(2, math.isqrt(max(each, 0))))
    return max(0, min(rounds, each // size)), size


def _every(space: SearchSpace) -> Codes:
    """All architectures of a space."""
    if space.count() > _MOST_COMPARED:
        raise UsageError(
            f"The space has {space.count():.3g} architectures; up to {_MOST_COMPARED:,} can all be compared.",
            "Use the strategy lookup or nag.",
        )
    rows: list[tuple[int, ...]] = [()]
    for decision in space.decisions:
        switch, choices = decision.active_if, range(len(decision.choices))
        rows = [
            (*row, choice)
            for row in rows
            for choice in (choices if switch is None or row[switch[0]] >= switch[1] else (-1,))
        ]
    return space.validate(np.array(rows))


def _choices(question: Question, count: int, rng: np.random.Generator) -> Codes:
    """Draws a random choice for every decision, active or not, at resolutions that are allowed."""
    codes = rng.integers(0, question.space.sizes, (count, len(question.space.sizes)), dtype=np.int8)
    codes[:, 0] = rng.choice(np.flatnonzero(np.isfinite([table.base for table in question.tables]).all(0)), count)
    return codes


def _sample(question: Question, count: int, rng: np.random.Generator) -> Codes:
    return question.space.mutate(_choices(question, count, rng), rng, 0.0)


def _top1(question: Question, codes: Codes) -> Floats:
    return np.asarray(question.predictor.predict(codes).mean, np.float64)
