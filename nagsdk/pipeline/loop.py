"""The deploy loop: generate, build, measure, tighten the limits; the verdict is `held` only after a fresh session."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nagsdk.budget import LATENCY, Budget
from nagsdk.cost.model import CostModel
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Nag
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.manifest.result import MISSED, UNVERIFIED, Result
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.cheapest import cheapest
from nagsdk.pipeline.describe import describe
from nagsdk.pipeline.hot import RIVALS, longest_load
from nagsdk.pipeline.limits import Limit
from nagsdk.pipeline.models import question
from nagsdk.pipeline.round import Built, Round, Unmeasured
from nagsdk.pipeline.rule import spare_for
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import pace_of
from nagsdk.pipeline.verdict import judge, share_of, with_facts
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.training.tuner import Tuner

MOST_ROUNDS = 5
# Under load a round takes minutes, so less is enough there.
ENOUGH_USED, ENOUGH_USED_HOT = 0.95, 0.88
# If the fastest architecture of an accuracy was tried already, so many points of top-1 more are asked for, so often.
_TOP1_STEP, _TOP1_STEPS = 0.25, 8
_FASTER = "{} runs {:.2f} times faster than when it was calibrated: calibrate it again to get accurate predictions."
_TOP1_UNKNOWN = "A top-1 of at least {:g} % is predicted but was not measured: {}."


@dataclass
class Deployer:
    """Runs the loop for one deployment.

    Attributes:
        target: Bundle and device.
        builder: Builder of the candidates.
        resolution: Pinned input size, if any.
        strategy: How architectures are found.
        tuner: Fine-tunes the subnet that was found; with None it keeps the weights of the supernet.
        min_top1: If given, the fastest architecture with at least this top-1 in per cent is sought, instead of the most
            accurate one.
        rounds: The rounds so far.
        tried: Architectures that were built and are not tried again.
        spare: How much larger than a predicted latency its limit must be, since sessions differ.
        hopeful: Candidates that held the limits under load beside the last one.
    """

    target: Target
    builder: Builder
    resolution: int | None = None
    strategy: Strategy = field(default_factory=Nag)
    tuner: Tuner | None = None
    min_top1: float | None = None
    rounds: list[Round] = field(default_factory=list)
    tried: set[Architecture] = field(default_factory=set)
    hopeful: list[tuple[Result, Architecture]] = field(default_factory=list)
    spare: float = 1.0

    def check(self) -> None:
        """Raises an error before long work starts if that work cannot succeed; see `Builder.check`."""
        self.builder.check(self.resolution)

    def run(self, budgets: Sequence[Budget], model: CostModel | None, folder: Path) -> Round | Unmeasured:
        """Runs the loop.

        Args:
            budgets: The budgets, which must all hold together.
            model: The cost model; may be None for exact metrics.
            folder: Folder in which candidates are built.

        Returns:
            The best round that held, else the last round; if the device is unavailable, the candidate without a
            measurement.

        Raises:
            InfeasibleError: No architecture holds the budgets.
            DeviceError: The device failed or was busy.
        """
        target, present = self.target, self.target.presence.available
        limits = [target.costs.feasible(budget, model, self.resolution) for budget in budgets]
        timed = any(limit.timed for limit in limits)
        if limits:
            _ = self._question(limits).reserves  # raises if the limits can be held one by one but not together
        notes = target.costs.note_on(limits)
        if model is not None and timed and present:
            self.spare = spare_for(model, [limit.budget for limit in limits if limit.timed])
            limits = self._aimed(limits, pace_of(target, folder))
        best: Round | None = None
        wanted = self.min_top1
        for number in range(MOST_ROUNDS):
            proposal = self._held_under_load(self._propose(limits, model, best, wanted), best)
            if proposal is None:
                break
            result, architecture = proposal
            result = replace(result, warnings=(*notes, *result.warnings))
            target.on_event(Notice(f"Round {number + 1}: {architecture}"))
            built = self.builder.build(architecture, folder / str(number))
            self.tried.add(architecture)
            if not present:
                result = with_facts(target, result, built)
                shares = [share_of(target, result, built, budget) for budget in budgets]
                short = self._short_of_top1(built)
                if max([*shares, 0.0]) <= 1 and not short:
                    return Unmeasured(self._with_doubt(result, built), built)
                limits = self._tightened(limits, shares, model)
                wanted = None if wanted is None else wanted + short
                continue
            rivals: list[tuple[Result, Architecture]] = []
            if wanted is None and longest_load(budgets) is not None:
                rivals = self._rivals(limits, model)
            turn = judge(target, result, built, budgets, partial(self._built, rivals, folder / f"{number}-rivals"))
            self.hopeful = [rival for rival in rivals if turn.rivals.get(rival[1].text, np.inf) <= 1]
            if short := self._check_top1(turn):
                assert wanted is not None
                wanted += short
            self.rounds.append(turn)
            used = f", {turn.used:.0%} of the limit used" if budgets else ""
            target.on_event(Notice(f"Round {number + 1}: {turn.result.verdict}{used}."))
            if turn.result.verdict != MISSED:
                best = turn
                enough = ENOUGH_USED if turn.hot is None else ENOUGH_USED_HOT
                if turn.used * turn.spare >= enough or not timed or wanted is not None:
                    break
            elif turn.hot is None and not all(m.enough_quiet for m in turn.deciding):
                self.tried.discard(architecture)  # it may hold once the device is quiet
            if timed:
                assert model is not None
                model = _learnt(model, turn, budgets)
                self.spare = turn.spare
            limits = self._tightened(limits, turn.shares.tolist(), model)
            if timed and best is None:
                limits = self._aimed(limits, max(m.pace for m in turn.sessions))
            elif timed:  # a miss costs nothing now: the next round assumes the fastest pace that was seen
                pace = min(m.pace for r in self.rounds for m in r.sessions)
                limits = [limit.at_pace(self.spare * pace) for limit in limits]
        if not self.rounds:
            asked = [*map(str, budgets), *([] if self.min_top1 is None else [f"a top-1 of {self.min_top1:g} %"])]
            raise InfeasibleError(
                f"No candidate's file held {' and '.join(asked)}.",
                "Allow a few percent more, or use another precision."
                if self.min_top1 is None
                else "Ask for less accuracy, or for larger budgets if any were given.",
            )
        return best or self.rounds[-1]

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
            if short := self._short_of_top1(built):
                raise InfeasibleError(
                    f"After fine-tuning, the top-1 is {short:.2f} points below {self.min_top1:g} %.",
                    "Fine-tune for another number of epochs or on other images, or not at all.",
                )
            return Unmeasured(outcome.result, built)
        assert outcome.promised is not None
        turn = judge(self.target, outcome.promised, built, budgets)
        self._check_top1(turn)
        self.rounds.append(turn)
        return turn

    def _question(self, limits: Sequence[Limit]) -> Question:
        return question(
            self.target, [limit.table for limit in limits], [[limit.most for limit in limits]], self.builder.seed
        )

    def _aimed(self, limits: Sequence[Limit], pace: float) -> list[Limit]:
        """The limits to generate for until a candidate holds: a little below those at the device's present pace."""
        device = self.target.device.id
        if pace > 1:
            self.target.on_event(
                Notice(f"{device} is disturbed: it runs {pace:.2f} times slower than when it is quiet.")
            )
        elif pace < 1:
            self.target.on_event(Notice(_FASTER.format(device, 1 / pace)))
        return [limit.at_pace(self.spare * pace).reachable() for limit in limits]

    def _tightened(self, limits: Sequence[Limit], shares: Sequence[float], model: CostModel | None) -> list[Limit]:
        """The limits by the updated cost model, reduced where files or runs took more than estimated."""
        sought = [
            replace(limit.sought, limit=limit.sought.limit * 0.999 / share) if share > 1 else limit.sought
            for limit, share in zip(limits, shares, strict=True)
        ]
        if self.rounds and (last := self.rounds[-1]).hot is not None:
            # The cost model does not know the load, so a smaller latency without it is sought.
            sought = [
                reduced
                if limit.budget.sustained_s is None
                else replace(reduced, limit=limit.budget.limit / last.slowdown(limit.budget.percentile))
                for limit, reduced in zip(limits, sought, strict=True)
            ]
        costs = self.target.costs
        return [
            costs.limit_of(limit.budget, model, self.resolution, reduced)
            for limit, reduced in zip(limits, sought, strict=True)
        ]

    def _rivals(self, limits: Sequence[Limit], model: CostModel | None) -> list[tuple[Result, Architecture]]:
        """Candidates to measure under the same load as the present one: the rank may be another one there."""
        found: list[tuple[Result, Architecture]] = []
        for factor in RIVALS:
            eased = [limit.at_pace(factor).reachable() for limit in limits]
            if proposal := self._propose(eased, model, None, None, {rival for _, rival in found}):
                found.append(proposal)
        return found

    def _built(self, rivals: Sequence[tuple[Result, Architecture]], folder: Path) -> list[Built]:
        return [self.builder.build(rival, folder / str(number)) for number, (_, rival) in enumerate(rivals)]

    def _held_under_load(
        self, proposal: tuple[Result, Architecture] | None, best: Round | None
    ) -> tuple[Result, Architecture] | None:
        """The proposal, or a candidate that held under load beside the last one and promises more."""
        known = [one for one in self.hopeful if one[1] not in self.tried and best is None]
        candidates = [*known, *([proposal] if proposal is not None else [])]
        return max(candidates, key=lambda one: one[0].predicted.top1 or 0.0, default=None)

    def _propose(
        self,
        limits: Sequence[Limit],
        model: CostModel | None,
        best: Round | None,
        wanted: float | None,
        besides: Collection[Architecture] = (),
    ) -> tuple[Result, Architecture] | None:
        """The best candidate that was not tried yet; None if no candidate is predicted to beat the best round."""
        target = self.target
        budgets = [limit.budget for limit in limits]
        try:
            if wanted is None:
                codes = self.strategy.propose(self._question(limits))[0]
                candidates = target.bundle.space.decode(codes[choose(target.bundle.predictor, codes)])
            else:
                candidates = self._fastest(limits, model, wanted)
        except InfeasibleError:
            if not self.tried:
                raise
            # The limits were feasible before measurements tightened them: the rounds so far are the answer.
            return None
        for architecture in candidates:
            if architecture not in self.tried and architecture not in besides:
                (result,) = describe(
                    target.bundle, [architecture], target.device, model, [budgets], self.min_top1, chosen=True
                )
                result = replace(result, metrics=target.costs.metrics(architecture, budgets))
                promises = result.predicted.top1 or 0.0
                worse = best is not None and promises <= (best.result.predicted.top1 or 0.0)
                return None if worse else (result, architecture)
        return None

    def _fastest(self, limits: Sequence[Limit], model: CostModel | None, wanted: float) -> list[Architecture]:
        """The fastest architecture of a predicted top-1; if it was tried already, the fastest of a little more."""
        target = self.target
        for step in range(_TOP1_STEPS):
            least = wanted + step * _TOP1_STEP
            code = cheapest([(target, model)], self.strategy, least, limits, self.resolution, self.builder.seed)
            found = target.bundle.space.decode(code[None])
            if found[0] not in self.tried:
                break
        return found

    def _check_top1(self, turn: Round) -> float:
        """Changes the verdict to missed if the measured top-1 is too low; returns the missing points, 0 if none."""
        if self.min_top1 is None or turn.result.verdict == MISSED:
            return 0.0
        turn.result = self._with_doubt(turn.result, turn.built)
        short = self._short_of_top1(turn.built)
        if short:
            turn.result = replace(turn.result, verdict=MISSED)
        return short

    def _short_of_top1(self, built: Built) -> float:
        """Points by which a file's top-1 on the test images is below `min_top1`; 0 if it is not, or not measurable."""
        true = None if self.min_top1 is None else self.builder.evaluate(built).top1
        return 0.0 if true is None or self.min_top1 is None else max(0.0, self.min_top1 - true)

    def _with_doubt(self, result: Result, built: Built) -> Result:
        """The result, unverified and with a warning if `min_top1` was given but top-1 cannot be measured."""
        if self.min_top1 is None or self.builder.evaluate(built).top1 is not None:
            return result
        has_images = self.target.bundle.has_test_images
        why = "nothing on this machine runs the file" if has_images else f"{result.bundle} has no labelled test images"
        warning = _TOP1_UNKNOWN.format(self.min_top1, why)
        return replace(result, verdict=UNVERIFIED, warnings=(*result.warnings, warning))


def _learnt(model: CostModel, turn: Round, budgets: Sequence[Budget]) -> CostModel:
    """The cost model, updated with the latencies that a round measured."""
    asked = {b.percentile: turn.at_known_pace_ms(b.percentile) for b in budgets if b.metric == LATENCY}
    code = np.array(turn.built.architecture.code, np.int8)
    return model.with_observation(code, turn.at_known_pace_ms(50), asked)
