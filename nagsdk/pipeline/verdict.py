"""The verdict on a candidate: up to two sessions, and how much of every limit they used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nagsdk.budget import ENERGY, LATENCY, MEASURED, METRICS, SIZE, Budget
from nagsdk.device.start_up import START_UP
from nagsdk.errors import DeviceError
from nagsdk.manifest.result import HELD, MISSED, Measured, Result
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.energy import energy_of
from nagsdk.pipeline.hot import longest_load, time_under_load, warnings_on
from nagsdk.pipeline.round import Built, Round, figure, upper_limit
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
    return confirmed(target, begun(target, result, built, budgets, _session(target, built)), budgets)


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
    timed = [b for b in budgets if b.metric == LATENCY]
    turn = Round(result, built, first, promised=result)
    _count(target, turn, budgets, [figure(first, b.percentile) / b.limit for b in timed])
    turn.result = replace(turn.result, measured=measured(first, timed[0].percentile if timed else 50.0))
    return turn


def confirmed(
    target: Target, turn: Round, budgets: Sequence[Budget], rivals: Callable[[], Sequence[Built]] = tuple
) -> Round:
    """Decides whether a candidate holds the budgets.

    It may have passed its first session by luck, so a second, fresh session has to confirm it. Under sustained load it
    is measured in a session of its own, and only if it holds the limit without load.

    Args:
        target: Bundle and device.
        turn: The round of the candidate, which is changed.
        budgets: The budgets, which must all hold together.
        rivals: Builds further candidates to be measured under the same load; only called if there is one.

    Raises:
        DeviceError: The device failed or was busy, or does not report a metric that must be measured.
    """
    timed = [b for b in budgets if b.metric == LATENCY]
    if turn.used <= 1 and (not timed or any(b.sustained_s is None for b in timed)):
        turn.second = _session(target, turn.built)
        _count(target, turn, budgets, [upper_limit(turn.second, b.percentile) / b.limit for b in timed])
    if turn.used <= 1 and longest_load(budgets) is not None:
        _load(target, turn, budgets, rivals())
    if turn.used <= 1 and any(b.metric == ENERGY for b in budgets):
        _meter(target, turn, budgets)
    last, verdict = turn.sessions[-1], HELD if turn.used <= 1 else MISSED
    figures = measured(turn.deciding, timed[0].percentile if timed else 50.0)
    warnings = _warnings(target, turn.result, last)
    if turn.load is not None:
        figures = replace(figures, latency_cold_ms=figure(last, 50))
        warnings += warnings_on(target.device.id, turn.load)
    turn.result = replace(turn.result, verdict=verdict, measured=figures, warnings=warnings)
    return turn


def _meter(target: Target, turn: Round, budgets: Sequence[Budget]) -> None:
    """Meters the energy of a candidate."""
    assert turn.built.compiled is not None
    turn.energy = energy_of(target, turn.built.compiled)
    turn.result = replace(turn.result, metrics={**turn.result.metrics, ENERGY: turn.energy.energy_mj})
    for number, b in enumerate(budgets):
        if b.metric == ENERGY:
            turn.shares[number] = turn.energy.energy_mj / b.limit
    turn.used = max(turn.used, float(turn.shares.max()))


def _load(target: Target, turn: Round, budgets: Sequence[Budget], rivals: Sequence[Built]) -> None:
    """Measures a candidate under sustained load, and beside it the rivals, whose rank may be another one there."""
    files = {one.architecture.text: one.compiled for one in (turn.built, *rivals) if one.compiled is not None}
    under_load = time_under_load(target, files, budgets)
    turn.load, turn.hot = under_load.load, under_load.found[turn.built.architecture.text]
    timed = [b for b in budgets if b.metric == LATENCY]
    _count(target, turn, budgets, [upper_limit(turn.counting(b), b.percentile) / b.limit for b in timed])
    turn.rivals = {
        name: max(upper_limit(found, b.percentile) / b.limit for b in timed if b.sustained_s is not None)
        for name, found in under_load.found.items()
        if name != turn.built.architecture.text
    }


def share_of(target: Target, result: Result, built: Built, budget: Budget) -> float:
    """Share of a budget that is used; 0 for a latency, and for another figure that was not measured yet."""
    if budget.metric == LATENCY:
        return 0.0
    if budget.metric in MEASURED:
        return result.metrics.get(budget.metric, 0.0) / budget.limit
    if budget.metric not in METRICS:
        return target.costs.metric(budget.metric).share(result.metrics[budget.metric], budget.limit)
    return (built.path.stat().st_size if budget.metric == SIZE else result.macs) / budget.limit


def measured(measurement: Measurement, percentile: float = 50.0) -> Measured:
    """The figures of a measurement that results show."""
    return Measured(
        figure(measurement, 50),
        figure(measurement, 90),
        upper_limit(measurement, percentile),
        latency_asked_ms=figure(measurement, percentile),
        latency_p95_ms=figure(measurement, 95),
        **{name: measurement.state.get(name) for name in START_UP},
    )


def _session(target: Target, built: Built) -> Measurement:
    """Measures an artifact in a fresh session."""
    assert built.compiled is not None
    name = built.architecture.text
    return time_artifacts(target, {name: built.compiled}, built.path.parent)[name]


def _count(target: Target, turn: Round, budgets: Sequence[Budget], latencies: Sequence[float]) -> None:
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
    turn.used = float(max([*turn.shares, *latencies, 0.0]))


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


def _warnings(target: Target, result: Result, measurement: Measurement) -> tuple[str, ...]:
    disturbed = () if measurement.enough_quiet else (_DISTURBED.format(measurement.typical_slowdown),)
    throttled = (_THROTTLED,) if measurement.state.get("throttled", 0.0) > 0 else ()
    cap = measurement.state.get("frequency_cap", 1.0)
    capped = (_CAPPED.format(100 * cap),) if cap < 1 else ()
    program = target.backend.estimated_by
    estimated = (_ESTIMATED.format(target.device.id, program),) if program else ()
    crowded = (target.crowded,) if target.crowded else ()
    return (*result.warnings, *estimated, *crowded, *disturbed, *throttled, *capped)
