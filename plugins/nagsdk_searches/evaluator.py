"""What all searches share: an evaluator with a hard budget, and the loop around a search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.events import stage
from nagsdk.generator.ranking import distinct
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.space.space import Codes

# Of all that was evaluated, so many of the best ones are kept for each budget.
_KEPT = 64
# After so many requests without a new architecture, the search has seen what it can reach.
_MOST_IDLE = 30
# More architectures than this teach a light predictor little, and take long.
_LESSONS = 3000


class SpentError(Exception):
    """The evaluations are used up, or the search finds nothing new."""


class Evaluator:
    """Asks the accuracy predictor about architectures, each once, and ends the search when the budget is used up.

    Every architecture that any budget's search evaluates may be the answer to any other budget that it holds.

    Args:
        question: The question; its additive score is never read.
        most: Number of architectures that may be evaluated.
        report: Receives the number of evaluated ones.

    Attributes:
        question: See above.
        space: The search space.
        rng: Source of all randomness.
        n: Number of budgets.
        most: See above.
    """

    def __init__(self, question: Question, most: int, report: Callable[[int], None] = lambda used: None) -> None:
        self.question, self.space, self.most, self._report = question, question.space, most, report
        self.rng, self.n = np.random.default_rng(question.seed), len(question.limits)
        self._known: dict[bytes, float] = {}
        self._codes: list[Codes] = []
        self._values: list[Floats] = []
        self._best = np.repeat(question.reserves[:, None], _KEPT, axis=1)
        self._best_values = np.full((self.n, _KEPT), -np.inf)
        self._idle = 0

    @property
    def left(self) -> int:
        """Number of architectures that may still be evaluated."""
        return self.most - len(self._known)

    def top1(self, codes: Codes) -> Floats:
        """Predicted top-1 of architectures of shape (..., decisions), -inf for those that are not allowed at all.

        Raises:
            SpentError: Not all of them could be evaluated; those that could are remembered.
        """
        if not codes.size:
            return self._idled(np.empty(codes.shape[:-1]))
        rows, first, same = distinct(codes)
        found, cost = rows[first], self.question.cost(rows[first])
        allowed: NDArray[np.bool_] = np.all(np.isfinite(cost), axis=1)
        keys = [row.tobytes() for row in found]
        new = [i for i in np.argsort(first) if allowed[i] and keys[i] not in self._known]
        taken = new[: self.left]
        if taken:
            self._add(found[taken], cost[taken], [keys[i] for i in taken])
            self._idle = 0
        if len(taken) < len(new):
            raise SpentError
        values = np.array([self._known.get(key, -np.inf) for key in keys])[same].reshape(codes.shape[:-1])
        return values if taken else self._idled(values)

    def _idled(self, values: Floats) -> Floats:
        """The answer to a request that taught nothing; after too many of them the search ends."""
        self._idle += 1
        if self._idle > _MOST_IDLE:
            raise SpentError
        return values

    def _add(self, codes: Codes, cost: Floats, keys: list[bytes]) -> None:
        values = np.asarray(self.question.predictor.predict(codes).mean, np.float64)
        self._known.update(zip(keys, values.tolist(), strict=True))
        self._codes.append(codes)
        self._values.append(values)
        within = (cost <= self.question.limits[:, None]).all(2)
        value = np.concatenate([self._best_values, np.where(within, values, -np.inf)], axis=1)
        every = np.concatenate([self._best, np.broadcast_to(codes, (self.n, *codes.shape))], axis=1)
        order = np.argsort(-value, axis=1, kind="stable")[:, :_KEPT]
        self._best = np.take_along_axis(every, order[..., None], axis=1)
        self._best_values = np.take_along_axis(value, order, axis=1)
        self._report(len(self._known))

    def seen(self) -> tuple[Codes, Floats]:
        """All evaluated architectures, shape (m, decisions), and their top-1, shape (m,)."""
        self._codes, self._values = [np.concatenate(self._codes)], [np.concatenate(self._values)]
        return self._codes[0], self._values[0]

    def lessons(self, most: int = _LESSONS) -> tuple[Codes, Floats]:
        """What a light predictor is fitted to: all that was evaluated, or the best of each budget and the latest.

        Returns:
            Codes of shape (m, decisions), and their top-1, shape (m,).
        """
        codes, values = self.seen()
        if len(codes) <= most:
            return codes, values
        held = self._best_values > -np.inf
        worth = np.minimum(held.sum(1), max(1, most // (2 * self.n)))
        best = np.concatenate([rows[:count] for rows, count in zip(self._best, worth, strict=True)])
        top1 = np.concatenate([row[:count] for row, count in zip(self._best_values, worth, strict=True)])
        both = np.concatenate([best, codes[-(most - len(best)) :]])
        rows, first, _ = distinct(both)
        return rows[first], np.concatenate([top1, values[-(most - len(best)) :]])[first]

    def best(self, count: int) -> tuple[Codes, Floats]:
        """The best evaluated architectures within each budget, best first.

        Where there are fewer, reserves of top-1 -inf follow.

        Returns:
            Codes of shape (n, count, decisions), and top-1 of shape (n, count); `count` is at most 64.
        """
        return self._best[:, :count], self._best_values[:, :count]

    def promising(self, codes: Codes, worth: Floats, count: int) -> Codes:
        """The candidates of highest worth among those that were not evaluated yet; others follow if there are too few.

        Args:
            codes: Candidates of each budget, shape (n, candidates, decisions).
            worth: What is expected of them, shape (n, candidates).
            count: How many of each budget are taken.
        """
        rows, first, _ = distinct(codes)
        new = np.zeros(len(rows), bool)
        new[first] = [rows[i].tobytes() not in self._known for i in first]
        order = np.lexsort((-worth, ~new.reshape(worth.shape)), axis=1)[:, :count]
        return np.take_along_axis(codes, order[..., None], axis=1)

    def answers(self) -> Codes:
        """The best architecture of each budget, or its reserve, shape (n, 1, decisions)."""
        return self._best[:, :1]

    def random(self, count: int) -> Codes:
        """Random architectures within each budget, shape (n, count, decisions)."""
        return self.question.random(count, self.rng)

    def share(self, part: float, least: int = 2) -> int:
        """Number of architectures for each budget that use up a part of the evaluations."""
        return max(least, int(self.most * part) // self.n)

    def redrawn(self, codes: Codes, probability: float | Floats) -> Codes:
        """Architectures of shape (n, count, decisions) with decisions drawn anew; see `SearchSpace.mutate`."""
        return self.space.mutate(codes.reshape(-1, codes.shape[-1]), self.rng, probability).reshape(codes.shape)

    def repaired(self, codes: Codes) -> Codes:
        """Architectures of shape (n, count, decisions) with as many decisions of the reserve as it takes to hold."""
        reserve = np.broadcast_to(self.question.reserves[:, None], codes.shape)
        codes = self.redrawn(codes, 0.0)
        for share in np.linspace(0.1, 1.0, 10):
            mixed = np.where(self.rng.random(codes.shape) < share, reserve, codes).astype(np.int8)
            codes = self.question.kept(codes, self.redrawn(mixed, 0.0) if share < 1 else reserve)
        return codes

    def children(self, parents: Codes, count: int, rate: float, crossed: float = 0.5) -> Codes:
        """Mutations and mixtures of parents; one that breaks a limit becomes its parent again, without an evaluation.

        Args:
            parents: Shape (n, any number, decisions).
            count: Number of children for each budget.
            rate: Probability that a mutation draws a decision anew.
            crossed: Share of mixtures of two parents.

        Returns:
            Codes of shape (n, count, decisions).
        """
        picked = self.rng.integers(0, parents.shape[1], (2, self.n, count))
        one, other = (np.take_along_axis(parents, which[..., None], axis=1) for which in picked)
        both = np.where(self.rng.random(one.shape) < 0.5, one, other).astype(np.int8)
        mixed = self.rng.random((self.n, count, 1)) < crossed
        children = np.where(mixed, self.redrawn(both, 0.0), self.redrawn(one, rate))
        return self.question.kept(children, one)


class Search(Strategy):
    """A strategy that evaluates until its budget is used up, and answers with the best that it has seen."""

    evaluations = 10_000

    def propose(self, question: Question) -> Codes:
        """Returns one candidate for every budget."""
        most = question.evaluations or self.evaluations
        with stage(question.on_event, "Searching", most) as advance:
            evaluator = Evaluator(question, most, lambda used: advance(used, f"Searching, {used} evaluated"))
            with suppress(SpentError):
                found = self.search(evaluator)
                return evaluator.answers() if found is None else found
        return evaluator.answers()

    @abstractmethod
    def search(self, evaluator: Evaluator) -> Codes | None:
        """Evaluates architectures, usually until the evaluator ends it.

        Returns:
            Answers within the limits, shape (n, candidates, decisions); None for the best that was evaluated.
        """


def one_hot(evaluator: Evaluator, codes: Codes) -> Floats:
    """One-hot rows of architectures of shape (..., decisions), shape (rows, width)."""
    return evaluator.space.one_hot(codes.reshape(-1, codes.shape[-1])).astype(np.float64)


def top(values: Floats, count: int) -> NDArray[np.intp]:
    """Indices of the highest values in every row of shape (n, m), shape (n, count), highest first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def uses(left: NDArray[np.bool_], codes: Codes) -> NDArray[np.bool_]:
    """Whether architectures of shape (n, count, decisions) use only choices of a mask (n, decisions, choices)."""
    index = np.maximum(codes, 0)[..., None].astype(np.intp)
    found = np.take_along_axis(left[:, None], index, axis=3)[..., 0]
    held: NDArray[np.bool_] = np.all(found | (codes < 0), axis=2)
    return held
