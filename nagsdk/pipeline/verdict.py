"""The verdict on a candidate: a first session, then fresh ones until it is clear whether a later check would pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nagsdk.budget import ENERGY, LATENCY, MEASURED, METRICS, SIZE, Budget
from nagsdk.device.start_up import START_UP
from nagsdk.errors import DeviceError
from nagsdk.manifest.result import HELD, MISSED, Measured, Result
from nagsdk.measuring.across_sessions import AcrossSessions
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.energy import energy_of
from nagsdk.pipeline.hot import longest_load, time_under_load, warnings_on
from nagsdk.pipeline.round import Built, Round, upper_limit
from nagsdk.pipeline.rule import AIMED, Rule
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts
from nagsdk.pipeline.told import told

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


def judge(target: Target, result: Result, built: Built, budgets: Sequence[Budget]) -> Round:
    """Times a candidate and decides whether it holds the budgets; see `begun` and `confirmed`."""
    first = _session(target, built, rule_of(target, budgets))
    return confirmed(target, begun(target, result, built, budgets, first), budgets)


def rule_of(target: Target, budgets: Sequence[Budget]) -> Rule:
    """How sessions without load are compared with the limits of latency among some budgets."""
    return Rule.of(target, [b for b in budgets if b.metric == LATENCY and b.sustained_s is None])


def begun(target: Target, result: Result, built: Built, budgets: Sequence[Budget], first: Measurement) -> Round:
    """The round of a candidate after its first session; its verdict is still open.

    Args:
        target: Bundle and device.
        result: The candidate's predictions.
        built: The candidate's file.
        budgets: The budgets, which must all hold together.
        first: The first session.

    Raises:
        DeviceError: The device does not report a metric that must be measured.
    """
    rule = rule_of(target, budgets)
    turn = Round(result, built, first, promised=result)
    _count(target, turn, budgets, rule)
    turn.result = replace(turn.result, measured=measured(turn.deciding, _percentile(budgets), rule.known_spread))
    return turn


def confirmed(
    target: Target, turn: Round, budgets: Sequence[Budget], rivals: Callable[[], Sequence[Built]] = tuple
) -> Round:
    """Decides whether a candidate holds the budgets.

    It may have passed its first session by luck, so fresh sessions have to confirm it. They are taken until a later
    check with as many sessions is estimated to pass with a probability of 0.95, or until that cannot be reached any
    more.

    Under sustained load it is measured in a session of its own, and only if it holds the limits without load.

    Args:
        target: Bundle and device.
        turn: The round of the candidate, which is changed.
        budgets: The budgets, which must all hold together.
        rivals: Builds further candidates to be measured under the same load; only called if there is one.

    Raises:
        DeviceError: The device failed or was busy, or does not report a metric that must be measured.
    """
    rule, held = rule_of(target, budgets), turn.used <= 1
    if held and (rule.timed or not any(b.metric == LATENCY for b in budgets)):
        held = _confirmed(target, turn, budgets, rule)
    if held and longest_load(budgets) is not None:
        held = _held_under_load(target, turn, budgets, rule, rivals())
    if held and any(b.metric == ENERGY for b in budgets):
        held = _held_energy(target, turn, budgets)
    figures = measured(turn.deciding, _percentile(budgets), rule.known_spread)
    if rule.timed and turn.confirming:
        figures = replace(figures, verify_probability=rule.probability(turn.confirming))
    verdict = HELD if held else MISSED
    warnings = (*_warnings(target, turn.result, turn.cold), *rule.doubts(turn, verdict))
    if turn.load is not None:
        assert turn.hot is not None
        figures = replace(
            figures,
            latency_limit_ms=upper_limit(turn.hot, _percentile(budgets)),
            latency_asked_low_ms=None,
            latency_cold_ms=turn.sessions[-1].figure(50),
            sessions=len(turn.cold),
        )
        warnings += warnings_on(target.device.id, turn.load)
    turn.result = replace(turn.result, verdict=verdict, measured=figures, warnings=warnings)
    return turn


def _percentile(budgets: Sequence[Budget]) -> float:
    """The percentile that the first budget on a latency asks for."""
    return next((b.percentile for b in budgets if b.metric == LATENCY), 50.0)


def _confirmed(target: Target, turn: Round, budgets: Sequence[Budget], rule: Rule) -> bool:
    """Takes fresh sessions until it is clear whether a later check would pass."""
    while True:
        turn.confirming.append(_session(target, turn.built, rule))
        _count(target, turn, budgets, rule)
        if len(turn.confirming) >= rule.least and (turn.needed <= 1 or not rule.may_hold(turn)):
            return turn.needed <= 1


def _held_energy(target: Target, turn: Round, budgets: Sequence[Budget]) -> bool:
    """Meters the energy of a candidate."""
    assert turn.built.compiled is not None
    turn.energy = energy_of(target, turn.built.compiled)
    turn.result = replace(turn.result, metrics={**turn.result.metrics, ENERGY: turn.energy.energy_mj})
    for number, b in enumerate(budgets):
        if b.metric == ENERGY:
            turn.shares[number] = turn.needs[number] = turn.energy.energy_mj / b.limit
    most = float(turn.shares.max())
    turn.used = max(turn.used, most)
    return most <= 1


def _held_under_load(
    target: Target, turn: Round, budgets: Sequence[Budget], rule: Rule, rivals: Sequence[Built]
) -> bool:
    """Measures a candidate under sustained load, and beside it the rivals, whose rank may be another one there."""
    files = {one.architecture.text: one.compiled for one in (turn.built, *rivals) if one.compiled is not None}
    under_load = time_under_load(target, files, budgets)
    turn.load, turn.hot = under_load.load, under_load.found[turn.built.architecture.text]
    _count(target, turn, budgets, rule)
    turn.rivals = {
        name: max(upper_limit(found, b.percentile) / b.limit for b in budgets if b.sustained_s is not None)
        for name, found in under_load.found.items()
        if name != turn.built.architecture.text
    }
    return turn.needed <= 1


def needed_by(target: Target, turn: Round, budgets: Sequence[Budget]) -> str:
    """The budgets that the candidate of a round would have held; those that it held are as they were."""
    needs = zip(budgets, turn.needs.tolist(), strict=True)
    return " and ".join(str(target.costs.eased(b, need * 1.01) if need > 1 else b) for b, need in needs)


def share_of(target: Target, result: Result, built: Built, budget: Budget) -> float:
    """Share of a budget that is used; 0 for a latency, and for another figure that was not measured yet."""
    if budget.metric == LATENCY:
        return 0.0
    if budget.metric in MEASURED:
        return result.metrics.get(budget.metric, 0.0) / budget.limit
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
    start_up: dict[str, Any] = {name: sessions[-1].state.get(name) for name in START_UP}
    return Measured(
        median.figure_ms,
        p90.figure_ms,
        high,
        latency_asked_ms=asked.figure_ms,
        latency_asked_low_ms=low,
        sessions=len(sessions),
        session_spread=asked.spread,
        known_spread=known_spread,
        latency_p95_ms=AcrossSessions.of(sessions, 95.0, known_spread).figure_ms,
        **start_up,
    )


def disturbance(sessions: Sequence[Measurement]) -> tuple[str, ...]:
    """The warning about sessions in which the device was never quiet; empty if there are none."""
    slowed = [m.typical_slowdown for m in sessions if not m.enough_quiet]
    return (_DISTURBED.format(max(slowed)),) if slowed else ()


def _session(target: Target, built: Built, rule: Rule) -> Measurement:
    """Measures an artifact in a fresh session."""
    assert built.compiled is not None
    name = built.architecture.text
    return time_artifacts(target, {name: built.compiled}, built.path.parent, rule.protocol)[name]


def _count(target: Target, turn: Round, budgets: Sequence[Budget], rule: Rule) -> None:
    """Records in a round which shares of the limits it used, and the metrics that its last session reported."""
    last = turn.sessions[-1]
    known = {**last.state, **turn.built.facts}
    metrics = {
        name: _reported(target, known, name, value)
        for name, value in turn.result.metrics.items()
        if name not in MEASURED
    } | told(target, last, budgets)
    turn.result = replace(turn.result, metrics=metrics)
    turn.shares = np.array([share_of(target, turn.result, turn.built, b) for b in budgets])
    found = rule.across(turn.cold)
    latencies = [a.figure_ms / b.limit for a, b in zip(found, rule.timed, strict=True)]
    under_load = {
        b: (turn.first.figure(b.percentile) if turn.hot is None else upper_limit(turn.hot, b.percentile)) / b.limit
        for b in budgets
        if b.sustained_s is not None
    }
    turn.spare = max([a.spare(AIMED) for a in found], default=1.0)
    turn.used = float(max([*turn.shares, *latencies, *under_load.values(), 0.0]))
    needed = rule.needed(turn.confirming) if turn.confirming else [turn.spare * share for share in latencies]
    timed = dict(zip(rule.timed, needed, strict=True)) | under_load
    turn.needs = np.array([timed.get(b, share) for b, share in zip(budgets, turn.shares, strict=True)])


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
    disturbed = disturbance(sessions)
    throttled = (_THROTTLED,) if any(m.state.get("throttled", 0.0) > 0 for m in sessions) else ()
    cap = min(m.state.get("frequency_cap", 1.0) for m in sessions)
    capped = (_CAPPED.format(100 * cap),) if cap < 1 else ()
    program = target.backend.estimated_by
    estimated = (_ESTIMATED.format(target.device.id, program),) if program else ()
    crowded = (target.crowded,) if target.crowded else ()
    return (*result.warnings, *estimated, *crowded, *disturbed, *throttled, *capped)
