"""Generating without measuring: the best architecture for limits that hold together, or the cheapest of a given accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nagsdk.budget import LATENCY, METRICS, Budget
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import InfeasibleError
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Strategy
from nagsdk.manifest.result import Result
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.target import UNLIMITED, Workbench
from nagsdk.space.space import Codes

_STEPS = 64


class Generation:
    """One bundle on one or more devices, whose limits hold all at once.

    Args:
        benches: Of one and the same bundle.
        strategy: Finds architectures.
        timed: Whether latencies matter.
        resolution: Pinned input size.
        seed: Of every random choice.

    Raises:
        DeviceUnavailableError: Latencies matter, and nothing is known of those of a device.
    """

    def __init__(self, benches: Sequence[Workbench], strategy: Strategy, timed: bool, resolution: int | None = None, seed: int = 0) -> None:
        self.bench, self.strategy, self.resolution, self.seed = benches[0], strategy, resolution, seed
        # A cost model tells once where it comes from.
        self.benches = [(bench, bench.require_cost_model() if timed else bench.cost_model()) for bench in benches]

    def best(self, asked: Sequence[Sequence[Budget]]) -> list[Result]:
        """The most accurate architecture for each set of budgets.

        Args:
            asked: Budgets that hold together; every set limits the same metrics in the same order.

        Returns:
            One result for every set and device, those of a set together.

        Raises:
            InfeasibleError: No architecture holds a set; `results` answer the others.
        """
        try:
            return self._best(asked)
        except InfeasibleError:
            if len(asked) == 1:
                raise
        failed = self._unanswerable(asked)
        others = [together for number, together in enumerate(asked) if number not in failed]
        results = self._best(others) if others else []
        first, named = next(iter(failed.values())), ", ".join(" and ".join(map(str, asked[number])) for number in failed)
        text = f"{len(failed)} of {len(asked)} budgets have no answer: {named}. {first.message}"
        raise InfeasibleError(text, first.next_step, results) from first

    def _best(self, asked: Sequence[Sequence[Budget]]) -> list[Result]:
        if len(asked) > 1 and any(b.metric not in METRICS for b in asked[0]):
            # A limit on a maximum forbids choices: each has a table of its own.
            return [result for one in asked for result in self._best([one])]
        tables, limits = self._costs(asked)
        codes = self.strategy.propose(self.bench.question(tables, limits, self.seed))
        picked = codes[np.arange(len(codes)), choose(self.bench.bundle.predictor, codes)[:, 0]]
        return self._told(picked, asked, self.bench.costs.unlimited(asked, tables, limits))

    def _unanswerable(self, asked: Sequence[Sequence[Budget]]) -> dict[int, InfeasibleError]:
        """The sets that no architecture holds, by number, and why."""
        failed = {}
        for number, together in enumerate(asked):
            try:
                _ = self.bench.question(*self._costs([together]), self.seed).reserves
            except InfeasibleError as error:
                failed[number] = error
        return failed

    def cheapest(self, top1: float, budgets: Sequence[Budget]) -> list[Result]:
        """The architecture of least latency that is predicted to be so accurate.

        Latencies of several devices count by their largest share of what the most accurate architecture takes.

        Args:
            top1: Least predicted top-1 in per cent.
            budgets: What must hold besides.

        Returns:
            One result for every device.

        Raises:
            InfeasibleError: Nothing is so accurate; the message names the best.
        """
        tables, limits = self._costs([budgets])
        code = self._cheapest(top1, [], np.empty((1, 0)))
        # What is cheapest of all and holds the budgets is cheapest under them; a search under more limits may miss it.
        if any(table.cost(code[None])[0] > limit for table, limit in zip(tables, limits[0], strict=True)):
            code = self._cheapest(top1, tables, limits)
        return self._told(code[None], [budgets], np.zeros(1, dtype=bool))

    def _cheapest(self, top1: float, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """The code of `cheapest`, shape (decisions,), under limits on some costs, shape (1, costs)."""
        predictor, space = self.bench.bundle.predictor, self.bench.bundle.space
        latencies = [bench.costs.table(LATENCY, model, self.resolution) for bench, model in self.benches]
        bounds = [Completions.of(space, table) for table in latencies]
        low, high = (np.array([getattr(b, end) for b in bounds]) for end in ("least", "most"))
        best: Codes | None = None
        from_, to = 0.0, 1.0
        for _ in range(2):
            shares = np.linspace(from_, to, _STEPS)
            rows = low + shares[:, None] * (high - low)
            codes = self._feasible([*latencies, *tables], np.hstack([rows, np.repeat(limits, _STEPS, axis=0)]))
            told = np.asarray(predictor.predict(codes).mean)
            taken = np.max([(t.cost(codes) - a) / (b - a) for t, a, b in zip(latencies, low, high, strict=True)], axis=0)
            enough = np.flatnonzero(told >= top1)
            if not len(enough):
                break
            best = codes[enough[taken[enough].argmin()]]
            # Once more, around the least that was enough.
            to = float(taken[enough].min())
            from_ = max(0.0, to - 2 / _STEPS)
        if best is None:
            raise InfeasibleError(
                f"No architecture of {self.bench.bundle.name} is predicted to reach {top1:g} %; the best found reaches {told.max():.2f} %.",
                "Ask for less accuracy, or for wider budgets where any were given.",
            )
        return best

    def _feasible(self, tables: Sequence[AdditiveTable], limits: Floats) -> Codes:
        """All candidates for the rows of limits that some architecture holds."""
        found = []
        for row in np.array_split(limits, len(limits)) if len(tables) > 1 else [limits]:
            try:
                codes = self.strategy.propose(self.bench.question(tables, row, self.seed))
            except InfeasibleError:
                continue
            found.append(codes.reshape(-1, codes.shape[2]))
        if not found:
            raise InfeasibleError("No architecture holds the budgets.", "Ask for more of them, one at a time, to see which one it is.")
        return np.concatenate(found)

    def _costs(self, asked: Sequence[Sequence[Budget]]) -> tuple[list[AdditiveTable], Floats]:
        """Tables of all budgets on all devices, and their limits, shape (sets, tables)."""
        tables, columns = [], []
        for bench, model in self.benches:
            for together in zip(*asked, strict=True):
                table = bench.costs.table_for(together[0], model, self.resolution)
                tables.append(table)
                columns.append([bench.costs.feasible_limit(budget, model, table, self.resolution) for budget in together])
        return tables, np.array(columns, np.float64).T.reshape(len(asked), len(tables))

    def _told(self, codes: Codes, asked: Sequence[Sequence[Budget]], free: NDArray[np.bool_]) -> list[Result]:
        bundle = self.bench.bundle
        chosen = bundle.space.decode(codes)
        told = [
            [
                replace(result, metrics=bench.costs.metrics(architecture, budgets))
                for result, architecture, budgets in zip(
                    describe(bundle, chosen, bench.device.id, model, asked), chosen, asked, strict=True
                )
            ]
            for bench, model in self.benches
        ]
        results = [result for results in zip(*told, strict=True) for result in results]
        return [
            replace(r, warnings=(*r.warnings, UNLIMITED)) if limited_by_nothing else r
            for r, limited_by_nothing in zip(results, np.repeat(free, len(self.benches)), strict=True)
        ]
