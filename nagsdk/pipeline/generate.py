"""Generates without measuring: the most accurate architecture within limits, or the fastest that is accurate enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nagsdk.budget import METRICS, Budget
from nagsdk.errors import InfeasibleError
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.manifest.result import Result
from nagsdk.pipeline.cheapest import cheapest
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.hot import note_on
from nagsdk.pipeline.limits import Limit
from nagsdk.pipeline.models import cost_model, question, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.space.space import Codes


class Generation:
    """One bundle on one or more devices, whose limits must all hold together.

    Args:
        targets: Targets with the same bundle.
        strategy: How architectures are found.
        timed: Whether latencies matter.
        resolution: Pinned input size, if any.
        seed: Seed of all random choices.

    Raises:
        DeviceUnavailableError: Latencies matter, and nothing is known about the latencies of a device.
    """

    def __init__(
        self, targets: Sequence[Target], strategy: Strategy, timed: bool, resolution: int | None = None, seed: int = 0
    ) -> None:
        self.target, self.strategy, self.resolution, self.seed = targets[0], strategy, resolution, seed
        # Reading a damaged cost model warns, so each one is read only once.
        self.known = [(target, require_cost_model(target) if timed else cost_model(target)) for target in targets]

    def best(self, asked: Sequence[Sequence[Budget]]) -> list[Result]:
        """The most accurate architecture for each set of budgets.

        Args:
            asked: Sets of budgets that must hold together; every set limits the same metrics in the same order.

        Returns:
            One result for every set and device; the results of a set follow each other.

        Raises:
            InfeasibleError: No architecture holds one of the sets; its `results` answer the other sets.
        """
        try:
            return self._best(asked)
        except InfeasibleError:
            if len(asked) == 1:
                raise
        failed = self._unanswerable(asked)
        others = [together for number, together in enumerate(asked) if number not in failed]
        results = self._best(others) if others else []
        first, named = (
            next(iter(failed.values())),
            ", ".join(" and ".join(map(str, asked[number])) for number in failed),
        )
        text = f"{len(failed)} of {len(asked)} budgets have no answer: {named}. {first.message}"
        raise InfeasibleError(text, first.next_step, results) from first

    def cheapest(self, top1: float, budgets: Sequence[Budget]) -> list[Result]:
        """The fastest architecture that is predicted to be accurate enough; see `nagsdk.pipeline.cheapest`.

        Args:
            top1: Minimum predicted top-1 in per cent.
            budgets: Budgets that must hold as well.

        Returns:
            One result for every device.

        Raises:
            InfeasibleError: No architecture is accurate enough; the message names the best top-1 found.
        """
        (limits,) = self._limits([budgets])
        code = cheapest(self.known, self.strategy, top1, limits, self.resolution, self.seed)
        return self._results(code[None], [budgets], [()], top1)

    def _best(self, asked: Sequence[Sequence[Budget]]) -> list[Result]:
        if len(asked) > 1 and any(b.metric not in METRICS for b in asked[0]):
            # A limit on a plugin's metric may forbid choices: each needs its own table.
            return [result for one in asked for result in self._best([one])]
        limits = self._limits(asked)
        codes = self.strategy.propose(self._question(limits))
        picked = codes[np.arange(len(codes)), choose(self.target.bundle.predictor, codes)[:, 0]]
        return self._results(picked, asked, [self.target.costs.note_on(row) for row in limits])

    def _unanswerable(self, asked: Sequence[Sequence[Budget]]) -> dict[int, InfeasibleError]:
        """The sets that no architecture holds, by number, with their errors."""
        failed = {}
        for number, together in enumerate(asked):
            try:
                _ = self._question(self._limits([together])).reserves
            except InfeasibleError as error:
                failed[number] = error
        return failed

    def _limits(self, asked: Sequence[Sequence[Budget]]) -> list[list[Limit]]:
        """The limits of every set, on all devices."""
        rows: list[list[Limit]] = []
        for together in asked:
            first = rows[0] if rows else [None] * (len(together) * len(self.known))
            wanted = [(target, model, budget) for target, model in self.known for budget in _on(target, together)]
            rows.append(
                [
                    target.costs.feasible(b, model, self.resolution, like)
                    for (target, model, b), like in zip(wanted, first, strict=True)
                ]
            )
        return rows

    def _question(self, limits: Sequence[Sequence[Limit]]) -> Question:
        return question(
            self.target,
            [limit.table for limit in limits[0]],
            [[limit.most for limit in row] for row in limits],
            self.seed,
        )

    def _results(
        self,
        codes: Codes,
        asked: Sequence[Sequence[Budget]],
        notes: Sequence[tuple[str, ...]],
        min_top1: float | None = None,
    ) -> list[Result]:
        """Results of the codes, in the order of `best`; `notes` are the first warnings of each set of budgets."""
        bundle = self.target.bundle
        chosen = bundle.space.decode(codes)
        by_target = [
            (
                target,
                describe(
                    bundle, chosen, target.device, model, [_on(target, one) for one in asked], min_top1, chosen=True
                ),
            )
            for target, model in self.known
        ]
        return [
            replace(
                results[number],
                metrics=target.costs.metrics(chosen[number], budgets),
                warnings=(*notes[number], *note_on(budgets), *results[number].warnings),
            )
            for number, budgets in enumerate(asked)
            for target, results in by_target
        ]


def _on(target: Target, budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """The budgets for the batch of a device, which may be another one for each device."""
    return tuple(budget.for_batch(target.device.batch) for budget in budgets)
