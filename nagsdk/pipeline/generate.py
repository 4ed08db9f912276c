"""Generates without measuring: the most accurate architecture within limits, or the fastest that is accurate enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from nagsdk.budget import METRICS, Budget
from nagsdk.bundle.architectures import read
from nagsdk.errors import DeviceUnavailableError, InfeasibleError, NagsdkError, UsageError
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.manifest.result import CHOSEN, LEFT_OUT, PREDICTED, Arm, Result
from nagsdk.pipeline.cheapest import cheapest
from nagsdk.pipeline.describe import describe, predicted_arm, promise, why_not_chosen
from nagsdk.pipeline.hot import note_on
from nagsdk.pipeline.limits import Limit
from nagsdk.pipeline.models import cost_model, question, require_cost_model
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.together import require_together
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes


class Generation:
    """One bundle on one or more devices, whose limits must all hold together.

    Args:
        targets: Targets with the same bundle.
        strategy: How architectures are found.
        timed: Whether latencies matter.
        resolution: Pinned input size, if any.
        seed: Seed of all random choices.
        start: The user's present architecture, if there is one.

    Raises:
        DeviceUnavailableError: Latencies matter, and nothing is known about the latencies of a device.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        strategy: Strategy,
        timed: bool,
        resolution: int | None = None,
        seed: int = 0,
        start: Codes | None = None,
    ) -> None:
        self.start = start
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
        return _listed(asked, self.answers(asked))

    def answers(self, asked: Sequence[Sequence[Budget]]) -> list[list[Result] | InfeasibleError]:
        """The same, but with an error in the place of each set that no architecture holds."""
        size = len(self.known)
        try:
            results = self._best(asked)
            return [results[start : start + size] for start in range(0, len(results), size)]
        except InfeasibleError as error:
            failed = self._unanswerable(asked)
            if len(asked) == 1:
                return [failed.get(0, error)]
        others = [together for number, together in enumerate(asked) if number not in failed]
        found = iter(self._best(others) if others else [])
        return [failed.get(number) or [next(found) for _ in self.known] for number in range(len(asked))]

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
                require_together(
                    together, lambda budgets: self._question(self._limits([budgets])), self.target.costs.eased
                )
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
            self.start,
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
                describe(bundle, chosen, target, model, [_on(target, one) for one in asked], min_top1, chosen=True),
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


def _started(
    target: Target, strategy: str | None, start: str | Architecture | None, min_top1: float | None
) -> tuple[Strategy, Codes | None]:
    """The strategy that was asked for, and the code of the architecture that it starts from.

    Raises:
        UnknownNameError: There is no such strategy.
        ArchitectureError: There is no such architecture in the space.
        UsageError: The strategy starts from no architecture, or a minimum top-1 was asked for.
    """
    chosen = target.host.strategy(strategy or ("nag" if start is None else "transform"), target.bundle)
    if start is None:
        return chosen, None
    if min_top1 is not None:
        raise UsageError(
            "A search from your present architecture answers budgets, not a minimum top-1.",
            "Give a budget, or leave one of the two out.",
        )
    if not chosen.starts:
        able = ", ".join(known.id for known in target.host.strategies if known.starts)
        raise UsageError(f"The strategy {chosen.id} starts from no architecture.", f"Use one that does: {able}.")
    return chosen, target.bundle.space.encode(read(target.bundle, start, None))[0]


