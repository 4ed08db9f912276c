"""The verdict on a candidate: a first session, then fresh ones until it is clear whether a later check would pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nagsdk.budget import LATENCY, METRICS, SIZE, Budget
from nagsdk.cost.model import CostModel
from nagsdk.errors import DeviceError
from nagsdk.manifest.result import HELD, MISSED, Measured, Result
from nagsdk.measuring.across_sessions import ASSURED, USUAL_SPREAD, AcrossSessions, expected_spread
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import Protocol
from nagsdk.pipeline.models import calibrated_model
from nagsdk.pipeline.round import Built, Round
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts

# A verdict on the median can rest on one session beside the first one; of high percentiles, the spread between
# sessions is larger and hardly known from one session.
_LEAST, _LEAST_OF_HIGH, _MOST = 1, 3, 8
# Candidates are sought that so many sessions can confirm.
_AIMED = 4
# A calibration on a busy device may have found more than this, but must not outweigh the sessions of every verdict.
_MOST_KNOWN = 0.05
_ESTIMATED = "Nothing ran on {}: what counts as measured there is the estimate of {}."
_THROTTLED = (
    "The device slowed itself down because of heat or power while it was measured; cool it, or let it rest, and deploy "
    "again."
)
_CAPPED = (
    "The device kept itself at {:.0f} % of its highest frequency at most, which is not because of heat: the measured "
    "latency is that of the capped device. If it has a power saving mode, switch it off and deploy again."
)
_DISTURBED = (
    "The device was never quiet: it ran {:.2f} times slower than when nothing disturbs it. The measured latency may be "
    "too high, but never too low."
)
_UNSURE = (
    "The p{:g} of {:.4g} ms lies within {}, but sessions differ by {:.1f} %: a check by {} later ones "
    "would pass with a probability of {:.0f} %, and a verdict of held needs 95 %."
)


def judge(target: Target, result: Result, built: Built, budgets: Sequence[Budget]) -> Round:
    """Times a candidate and decides whether it holds the budgets.

    A candidate may pass its first session by luck, so fresh sessions have to confirm it. They are taken until a later
    check with as many sessions is estimated to pass with a probability of 0.95, or until that cannot be reached any
    more.

    Args:
        target: Bundle and device.
        result: The candidate's predictions.
        built: The candidate's file.
        budgets: The budgets, which must all hold together.

    Raises:
        DeviceError: The device failed or was busy, or does not report a metric that must be measured.
    """
    timed = [b for b in budgets if b.metric == LATENCY]
    rule = Rule.of(target, timed)
    turn = Round(result, built, _session(target, built, rule), promised=result)
    _count(target, turn, budgets, rule)
    while turn.used <= 1 or 0 < len(turn.confirming) < rule.least:
        turn.confirming.append(_session(target, built, rule))
        _count(target, turn, budgets, rule)
        if len(turn.confirming) >= rule.least and (turn.needed <= 1 or not rule.may_hold(turn)):
            break
    percentile = timed[0].percentile if timed else 50.0
    figures = measured(turn.counting, percentile, rule.known_spread)
    if timed and turn.confirming:
        figures = replace(figures, verify_probability=rule.probability(turn.confirming))
    verdict = HELD if turn.confirming and turn.needed <= 1 else MISSED
    warnings = (*_warnings(target, result, turn.counting), *rule.doubts(turn, verdict))
    turn.result = replace(turn.result, verdict=verdict, measured=figures, warnings=warnings)
    return turn


@dataclass(frozen=True)
class Rule:
    """How sessions are compared with limits of latency: the same for `deploy` and `verify`.

    Attributes:
        timed: The budgets of latency.
        known_spread: Relative standard deviation of the median between sessions that is known beforehand.
        protocol: How each session is timed.
    """

    timed: Sequence[Budget]
    known_spread: float
    protocol: Protocol

    @classmethod
    def of(cls, target: Target, timed: Sequence[Budget], known_spread: float | None = None) -> Rule:
        """The rule of a target.

        Args:
            target: Bundle and device.
            timed: The budgets of latency.
            known_spread: See `Rule`; by default that of the device's calibration.
        """
        known = known_spread_of(target) if known_spread is None else known_spread
        highest = max((b.percentile for b in timed), default=50.0)
        return cls(timed, known, target.protocol.for_percentile(highest))

    @property
    def least(self) -> int:
        """The least number of sessions that a verdict rests on."""
        return _LEAST_OF_HIGH if any(b.percentile > 50 for b in self.timed) else _LEAST

    def across(self, sessions: Sequence[Measurement]) -> list[AcrossSessions]:
        """The percentile of every budget over sessions."""
        return [AcrossSessions.of(sessions, b.percentile, self.known_spread) for b in self.timed]

    def needed(self, sessions: Sequence[Measurement]) -> list[float]:
        """The share of every limit that would be assured by these sessions."""
        each = 1 - (1 - ASSURED) / max(len(self.timed), 1)  # so that all together hold with the wanted probability
        return [a.assured_ms(each) / b.limit for a, b in zip(self.across(sessions), self.timed, strict=True)]

    def missed(self, sessions: Sequence[Measurement]) -> list[tuple[float, Budget]]:
        """The budgets that the upper limit of the sessions exceeds, with that limit in milliseconds."""
        limits = [a.interval_ms[1] for a in self.across(sessions)]
        return [(limit, b) for limit, b in zip(limits, self.timed, strict=True) if limit > b.limit]

    def probability(self, sessions: Sequence[Measurement]) -> float:
        """The probability that as many further sessions hold all limits; at least this if there are several limits."""
        misses = [1 - a.chance(b.limit) for a, b in zip(self.across(sessions), self.timed, strict=True)]
        return max(0.0, 1 - sum(misses))

    def may_hold(self, turn: Round) -> bool:
        """Whether more sessions like those so far would assure the limits."""
        found = zip(self.across(turn.confirming), self.timed, strict=True)
        return (
            len(turn.confirming) < _MOST
            and bool((turn.shares <= 1).all())
            and all(a.figure_ms * a.spare(_MOST) <= b.limit for a, b in found)
        )

    def doubts(self, turn: Round, verdict: str) -> list[str]:
        """Says why what lies within its limits was missed all the same."""
        if verdict != MISSED or turn.used > 1 or not turn.confirming:
            return []
        probability = self.probability(turn.confirming)
        return [
            _UNSURE.format(b.percentile, a.figure_ms, b, 100 * a.spread, len(a.values_ms), 100 * probability)
            for a, b in zip(self.across(turn.confirming), self.timed, strict=True)
            if a.assured_ms() > b.limit
        ]


def known_spread_of(target: Target) -> float:
    """The relative standard deviation of medians between sessions that the device's calibration found."""
    model = calibrated_model(target)
    return USUAL_SPREAD if model is None else min(model.jitter.sessions, _MOST_KNOWN)


