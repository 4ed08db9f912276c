"""The deploy loop: generate, build, measure, tighten the limits; the verdict is `held` only after a fresh session."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.budget import LATENCY, Budget
from nagsdk.cost.model import CostModel
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.strategies import Nag
from nagsdk.generator.strategy import Strategy
from nagsdk.manifest.result import LEFT_OUT, MISSED, UNVERIFIED, Arm, Result
from nagsdk.pipeline.arms import bills, promising, worth
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.proposals import Candidate, Proposer
from nagsdk.pipeline.round import Built, Round, Unmeasured
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_together
from nagsdk.pipeline.verdict import begun, confirmed, judge, rule_of, share_of, with_facts

if TYPE_CHECKING:
    from nagsdk.training.tuner import Tuner

MOST_ROUNDS = 5
# Under load a round takes minutes, so less is enough there.
ENOUGH_USED, ENOUGH_USED_HOT = 0.95, 0.88
_TOP1_UNKNOWN = "A top-1 of at least {:g} % is predicted but was not measured: {}."
_NO_LATENCIES = "nothing is known about its latencies"


@dataclass
class Deployer:
    """Runs the loop for one deployment.

    If the target leaves a choice between precisions or numbers of threads, all of these arms propose candidates, which
    are measured in turns; the best one that holds is the answer.

    Attributes:
        target: Bundle and device; once the loop has run, the arm that was chosen.
        builder: Builder of the candidates; once the loop has run, that of the chosen arm.
        resolution: Pinned input size, if any.
        strategy: How architectures are found.
        tuner: Fine-tunes the subnet that was found; with None it keeps the weights of the supernet.
        min_top1: If given, the fastest architecture with at least this top-1 in per cent is sought, instead of the most
            accurate one.
        model: Once the loop has run, the cost model of the chosen arm as it was before.
        arms: What proposes candidates: one for each arm.
        rounds: The rounds so far; candidates that were measured in turns have one each.
    """

    target: Target
    builder: Builder
    resolution: int | None = None
    strategy: Strategy = field(default_factory=Nag)
    tuner: Tuner | None = None
    min_top1: float | None = None
    model: CostModel | None = None
    arms: list[Proposer] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)

    def check(self) -> None:
        """Raises an error before long work starts if that work cannot succeed; see `Builder.check`."""
        for builder in self._builders():
            builder.check(self.resolution)

    def run(self, budgets: Sequence[Budget], models: Sequence[CostModel | None], folder: Path) -> Round | Unmeasured:
        """Runs the loop.

        Args:
            budgets: The budgets, which must all hold together.
            models: The cost model of each arm of the target; may be None for exact metrics.
            folder: Folder in which candidates are built.

        Returns:
            The best round that held, else the one that came nearest; if the device is unavailable, the candidate
            without a measurement.

        Raises:
            InfeasibleError: No architecture holds the budgets.
            DeviceError: The device failed or was busy.
        """
        left_out = self._start(budgets, models, folder)
        best, found = None, list[Candidate]()
        for number in range(MOST_ROUNDS):
            proposed = promising(self._proposed(best, left_out), number)
            if not self.target.presence.available:
                proposed = proposed[:1]
            if not proposed:
                break
            found = proposed
            for one in found:
                self._tell(f"Round {number + 1}: {one.architecture}", one.arm)
                one.arm.build(one, number)
            if not self.target.presence.available:
                if (unmeasured := self._unmeasured(found[0], budgets)) is not None:
                    return self._chosen(found[0], unmeasured, left_out)
                continue
            best = self._measure(found, budgets, best, number)
            for one in found:
                self._conclude(one, number, searching=best is None)
            if not any(arm.open for arm in self.arms):
                break
        if not self.rounds:
            asked = [*map(str, budgets), *([] if self.min_top1 is None else [f"a top-1 of {self.min_top1:g} %"])]
            raise InfeasibleError(
                f"No candidate's file held {' and '.join(asked)}.",
                "Allow a few percent more, or use another precision."
                if self.min_top1 is None
                else "Ask for less accuracy, or for larger budgets if any were given.",
            )
        answer = best or min(found, key=lambda one: _turn(one).used)
        return self._chosen(answer, _turn(answer), left_out)

    def refine(self, outcome: Round | Unmeasured, budgets: Sequence[Budget], folder: Path) -> Round | Unmeasured:
        """Fine-tunes the subnet that the loop found; the new file is measured, and its verdict counts.

        Args:
            outcome: The outcome of `run`; it was not missed.
            budgets: The budgets, which must all hold together.
            folder: Folder in which the file is built.
        """
        assert self.tuner is not None
        built = self.builder.build(outcome.built.architecture, folder, self.tuner)
        if isinstance(outcome, Unmeasured):
            if short := self._short_of_top1(self.builder, built):
                raise InfeasibleError(
                    f"After fine-tuning, the top-1 is {short:.2f} points below {self.min_top1:g} %.",
                    "Fine-tune for another number of epochs or on other images, or not at all.",
                )
            return Unmeasured(outcome.result, built)
        assert outcome.promised is not None
        turn = judge(self.target, replace(outcome.promised, arms=outcome.result.arms), built, budgets)
        self._check_top1(self.builder, turn)
        self.rounds.append(turn)
        return turn

    def _builders(self) -> Iterator[Builder]:
        for target in self.target.arms:
            yield self.builder if target is self.builder.target else replace(self.builder, target=target)

    def _start(self, budgets: Sequence[Budget], models: Sequence[CostModel | None], folder: Path) -> list[Arm]:
        """Makes what proposes candidates, one for each arm that can hold the budgets; returns the other arms."""
        left_out: list[Arm] = []
        infeasible: list[InfeasibleError] = []
        needed = self.min_top1 is not None or any(budget.metric == LATENCY for budget in budgets)
        for number, (builder, model) in enumerate(zip(self._builders(), models, strict=True)):
            if needed and model is None:
                left_out.append(_left_out(builder.target, _NO_LATENCIES))
                continue
            arm = (builder, self.strategy, self.resolution, self.min_top1, budgets, model)
            try:
                self.arms.append(Proposer(*arm, folder if len(models) == 1 else folder / f"arm{number}"))
            except InfeasibleError as error:
                left_out.append(_left_out(builder.target, error.message))
                infeasible.append(error)
        if not self.arms:
            raise min(infeasible, key=lambda error: error.excess)
        if self.target.presence.available:
            for one in self.arms:
                one.look()
        return left_out

    def _proposed(self, best: Candidate | None, left_out: list[Arm]) -> list[Candidate]:
        """What the arms propose to build next; those that have nothing better propose no more."""
        found = []
        for arm in [arm for arm in self.arms if arm.open]:
            try:
                candidate = arm.propose(None if best is None else best.turn)
            except InfeasibleError as error:
                if len(self.arms) == 1:
                    raise
                left_out.append(_left_out(arm.target, error.message))
                self.arms.remove(arm)
                continue
            arm.open = candidate is not None
            if candidate is not None:
                found.append(candidate)
        return found

    def _unmeasured(self, candidate: Candidate, budgets: Sequence[Budget]) -> Unmeasured | None:
        """The answer without a device; None if the file needs more than was estimated."""
        arm, built = candidate.arm, candidate.built
        assert built is not None
        candidate.result = with_facts(arm.target, candidate.result, built)
        shares = [share_of(arm.target, candidate.result, built, budget) for budget in budgets]
        short = self._short_of_top1(arm.builder, built)
        if max([*shares, 0.0]) <= 1 and not short:
            return Unmeasured(self._with_doubt(arm.builder, candidate.result, built), built)
        arm.tighten(shares)
        arm.wanted = None if arm.wanted is None else arm.wanted + short
        return None

    def _measure(
        self, found: Sequence[Candidate], budgets: Sequence[Budget], best: Candidate | None, number: int
    ) -> Candidate | None:
        """Measures candidates in turns and has the best one confirmed; returns the best so far."""
        jobs = []
        for one in found:
            assert one.built is not None and one.built.compiled is not None
            jobs.append((one.arm.target, {one.architecture.text: one.built.compiled}, one.arm.folder))
        protocol = rule_of(jobs[0][0], budgets).protocol
        for one, sessions in zip(found, time_together(jobs, protocol), strict=True):
            assert one.built is not None
            one.turn = begun(one.arm.target, one.result, one.built, budgets, sessions[one.architecture.text])
            self.rounds.append(one.turn)
        for one in [one for one in found if _turn(one).used > 1]:
            confirmed(one.arm.target, _turn(one), budgets)
        standing = [one for one in found if _turn(one).used <= 1]
        several = len(self.arms) > 1
        for one in sorted(standing, key=worth, reverse=True) if several else standing:
            if several and best is not None and worth(one) < worth(best):
                break
            rivals = one.arm.rivals()
            turn = confirmed(one.arm.target, _turn(one), budgets, partial(one.arm.build_rivals, rivals, number))
            one.arm.hopeful = [rival for rival in rivals if turn.rivals.get(rival[1].text, math.inf) <= 1]
            one.short = self._check_top1(one.arm.builder, _turn(one))
            if _turn(one).result.verdict != MISSED:
                return one
        return best

    def _conclude(self, candidate: Candidate, number: int, searching: bool) -> None:
        """Tells how a round went, and prepares the next one of the same arm."""
        arm, turn = candidate.arm, _turn(candidate)
        if candidate.short:
            assert arm.wanted is not None
            arm.wanted += candidate.short
        used = f", {turn.used:.0%} of the limit used" if arm.budgets else ""
        self._tell(f"Round {number + 1}: {turn.result.verdict}{used}", arm, ".")
        if turn.result.verdict != MISSED:
            enough = ENOUGH_USED if turn.hot is None else ENOUGH_USED_HOT
            if turn.used * turn.spare >= enough or not arm.timed or arm.wanted is not None:
                arm.open = False
                return
        elif turn.hot is None and not all(m.enough_quiet for m in turn.deciding):
            arm.tried.discard(candidate.architecture)  # it may hold once the device is quiet
        arm.learn(turn, searching)

    def _chosen(self, candidate: Candidate, outcome: Round | Unmeasured, left_out: Sequence[Arm]) -> Round | Unmeasured:
        """The outcome with what the arms cost; the deployer goes on with the chosen one."""
        arm = candidate.arm
        found = bills(self.target, self.arms, candidate, left_out)
        self.target, self.builder, self.model = arm.target, arm.builder, arm.first_model
        result = replace(outcome.result, arms=found)
        if isinstance(outcome, Unmeasured):
            return replace(outcome, result=result)
        outcome.result = result
        return outcome

    def _tell(self, text: str, arm: Proposer, end: str = "") -> None:
        name = f" ({arm.target.arm})" if len(self.arms) > 1 else ""
        self.target.on_event(Notice(f"{text}{name}{end}"))

    def _check_top1(self, builder: Builder, turn: Round) -> float:
        """Changes the verdict to missed if the measured top-1 is too low; returns the missing points, 0 if none."""
        if self.min_top1 is None or turn.result.verdict == MISSED:
            return 0.0
        turn.result = self._with_doubt(builder, turn.result, turn.built)
        short = self._short_of_top1(builder, turn.built)
        if short:
            turn.result = replace(turn.result, verdict=MISSED)
        return short

    def _short_of_top1(self, builder: Builder, built: Built) -> float:
        """Points by which a file's top-1 on the test images is below `min_top1`; 0 if it is not, or not measurable."""
        true = None if self.min_top1 is None else builder.evaluate(built).top1
        return 0.0 if true is None or self.min_top1 is None else max(0.0, self.min_top1 - true)

    def _with_doubt(self, builder: Builder, result: Result, built: Built) -> Result:
        """The result, unverified and with a warning if `min_top1` was given but top-1 cannot be measured."""
        if self.min_top1 is None or builder.evaluate(built).top1 is not None:
            return result
        has_images = self.target.bundle.has_test_images
        why = "nothing on this machine runs the file" if has_images else f"{result.bundle} has no labelled test images"
        warning = _TOP1_UNKNOWN.format(self.min_top1, why)
        return replace(result, verdict=UNVERIFIED, warnings=(*result.warnings, warning))


def _turn(candidate: Candidate) -> Round:
    assert candidate.turn is not None
    return candidate.turn


def _left_out(target: Target, why: str) -> Arm:
    return Arm(target.device.precision, target.device.threads, LEFT_OUT, why)
