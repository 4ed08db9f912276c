"""The fastest architecture of a given predicted accuracy."""

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
    """The architecture of least latency that is predicted to be so accurate.

    Latencies of several devices count by their largest share of what the most accurate architecture takes.

    Args:
        known: Targets of one and the same bundle, each with its cost model.
        strategy: Finds architectures.
        top1: Least predicted top-1 in per cent.
        limits: What must hold besides.
        resolution: Pinned input size.
        seed: Seed of every random choice.

    Returns:
        Its code, int8, shape (decisions,).

    Raises:
        InfeasibleError: Nothing is so accurate; the message names the best.
    """
    search = _Search(known, strategy, resolution, seed)
    code = search.run(top1, [], np.empty((1, 0)))
    # What is cheapest of all and holds the budgets is cheapest under them; a search under more limits may miss it.
    if any(limit.table.cost(code[None])[0] > limit.most for limit in limits):
        code = search.run(top1, [limit.table for limit in limits], np.array([[limit.most for limit in limits]]))
    return code


class _Search:
    """Asks a strategy for budgets between the fastest and the slowest architecture; arguments as for `cheapest`."""

    def __init__(
        self, known: Sequence[tuple[Target, CostModel | None]], strategy: Strategy, resolution: int | None, seed: int
    ) -> None:
        self.target, self.strategy, self.seed = known[0][0], strategy, seed
        self.latencies = [target.costs.table(LATENCY, model, resolution) for target, model in known]
        bounds = [Completions.of(self.target.bundle.space, table) for table in self.latencies]
        self.low, self.high = (np.array([getattr(b, end) for b in bounds]) for end in ("least", "most"))

    def run(self, top1: float, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """The code under limits on some costs, shape (1, costs)."""
        bundle = self.target.bundle
        best: Codes | None = None
        from_, to = 0.0, 1.0
        for _ in range(2):
            shares = np.linspace(from_, to, _STEPS)
            rows = self.low + shares[:, None] * (self.high - self.low)
            codes = self._feasible([*self.latencies, *tables], np.hstack([rows, np.repeat(limits, _STEPS, axis=0)]))
            told = np.asarray(bundle.predictor.predict(codes).mean)
            ranges = zip(self.latencies, self.low, self.high, strict=True)
            taken = np.max([(table.cost(codes) - low) / (high - low) for table, low, high in ranges], axis=0)
            enough = np.flatnonzero(told >= top1)
            if not len(enough):
                break
            best = codes[enough[taken[enough].argmin()]]
            # Once more, around the least that was enough.
            to = float(taken[enough].min())
            from_ = max(0.0, to - 2 / _STEPS)
        if best is None:
            raise InfeasibleError(
                f"No architecture of {bundle.name} is predicted to reach {top1:g} %; the best found reaches {told.max():.2f} %.",
                "Ask for less accuracy, or for wider budgets where any were given.",
            )
        return best

    def _feasible(self, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """All candidates for the rows of limits that some architecture holds."""
        found = []
        for row in np.array_split(limits, len(limits)) if len(tables) > 1 else [limits]:
            try:
                codes = self.strategy.propose(question(self.target, tables, row, self.seed))
            except InfeasibleError:
                continue
            found.append(codes.reshape(-1, codes.shape[2]))
        if not found:
            raise InfeasibleError(
                "No architecture holds the budgets.", "Ask for more of them, one at a time, to see which one it is."
            )
        return np.concatenate(found)
