"""Compares arms, the precisions and numbers of threads of a device, and says why one was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from nagsdk.manifest.result import CHOSEN, MEASURED, MISSED, PREDICTED, Arm, Measured, Predicted
from nagsdk.pipeline.describe import predicted_arm, promise, why_not_chosen
from nagsdk.pipeline.proposals import Candidate, Proposer
from nagsdk.pipeline.round import Round
from nagsdk.pipeline.target import Target

# So many arms at most are measured in turns.
MOST_MEASURED = 3
# Intervals of predicted top-1 are of 90 %, those of measured top-1 of 95 %: multiples of the standard deviation.
_REACH_90, _REACH_95 = 1.645, 1.960
_LEAST_ERROR = 1e-3


def promising(found: Sequence[Candidate], number: int) -> list[Candidate]:
    """The candidates that are worth measuring, the most promising first.

    Args:
        found: What the arms propose.
        number: Number of the round; in the first one, arms that cannot become the best one are given up.
    """
    ordered = sorted(found, key=lambda one: promise(one.result), reverse=True)
    kept = [one for one in ordered[:MOST_MEASURED] if number or _may_win(one, ordered[0])]
    if number == 0:
        for one in ordered:
            one.arm.open = one in kept
    return kept


def _may_win(candidate: Candidate, best: Candidate) -> bool:
    """Whether intervals of predictions leave open which of two candidates is the better one."""
    own, other = candidate.result.predicted, best.result.predicted
    if candidate.result.min_top1 is None:
        return None in (own.top1_high, other.top1_low) or (own.top1_high or 0) >= (other.top1_low or 0)
    if None in (own.latency_ms, own.latency_upper_ms, other.latency_upper_ms):
        return True
    least = (own.latency_ms or 0) ** 2 / (own.latency_upper_ms or 1)  # bounds are factors, above and below
    return least <= (other.latency_upper_ms or 0)


def worth(candidate: Candidate) -> float:
    """What measured candidates are ranked by: expected top-1, or speed if a top-1 was asked for."""
    assert candidate.turn is not None and candidate.built is not None
    if candidate.result.min_top1 is not None:
        return -_compared_ms(candidate.turn)
    return _expected(candidate) or 0.0


def _compared_ms(turn: Round) -> float:
    """The budget's percentile in the session in which the arms took turns."""
    return turn.first.latency(turn.result.percentile, disturbed=not turn.first.enough_quiet)


def expected_top1(predicted: Predicted, measured: Measured, errors: Sequence[float] = ()) -> float | None:
    """The mean of predicted and measured top-1, each weighted by its uncertainty; None if both are unknown.

    On a few thousand test images, a difference between two networks is less certain than the predicted difference.

    Args:
        predicted: The prediction.
        measured: The measurement.
        errors: Standard deviations of the independent errors by which predicted differences between networks are
            uncertain; if there are none, the interval of the prediction counts, which is wider.
    """
    known: list[tuple[float, float]] = []
    for value, low, high, reach in (
        (predicted.top1, predicted.top1_low, predicted.top1_high, _REACH_90),
        (measured.top1, measured.top1_low, measured.top1_high, _REACH_95),
    ):
        if value is not None and low is not None and high is not None:
            known.append((value, (high - low) / (2 * reach)))
    if errors and predicted.top1 is not None and known:
        known[0] = (predicted.top1, math.hypot(*errors))
    weights = sum(max(error, _LEAST_ERROR) ** -2 for _, error in known)
    mean = sum(value * max(error, _LEAST_ERROR) ** -2 for value, error in known) / weights if known else None
    return predicted.top1 or measured.top1 if mean is None else mean


def _expected(candidate: Candidate) -> float | None:
    assert candidate.built is not None
    target = candidate.arm.target
    folds, loss = target.bundle.predictor.card.get("folds") or {}, target.known_loss
    errors = [float(folds["rmse"])] if "rmse" in folds else []
    if errors and loss is not None:
        errors.append((loss.high - loss.low) / (2 * _REACH_90))
    return expected_top1(candidate.result.predicted, candidate.arm.builder.evaluate(candidate.built), errors)


def bills(target: Target, arms: Sequence[Proposer], chosen: Candidate, left_out: Sequence[Arm]) -> tuple[Arm, ...]:
    """What every arm costs and gives, the chosen one first; empty if the target leaves no choice.

    Args:
        target: The target with all arms.
        arms: What the arms proposed.
        chosen: The answer.
        left_out: Arms that turned out to be impossible.
    """
    if len(target.arms) == 1 and not target.left_out:
        return ()
    shown = {id(arm): _shown(arm, chosen) for arm in arms if arm.candidates}
    others = [one for one in shown.values() if one is not chosen]
    rivals = [one for one in others if one.turn is not None and one.turn.result.verdict != MISSED]
    rival = max(rivals, key=worth, default=None)
    lost = (_bill(one, PREDICTED if one.turn is None else MEASURED, _why_not(one, chosen)) for one in others)
    return (_bill(chosen, CHOSEN, _why_chosen(chosen, rival, others)), *lost, *left_out, *target.left_out)


def _shown(arm: Proposer, chosen: Candidate) -> Candidate:
    """The candidate that stands for an arm: the answer, else the best that passed, else the last that was measured."""
    if chosen.arm is arm:
        return chosen
    measured = [one for one in arm.candidates if one.turn is not None]
    passed = [one for one in measured if one.turn is not None and one.turn.result.verdict != MISSED]
    return max(passed, key=worth) if passed else [*arm.candidates[:1], *measured][-1]


def _bill(candidate: Candidate, state: str, why: str) -> Arm:
    arm = predicted_arm(candidate.result, state, why)
    if candidate.turn is None or candidate.built is None:
        return arm
    measured = candidate.arm.builder.evaluate(candidate.built)
    return replace(
        arm,
        measured_ms=_compared_ms(candidate.turn),
        measured_top1=measured.top1,
        expected_top1=_expected(candidate),
    )


def _why_chosen(chosen: Candidate, rival: Candidate | None, others: Sequence[Candidate]) -> str:
    if chosen.turn is None:
        return "the best by prediction; nothing was measured"
    if chosen.turn.result.verdict == MISSED:
        return f"none held; it came nearest, with {chosen.turn.used:.0%} of the limit"
    if rival is not None:
        return f"{_ahead(chosen, rival)} than {rival.arm.target.arm}"
    if any(one.turn is not None for one in others):
        return "the only one that held"
    return "the best by prediction; the others cannot reach it" if others else "the only one that can be used"


def _why_not(candidate: Candidate, chosen: Candidate) -> str:
    turn = candidate.turn
    if turn is None:
        return why_not_chosen(candidate.result, chosen.result)
    if turn.result.verdict == MISSED:
        return f"missed, {turn.used:.0%} of the limit" if turn.used > 1 else "missed, its top-1 is too low"
    return f"{chosen.arm.target.arm} is better: {_ahead(chosen, candidate)}"


def _ahead(chosen: Candidate, other: Candidate) -> str:
    if chosen.result.min_top1 is not None:
        return f"{worth(other) / worth(chosen):.2f} times as fast"
    return f"{worth(chosen) - worth(other):.2f} points more"