def generated(
    targets: Sequence[Target],
    strategy: str | None,
    start: str | Architecture | None,
    timed: bool,
    resolution: int | None,
    seed: int,
    asked: Sequence[Sequence[Budget]],
    min_top1: float | None,
) -> list[Result]:
    """The answers for all sets of budgets; of a target that leaves a choice, the best arm's by prediction.

    Args:
        targets: See `Generation`; only a single one may leave a choice.
        strategy: Id of the strategy, maybe with options; None for the usual one.
        start: The user's present architecture, if there is one.
        timed: See `Generation`.
        resolution: See `Generation`.
        seed: See `Generation`.
        asked: See `Generation.best`; with `min_top1` one set, or none.
        min_top1: See `Generation.cheapest`; None for the most accurate architectures.

    Raises:
        DeviceUnavailableError: Latencies matter, and nothing is known about those of a device.
        InfeasibleError: See `Generation.best`.
    """
    chosen, begun = _started(targets[0], strategy, start, min_top1)

    def ask(together: Sequence[Target]) -> list[list[Result] | InfeasibleError]:
        return _answers(Generation(together, chosen, timed, resolution, seed, begun), asked, min_top1)

    if len(targets[0].arms) == 1 and not targets[0].left_out:
        return _listed(asked, ask(targets))
    return _listed(asked, _over_arms(targets[0], ask))


def _over_arms(
    target: Target, ask: Callable[[Sequence[Target]], list[list[Result] | InfeasibleError]]
) -> list[list[Result] | InfeasibleError]:
    """The best answers of a target's arms."""
    left_out = list(target.left_out)
    by_arm: list[tuple[Target, list[list[Result] | InfeasibleError]]] = []
    unknown: DeviceUnavailableError | None = None
    for arm in target.arms:
        try:
            by_arm.append((arm, ask([arm])))
        except DeviceUnavailableError as error:
            unknown = error
            left_out.append(_left_out(arm, error))
    if not by_arm:
        assert unknown is not None
        raise unknown
    answers: list[list[Result] | InfeasibleError] = []
    for number in range(len(by_arm[0][1])):
        own = [(arm, listed[number]) for arm, listed in by_arm]
        found = [answer[0] for _, answer in own if not isinstance(answer, InfeasibleError)]
        errors = [(arm, answer) for arm, answer in own if isinstance(answer, InfeasibleError)]
        if not found:
            answers.append(min((error for _, error in errors), key=lambda error: error.excess))
            continue
        failed = [_left_out(arm, error) for arm, error in errors]
        chosen = max(found, key=promise)
        rivals = [one for one in found if one is not chosen]
        why = "the best by prediction; nothing was measured"
        arms = [
            predicted_arm(chosen, CHOSEN, why),
            *(predicted_arm(one, PREDICTED, why_not_chosen(one, chosen)) for one in rivals),
        ]
        answers.append([replace(chosen, arms=(*arms, *failed, *left_out))])
    return answers


def _answers(
    generation: Generation, asked: Sequence[Sequence[Budget]], min_top1: float | None
) -> list[list[Result] | InfeasibleError]:
    if min_top1 is None:
        return generation.answers(asked)
    try:
        return [generation.cheapest(min_top1, asked[0] if asked else ())]
    except InfeasibleError as error:
        return [error]


def _listed(asked: Sequence[Sequence[Budget]], answers: Sequence[list[Result] | InfeasibleError]) -> list[Result]:
    """The answers one after the other.

    Raises:
        InfeasibleError: There is an error among them; its `results` are the others.
    """
    results = [result for answer in answers if not isinstance(answer, InfeasibleError) for result in answer]
    failed = {number: answer for number, answer in enumerate(answers) if isinstance(answer, InfeasibleError)}
    if not failed:
        return results
    first = next(iter(failed.values()))
    if len(answers) == 1:
        raise first
    named = ", ".join(" and ".join(map(str, asked[number])) for number in failed)
    text = f"{len(failed)} of {len(asked)} budgets have no answer: {named}. {first.message}"
    raise InfeasibleError(text, first.next_step, results) from first


def _left_out(target: Target, error: NagsdkError) -> Arm:
    return Arm(target.device.precision, target.device.threads, LEFT_OUT, error.message)


def _on(target: Target, budgets: Sequence[Budget]) -> tuple[Budget, ...]:
    """The budgets for the batch of a device, which may be another one for each device."""
    return tuple(budget.for_batch(target.device.batch) for budget in budgets)
