"""The fastest architecture with at least a given predicted accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nagsdk.budget import LATENCY
from nagsdk.cost.bounds import Completions
from nagsdk.cost.model import CostModel
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import InfeasibleError
from nagsdk.generator.strategy import Strategy
from nagsdk.pipeline.limits import Limit
from nagsdk.pipeline.models import question
from nagsdk.pipeline.target import Target
from nagsdk.space.space import Codes

_STEPS = 64


def cheapest(
    known: Sequence[tuple[Target, CostModel | None]],
    strategy: Strategy,
    top1: float,
    limits: Sequence[Limit],
    resolution: int | None,
    seed: int,
) -> Codes:
    """The architecture with the lowest latency among those that are predicted to be accurate enough.

    With several devices, each latency counts as its position between the device's fastest and slowest architecture,
    and the largest position of all devices is minimised.

    Args:
        known: Targets with the same bundle, each with its cost model.
        strategy: How architectures are found.
        top1: Minimum predicted top-1 in per cent.
        limits: Limits that must hold as well.
        resolution: Pinned input size, if any.
        seed: Seed of all random choices.

    Returns:
        Code of the architecture, int8, shape (decisions,).

    Raises:
        InfeasibleError: No architecture is accurate enough; the message names the best top-1 found.
    """
    search = _Search(known, strategy, resolution, seed)
    code = search.run(top1, [], np.empty((1, 0)))
    # If the cheapest of all architectures holds the limits, it is the answer; a search under more limits may miss it.
    if any(limit.table.cost(code[None])[0] > limit.most for limit in limits):
        code = search.run(top1, [limit.table for limit in limits], np.array([[limit.most for limit in limits]]))
    return code


class _Search:
    """Asks a strategy for budgets between the fastest and the slowest architecture; arguments as for `cheapest`."""

    def __init__(
        self, known: Sequence[tuple[Target, CostModel | None]], strategy: Strategy, resolution: int | None, seed: int
    ) -> None:
        self.target, self.strategy, self.seed = known[0][0], strategy, seed
        self.loss = max(target.loss for target, _ in known)
        self.latencies = [target.costs.table(LATENCY, model, resolution) for target, model in known]
        bounds = [Completions.of(self.target.bundle.space, table) for table in self.latencies]
        self.low, self.high = (np.array([getattr(b, end) for b in bounds]) for end in ("least", "most"))

    def run(self, top1: float, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """The code of the cheapest architecture under limits on some costs, shape (1, costs)."""
        bundle = self.target.bundle
        best: Codes | None = None
        start, end = 0.0, 1.0
        for _ in range(2):
            shares = np.linspace(start, end, _STEPS)
            rows = self.low + shares[:, None] * (self.high - self.low)
            codes = self._feasible([*self.latencies, *tables], np.hstack([rows, np.repeat(limits, _STEPS, axis=0)]))
            predicted = np.asarray(bundle.predictor.of_chosen(codes).mean) - self.loss
            ranges = zip(self.latencies, self.low, self.high, strict=True)
            taken = np.max([(table.cost(codes) - low) / (high - low) for table, low, high in ranges], axis=0)
            enough = np.flatnonzero(predicted >= top1)
            if not len(enough):
                break
            best = codes[enough[taken[enough].argmin()]]
            # The second pass searches just below the lowest latency that was enough.
            end = float(taken[enough].min())
            start = max(0.0, end - 2 / _STEPS)
        if best is None:
            raise InfeasibleError(
                f"No architecture of {bundle.name} is predicted to reach {top1:g} %; "
                f"the best found reaches {predicted.max():.2f} %.",
                "Ask for less accuracy, or for larger budgets if any were given.",
            )
        return best

    def _feasible(self, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """The candidates for all rows of limits that some architecture holds."""
        found = []
        for row in np.array_split(limits, len(limits)) if len(tables) > 1 else [limits]:
            try:
                codes = self.strategy.propose(question(self.target, tables, row, self.seed))
            except InfeasibleError:
                continue
            found.append(codes.reshape(-1, codes.shape[2]))
        if not found:
            raise InfeasibleError(
                "No architecture holds the budgets.",
                "Try larger budgets, one at a time, to see which one is too small.",
            )
        return np.concatenate(found)
