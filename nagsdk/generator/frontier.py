"""The exact Pareto frontier of an additive cost and an additive score, and `lookup` on it.

Cost and score are both sums over active decisions at a given resolution. A partial choice that costs no less and
scores no more than another partial choice of the same subtree can therefore never be part of a better architecture, so
pruning after every sum loses nothing. Sums of frontiers (Minkowski sums) are merged smallest first, which keeps the
number of candidates low (about 10 ms per resolution for the 10^19 architectures of the ImageNet space; about a second
in total in the worst case, where cost and score are nearly proportional). No point of the frontier is dropped. A
monotone link between score and top-1 changes neither order nor frontier.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.cost.table import AdditiveTable, Floats, priced
from nagsdk.errors import InfeasibleError
from nagsdk.predictor.protocol import Score
from nagsdk.space.dependencies import Forest
from nagsdk.space.space import Codes, SearchSpace


def score_of(score: Score, codes: Codes) -> Floats:
    """Returns the scores of architectures, shape (n,)."""
    gains = score.table[np.arange(codes.shape[1]), np.maximum(codes, 0)]
    result: Floats = score.base + np.where(codes >= 0, gains, 0.0).sum(1)
    return result


def check_limits(limits: Floats, cheapest: float) -> None:
    """Refuses limits that no architecture holds.

    Args:
        limits: Upper limits on the cost.
        cheapest: Cost of the cheapest architecture; inf if everything is masked.

    Raises:
        InfeasibleError: Some limit lies below `cheapest` or is not a number.
    """
    if not np.isfinite(cheapest):
        raise InfeasibleError(
            "No architecture of the space is allowed: each has a layer or a resolution that is excluded.",
            "Allow another resolution, or choose another device or bundle.",
        )
    below = ~(limits >= cheapest)
    if below.any():
        limit = float(limits[below][0])
        raise InfeasibleError(
            f"No architecture of the space costs {limit:.6g} or less; the cheapest costs {cheapest:.6g}.",
            f"Raise the limit to {cheapest:.6g} or more.",
        )


@dataclass(frozen=True)
class Frontier:
    """Pareto-optimal architectures under cost and score, in ascending order of both.

    Attributes:
        codes: The architectures, int8, shape (n, decisions).
        cost: Costs, strictly ascending, shape (n,).
        score: Scores, strictly ascending, shape (n,).
    """

    codes: Codes
    cost: Floats
    score: Floats

    @classmethod
    def merged(cls, parts: Iterable[Frontier]) -> Frontier:
        """Returns the frontier of a union of frontiers."""
        parts = list(parts)
        cost, score = np.concatenate([p.cost for p in parts]), np.concatenate([p.score for p in parts])
        keep = _undominated(cost, score)
        return cls(np.concatenate([p.codes for p in parts])[keep], cost[keep], score[keep])

    def lookup(self, limits: ArrayLike) -> NDArray[np.intp]:
        """Finds the best point within each limit by binary search.

        Args:
            limits: Upper limits on the cost, any shape.

        Returns:
            Indices into the frontier, in the shape of the limits.

        Raises:
            InfeasibleError: A limit lies below the cheapest point.
        """
        wanted = np.asarray(limits, dtype=np.float64)
        check_limits(wanted, self.cost[0] if len(self.cost) else np.inf)
        return np.searchsorted(self.cost, wanted, side="right") - 1

    def __len__(self) -> int:
        return len(self.cost)


def frontiers(space: SearchSpace, table: AdditiveTable, score: Score) -> tuple[Frontier, ...]:
    """Computes the exact frontier at every resolution.

    Args:
        space: Any search space.
        table: Table of the cost; choices and resolutions marked inf are left out.
        score: The score to maximise.

    Returns:
        One frontier for each resolution, empty where nothing is allowed. Cost and score are exactly `table.cost` and
        `score_of` of the codes.
    """
    costs, forest = priced(space, table), space.forest
    return tuple(_at_resolution(r, table, costs, score, forest) for r in range(len(space.resolutions)))


def frontier(space: SearchSpace, table: AdditiveTable, score: Score) -> Frontier:
    """Computes the exact frontier of the whole space; see `frontiers`."""
    return Frontier.merged(frontiers(space, table, score))


def _at_resolution(r: int, table: AdditiveTable, costs: Floats, score: Score, forest: Forest) -> Frontier:
    decisions = len(forest.children)
    known: dict[tuple[int, int], Frontier] = {}

    def subtree(decision: int, state: int) -> Frontier:
        if (decision, state) not in known:
            known[decision, state] = (
                _sum([_nothing(decisions), *below(decision, state, -1, forest.children[decision])])
                if state in forest.inactive[decision]
                else chosen(decision, state, range(len(forest.states.decisions[decision].choices)))
            )
        return known[decision, state]

    def below(decision: int, state: int, choice: int, children: Sequence[tuple[int, int]]) -> list[Frontier]:
        return [subtree(child, int(forest.below[child][state, choice])) for start, child in children if start <= choice]

    def chosen(decision: int, state: int, choices: Iterable[int]) -> Frontier:
        row, options = int(forest.rows[decision][state]), []
        # The sum of the children whose state is the same for all choices is reused for the next, larger choice.
        waiting: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        for pair in forest.children[decision]:
            moves = forest.states.read[pair[1]] and np.ptp(forest.below[pair[1]][state, :-1])
            (others if moves else waiting).append(pair)
        active: list[Frontier] = []
        for choice in choices:
            while waiting and waiting[0][0] <= choice:
                active += below(decision, state, choice, [waiting.pop(0)])
            if not np.isfinite(costs[r, row, choice]):
                continue
            active = [_sum(active)] if active else []
            own = _single(decisions, decision, choice, costs[r, row, choice], score)
            options.append(_sum([own, *active, *below(decision, state, choice, others)]))
        return Frontier.merged(options) if options else _empty(decisions)

    if not np.isfinite(table.base[r]):
        return _empty(decisions)
    codes = _sum([chosen(0, 0, [r]), *(subtree(root, 0) for root in forest.roots)]).codes
    # The sums above were added in another order and may differ by rounding; costs from the table agree with limits.
    cost, value = table.cost(codes), score_of(score, codes)
    keep = _undominated(cost, value)
    return Frontier(codes[keep], cost[keep], value[keep])


def _nothing(decisions: int) -> Frontier:
    """The frontier of an inactive decision."""
    return Frontier(np.full((1, decisions), -1, np.int8), np.zeros(1), np.zeros(1))


def _empty(decisions: int) -> Frontier:
    return Frontier(np.empty((0, decisions), np.int8), np.empty(0), np.empty(0))


def _single(decisions: int, decision: int, choice: int, cost: float, score: Score) -> Frontier:
    code = np.full((1, decisions), -1, np.int8)
    code[0, decision] = choice
    return Frontier(code, np.array([cost]), np.array([score.table[decision, choice]]))


def _sum(parts: Sequence[Frontier]) -> Frontier:
    order = count()
    heap = [(len(part), next(order), part) for part in parts]
    heapq.heapify(heap)
    while len(heap) > 1:
        a, b = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        cost, score = np.add.outer(a.cost, b.cost).ravel(), np.add.outer(a.score, b.score).ravel()
        keep = _undominated(cost, score)
        i, j = np.divmod(keep, max(len(b), 1))
        part = Frontier(np.maximum(a.codes[i], b.codes[j]), cost[keep], score[keep])
        heapq.heappush(heap, (len(part), next(order), part))
    return heap[0][2]


def _undominated(cost: Floats, score: Floats) -> NDArray[np.intp]:
    order = np.argsort(cost, kind="stable")
    ascending = score[order]
    keep = np.ones(len(order), dtype=bool)
    keep[1:] = ascending[1:] > np.maximum.accumulate(ascending)[:-1]
    kept = order[keep]
    # Sorting leaves equal costs in any order; among them, the last one that was kept has the highest score.
    last = np.ones(len(kept), dtype=bool)
    last[:-1] = cost[kept[1:]] > cost[kept[:-1]]
    return kept[last]
