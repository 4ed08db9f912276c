"""The verdict on a candidate: up to two sessions, and how much of every limit they used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nagsdk.budget import LATENCY, METRICS, SIZE, Budget
from nagsdk.errors import DeviceError
from nagsdk.manifest.result import HELD, MISSED, Measured, Result
from nagsdk.measuring.measurement import Measurement
from nagsdk.pipeline.round import Built, Round, figure, upper_limit
from nagsdk.pipeline.target import Target
from nagsdk.pipeline.timing import time_artifacts

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


def confirmed(target: Target, turn: Round, budgets: Sequence[Budget]) -> Round:
    """Decides whether a candidate holds the budgets.

    It may have passed its first session by luck, so a second, fresh session has to confirm it.

    Args:
        target: Bundle and device.
        turn: The round of the candidate, which is changed.
        budgets: The budgets, which must all hold together.

    Raises:
        DeviceError: The device failed or was busy, or does not report a metric that must be measured.
    """
    timed = [b for b in budgets if b.metric == LATENCY]
    if turn.used <= 1:
        turn.second = _session(target, turn.built)
        _count(target, turn, budgets, [upper_limit(turn.second, b.percentile) / b.limit for b in timed])
    last, verdict = turn.sessions[-1], HELD if turn.used <= 1 else MISSED
    figures = measured(last, timed[0].percentile if timed else 50.0)
    warnings = _warnings(target, turn.result, last)
    turn.result = replace(turn.result, verdict=verdict, measured=figures, warnings=warnings)
    return turn


def share_of(target: Target, result: Result, built: Built, budget: Budget) -> float:
    """Share of a budget that is used; 0 for a latency, which must be measured."""
    if budget.metric == LATENCY:
        return 0.0
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
    )


def _session(target: Target, built: Built) -> Measurement:
    """Measures an artifact in a fresh session."""
    assert built.compiled is not None
    name = built.architecture.text
    return time_artifacts(target, {name: built.compiled}, built.path.parent)[name]


def _count(target: Target, turn: Round, budgets: Sequence[Budget], latencies: Sequence[float]) -> None:
    """Records in a round which shares of the limits it used, and the plugin metrics that its last session reported."""
    metrics = {name: _reported(target, turn.sessions[-1], name, value) for name, value in turn.result.metrics.items()}
    turn.result = replace(turn.result, metrics=metrics)
    turn.shares = np.array([share_of(target, turn.result, turn.built, b) for b in budgets])
    turn.used = float(max([*turn.shares, *latencies, 0.0]))


def _reported(target: Target, measurement: Measurement, name: str, estimate: float) -> float:
    """The value of a plugin's metric that the device reported if the metric is measured, else the estimate."""
    wanted = target.costs.metric(name).metric.measured
    value = measurement.state.get(wanted, -1.0) if wanted else estimate
    if not value >= 0:
        device, known = target.device.id, ", ".join(measurement.state) or "no figures"
        raise DeviceError(
            f"The metric {name} must be measured, but {device} reports no {wanted}, or a negative value.",
            f"Limit something else on {device}, or fix the plugin: it reports {known}.",
        )
    return value


def _warnings(target: Target, result: Result, measurement: Measurement) -> tuple[str, ...]:
    disturbed = () if measurement.enough_quiet else (_DISTURBED.format(measurement.typical_slowdown),)
    throttled = (_THROTTLED,) if measurement.state.get("throttled", 0.0) > 0 else ()
    cap = measurement.state.get("frequency_cap", 1.0)
    capped = (_CAPPED.format(100 * cap),) if cap < 1 else ()
    crowded = (target.crowded,) if target.crowded else ()
    return (*result.warnings, *crowded, *disturbed, *throttled, *capped)