def spare_for(model: CostModel, budgets: Sequence[Budget]) -> float:
    """How much larger than a predicted latency its limit must be, so that the candidate can be confirmed."""
    known = min(model.jitter.sessions, _MOST_KNOWN)
    spreads = [expected_spread(known, model.jitter.factor(b.percentile)) for b in budgets]
    return max([AcrossSessions((1.0,), spread).spare(_AIMED) for spread in spreads], default=1.0)


def share_of(target: Target, result: Result, built: Built, budget: Budget) -> float:
    """Share of a budget that is used; 0 for a latency, which must be measured."""
    if budget.metric == LATENCY:
        return 0.0
    if budget.metric not in METRICS:
        return target.costs.metric(budget.metric).share(result.metrics[budget.metric], budget.limit)
    return (built.path.stat().st_size if budget.metric == SIZE else result.macs) / budget.limit


def measured(sessions: Sequence[Measurement], percentile: float, known_spread: float) -> Measured:
    """The figures of sessions that results show.

    Args:
        sessions: The sessions, one or more.
        percentile: The percentile that is asked for.
        known_spread: See `Rule`.
    """
    median, p90, asked = (AcrossSessions.of(sessions, p, known_spread) for p in (50.0, 90.0, percentile))
    low, high = asked.interval_ms
    return Measured(
        median.figure_ms,
        p90.figure_ms,
        high,
        latency_asked_ms=asked.figure_ms,
        latency_asked_low_ms=low,
        sessions=len(sessions),
        session_spread=asked.spread,
        known_spread=known_spread,
    )


def _session(target: Target, built: Built, rule: Rule) -> Measurement:
    """Measures an artifact in a fresh session."""
    assert built.compiled is not None
    name = built.architecture.text
    return time_artifacts(target, {name: built.compiled}, built.path.parent, rule.protocol)[name]


def _count(target: Target, turn: Round, budgets: Sequence[Budget], rule: Rule) -> None:
    """Records in a round which shares of the limits it used, and the plugin metrics that its last session reported."""
    known = {**turn.sessions[-1].state, **turn.built.facts}
    metrics = {name: _reported(target, known, name, value) for name, value in turn.result.metrics.items()}
    turn.result = replace(turn.result, metrics=metrics)
    turn.shares = np.array([share_of(target, turn.result, turn.built, b) for b in budgets])
    found = rule.across(turn.counting)
    latencies = [a.figure_ms / b.limit for a, b in zip(found, rule.timed, strict=True)]
    turn.spare = max([a.spare(_AIMED) for a in found], default=1.0)
    turn.used = float(max([*turn.shares, *latencies, 0.0]))
    needed = rule.needed(turn.confirming) if turn.confirming else [turn.spare * share for share in latencies]
    turn.needed = float(max([*turn.shares, *needed, 0.0]))


def with_facts(target: Target, result: Result, built: Built) -> Result:
    """The result of a candidate that is not measured, with the metrics that follow from its file."""
    metrics = {
        name: built.facts.get(target.costs.metric(name).metric.measured, value)
        for name, value in result.metrics.items()
    }
    return replace(result, metrics=metrics)


def _reported(target: Target, known: Mapping[str, float], name: str, estimate: float) -> float:
    """The value of a plugin's metric that device or file told if the metric is measured, else the estimate."""
    wanted = target.costs.metric(name).metric.measured
    value = known.get(wanted, -1.0) if wanted else estimate
    if not value >= 0:
        device, told = target.device.id, ", ".join(known) or "no figures"
        raise DeviceError(
            f"The metric {name} must be measured, but {device} reports no {wanted}, or a negative value.",
            f"Limit something else on {device}, or fix the plugin: it reports {told}.",
        )
    return value


def _warnings(target: Target, result: Result, sessions: Sequence[Measurement]) -> tuple[str, ...]:
    slowed = [m.typical_slowdown for m in sessions if not m.enough_quiet]
    disturbed = (_DISTURBED.format(max(slowed)),) if slowed else ()
    throttled = (_THROTTLED,) if any(m.state.get("throttled", 0.0) > 0 for m in sessions) else ()
    cap = min(m.state.get("frequency_cap", 1.0) for m in sessions)
    capped = (_CAPPED.format(100 * cap),) if cap < 1 else ()
    program = target.backend.estimated_by
    estimated = (_ESTIMATED.format(target.device.id, program),) if program else ()
    crowded = (target.crowded,) if target.crowded else ()
    return (*result.warnings, *estimated, *crowded, *disturbed, *throttled, *capped)
