"""What one arm of a target proposes to build next, and what it learns from measurements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nagsdk.budget import LATENCY, Budget
from nagsdk.cost.model import CostModel
from nagsdk.errors import InfeasibleError
from nagsdk.events import Notice
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategy import Question, Strategy
from nagsdk.manifest.result import Result
from nagsdk.pipeline.build import Builder
from nagsdk.pipeline.cheapest import cheapest
from nagsdk.pipeline.describe import describe, promise
from nagsdk.pipeline.hot import RIVALS, longest_load
from nagsdk.pipeline.limits import Limit
from nagsdk.pipeline.models import question
from nagsdk.pipeline.round import Built, Round
from nagsdk.pipeline.rule import spare_for
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import pace_of
from nagsdk.pipeline.together import require_together
from nagsdk.space.architecture import Architecture

# If the fastest architecture of an accuracy was tried already, so many points of top-1 more are asked for, so often.
_TOP1_STEP, _TOP1_STEPS = 0.25, 8
_FASTER = "{} runs {:.2f} times faster than when it was calibrated: calibrate it again to get accurate predictions."


@dataclass(eq=False)
class Candidate:
    """An architecture that an arm proposes.

    Attributes:
        arm: The arm.
        result: Its predictions.
        architecture: The architecture.
        built: Its file, once it is built.
        turn: Its round, once it is measured.
        short: Points of top-1 that it lacks.
    """

    arm: Proposer
    result: Result
    architecture: Architecture
    built: Built | None = None
    turn: Round | None = None
    short: float = 0.0


@dataclass(eq=False)
class Proposer:
    """Proposes architectures for one arm: one precision and number of threads of a device.

    Attributes:
        builder: Builder of the candidates; its target is the arm.
        strategy: How architectures are found.
        resolution: Pinned input size, if any.
        min_top1: See `nagsdk.pipeline.loop.Deployer`.
        budgets: The budgets, which must all hold together.
        first_model: The cost model; may be None for exact metrics.
        folder: Folder in which candidates are built.
        model: The cost model with what was learnt.
        wanted: The predicted top-1 that is asked for; more than `min_top1` if files had less than predicted.
        limits: What architectures are generated for.
        notes: Warnings about the budgets.
        tried: Architectures that were built and are not tried again.
        candidates: What was proposed so far.
        hopeful: Candidates that held the limits under load beside the last one.
        open: Whether more may be proposed.
        spare: How much larger than a predicted latency its limit must be, since sessions differ.
    """

    builder: Builder
    strategy: Strategy
    resolution: int | None
    min_top1: float | None
    budgets: Sequence[Budget]
    first_model: CostModel | None
    folder: Path
    model: CostModel | None = field(init=False)
    wanted: float | None = field(init=False)
    limits: list[Limit] = field(init=False)
    notes: tuple[str, ...] = field(init=False)
    tried: set[Architecture] = field(default_factory=set)
    candidates: list[Candidate] = field(default_factory=list)
    hopeful: list[tuple[Result, Architecture]] = field(default_factory=list)
    open: bool = True
    spare: float = 1.0

    def __post_init__(self) -> None:
        self.model, self.wanted = self.first_model, self.min_top1
        costs = self.target.costs
        self.limits = [costs.feasible(budget, self.model, self.resolution) for budget in self.budgets]
        if self.limits:
            require_together(self.budgets, self._asked, costs.eased)
        self.notes = costs.note_on(self.limits)

    @property
    def target(self) -> Target:
        """The bundle on the device with the precision and the threads of this arm."""
        return self.builder.target

    @property
    def timed(self) -> bool:
        """Whether a budget limits a latency."""
        return any(limit.timed for limit in self.limits)

    def look(self) -> None:
        """Takes the present pace of the device into account."""
        if self.model is not None and self.timed:
            self.spare = spare_for(self.model, [limit.budget for limit in self.limits if limit.timed])
            self._aim(pace_of(self.target, self.folder))

    def propose(self, best: Round | None) -> Candidate | None:
        """The best candidate that was not tried yet; None if no candidate is predicted to beat the best round.

        One that held under load beside the last candidate, and promises more, comes first.
        """
        found = self._next(self.limits, best, self.wanted)
        known = [one for one in self.hopeful if one[1] not in self.tried and best is None]
        proposals = [*known, *([found] if found is not None else [])]
        if not proposals:
            return None
        result, architecture = max(proposals, key=lambda one: promise(one[0]))
        result = replace(result, warnings=(*self.notes, *result.warnings))
        self.candidates.append(Candidate(self, result, architecture))
        return self.candidates[-1]

    def rivals(self) -> list[tuple[Result, Architecture]]:
        """Candidates to measure under the same load as the present one: the rank may be another one there."""
        found: list[tuple[Result, Architecture]] = []
        if self.wanted is None and longest_load(self.budgets) is not None:
            for factor in RIVALS:
                eased = [limit.at_pace(factor).reachable() for limit in self.limits]
                if one := self._next(eased, None, None, {rival for _, rival in found}):
                    found.append(one)
        return found

    def build_rivals(self, rivals: Sequence[tuple[Result, Architecture]], number: int) -> list[Built]:
        """Builds candidates for comparison under load; they may still be proposed."""
        folder = self.folder / f"{number}-rivals"
        return [self.builder.build(rival, folder / str(index)) for index, (_, rival) in enumerate(rivals)]

    def _next(
        self,
        limits: Sequence[Limit],
        best: Round | None,
        wanted: float | None,
        besides: Collection[Architecture] = (),
    ) -> tuple[Result, Architecture] | None:
        target = self.target
        try:
            if wanted is None:
                codes = self.strategy.propose(self._question(limits))[0]
                found = target.bundle.space.decode(codes[choose(target.bundle.predictor, codes)])
            else:
                found = self._fastest(wanted)
        except InfeasibleError:
            if not self.tried:
                raise
            # The limits were feasible before measurements tightened them: the rounds so far are the answer.
            return None
        for architecture in found:
            if architecture not in self.tried and architecture not in besides:
                (result,) = describe(
                    target.bundle, [architecture], target, self.model, [self.budgets], self.min_top1, chosen=True
                )
                result = replace(result, metrics=target.costs.metrics(architecture, self.budgets))
                worse = best is not None and promise(result) <= promise(best.result)
                return None if worse else (result, architecture)
        return None

    def build(self, candidate: Candidate, number: int) -> Built:
        """Builds a candidate, which is not proposed again."""
        candidate.built = self.builder.build(candidate.architecture, self.folder / str(number))
        self.tried.add(candidate.architecture)
        return candidate.built

    def learn(self, turn: Round, searching: bool) -> None:
        """Corrects cost model and limits by a measured round.

        Args:
            turn: The round.
            searching: Whether nothing has held yet.
        """
        if self.timed:
            assert self.model is not None
            self.model, self.spare = _learnt(self.model, turn, self.budgets), turn.spare
        self.tighten(turn.shares.tolist())
        if self.timed and searching:
            self._aim(max(m.pace for m in turn.sessions))
        elif self.timed:  # a miss costs nothing now: the next round assumes the fastest pace that was seen
            turns = [one.turn for one in self.candidates if one.turn is not None]
            pace = min(m.pace for one in turns for m in one.sessions)
            self.limits = [limit.at_pace(self.spare * pace) for limit in self.limits]

    def tighten(self, shares: Sequence[float]) -> None:
        """Sets the limits by the updated cost model, reduced where files or runs took more than estimated."""
        costs, turns = self.target.costs, [one.turn for one in self.candidates if one.turn is not None]
        sought = [
            replace(limit.sought, limit=limit.sought.limit * 0.999 / share) if share > 1 else limit.sought
            for limit, share in zip(self.limits, shares, strict=True)
        ]
        if turns and turns[-1].hot is not None:
            # The cost model does not know the load, so a smaller latency without it is sought.
            sought = [
                reduced
                if limit.budget.sustained_s is None
                else replace(reduced, limit=limit.budget.limit / turns[-1].slowdown(limit.budget.percentile))
                for limit, reduced in zip(self.limits, sought, strict=True)
            ]
        self.limits = [
            costs.limit_of(limit.budget, self.model, self.resolution, reduced)
            for limit, reduced in zip(self.limits, sought, strict=True)
        ]

    def _asked(self, budgets: Sequence[Budget]) -> Question:
        return self._question([self.target.costs.feasible(b, self.model, self.resolution) for b in budgets])

    def _question(self, limits: Sequence[Limit]) -> Question:
        return question(
            self.target, [limit.table for limit in limits], [[limit.most for limit in limits]], self.builder.seed
        )

    def _aim(self, pace: float) -> None:
        """Sets limits to generate for until a candidate holds: a little below those at the device's present pace."""
        device = self.target.device.id
        if pace > 1:
            self.target.on_event(
                Notice(f"{device} is disturbed: it runs {pace:.2f} times slower than when it is quiet.")
            )
        elif pace < 1:
            self.target.on_event(Notice(_FASTER.format(device, 1 / pace)))
        self.limits = [limit.at_pace(self.spare * pace).reachable() for limit in self.limits]

    def _fastest(self, wanted: float) -> list[Architecture]:
        """The fastest architecture of a predicted top-1; if it was tried already, the fastest of a little more."""
        target = self.target
        for step in range(_TOP1_STEPS):
            least = wanted + step * _TOP1_STEP
            known = [(target, self.model)]
            code = cheapest(known, self.strategy, least, self.limits, self.resolution, self.builder.seed)
            found = target.bundle.space.decode(code[None])
            if found[0] not in self.tried:
                break
        return found


def _learnt(model: CostModel, turn: Round, budgets: Sequence[Budget]) -> CostModel:
    """The cost model, updated with the latencies that a round measured."""
    asked = {b.percentile: turn.at_known_pace_ms(b.percentile) for b in budgets if b.metric == LATENCY}
    code = np.array(turn.built.architecture.code, np.int8)
    return model.with_observation(code, turn.at_known_pace_ms(50), asked)
