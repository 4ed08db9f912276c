"""The architectures from which the models of a fleet are chosen: answers for every device and many budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nagsdk.budget import Budget
from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import Floats
from nagsdk.generator.ranking import choose, distinct
from nagsdk.generator.strategies import Lookup, Nag
from nagsdk.pipeline.models import question
from nagsdk.pipeline.population import Member
from nagsdk.space.space import Codes

# Confidences at which every device's own limit is asked for, and further limits over the whole range.
_CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_LIMITS = 40
# Devices whose proportions between architectures differ by less share their answers, and at most so many do not.
_ALIKE, _MOST_SHAPES, _SAMPLES = 0.01, 12, 200
# Limits and costs that differ by less than this share count as equal.
_STEP = 0.01
# The solver takes seconds for so many.
_MOST = 100


def candidates(members: Sequence[Member], budget: Budget, seed: int) -> tuple[Codes, Floats]:
    """Asks the generator and the exact frontier for architectures that suit the devices.

    Args:
        members: The devices.
        budget: The latency budget.
        seed: Seed of all random choices.

    Returns:
        Architectures of which none is at least as accurate and as fast as another one on all devices, and their
        predicted top-1 in per cent.
    """
    bundle = members[0].target.bundle
    sample = bundle.space.sample(_SAMPLES, np.random.default_rng(seed))
    logs = np.log(np.array([member.model.mean(sample) for member in members]))
    scales = logs.mean(1)
    found = []
    for number in _shapes(logs - scales[:, None]):
        limits = np.array(
            [
                np.log(_limit(member, budget, confidence)) + scales[number] - scale
                for member, scale in zip(members, scales, strict=True)
                for confidence in _CONFIDENCES
            ]
        )
        found.append(_answers(members[number], limits, seed))
    rows, first, _ = distinct(np.concatenate(found))
    codes = rows[first]
    top1 = np.asarray(bundle.predictor.of_chosen(codes).mean, np.float64) - members[0].target.loss
    kept = _undominated(np.clip(top1, 0, 100), np.array([member.table.cost(codes) for member in members]))
    return codes[kept], np.clip(top1[kept], 0, 100)


def _limit(member: Member, budget: Budget, confidence: float) -> float:
    own = budget.for_batch(member.device.batch)
    return member.model.limit_for_mean(own.limit, min(confidence, member.model.most_confidence), own.percentile)


def _shapes(logs: Floats) -> list[int]:
    """Devices that differ from each other, so that every other device is like one of them."""
    picked = [int(np.square(logs - np.median(logs, axis=0)).mean(1).argmin())]
    while len(picked) < _MOST_SHAPES:
        far = np.sqrt(np.square(logs[:, None] - logs[picked]).mean(2)).min(1)
        if far.max() < _ALIKE:
            break
        picked.append(int(far.argmax()))
    return picked


def _answers(member: Member, logs: Floats, seed: int) -> Codes:
    """The best answers of both strategies to limits on the latency of a device, and the fastest architecture."""
    target, bounds = member.target, Completions.of(member.target.bundle.space, member.table)
    low, high = np.log(bounds.least), np.log(bounds.most)
    inside = np.clip(np.append(logs, np.linspace(max(logs.min(), low), high, _LIMITS)), low, high)
    limits = np.unique(np.exp(np.ceil(inside / _STEP) * _STEP))
    asked = question(target, [member.table], limits, seed)
    parts = [bounds.cheapest[[int(bounds.floor.argmin())]]]
    for strategy in (Nag(), Lookup()):
        codes = strategy.propose(asked)
        parts.append(codes[np.arange(len(codes)), choose(target.bundle.predictor, codes)[:, 0]])
    return np.concatenate(parts)


def _undominated(top1: Floats, costs: Floats) -> NDArray[np.intp]:
    """Numbers of the architectures that no other one beats everywhere; where they are many, the best of each cost.

    Args:
        top1: Their top-1, shape (n,).
        costs: Their costs, shape (devices, n).
    """
    kept: list[int] = []
    for number in np.lexsort((costs.mean(0), -top1)).tolist():
        if not kept or not (costs[:, kept] <= costs[:, [number]]).all(0).any():
            kept.append(number)
    with np.errstate(invalid="ignore"):
        typical = np.log(np.median(costs[:, kept], axis=0))
    step = max(_STEP, float(np.ptp(typical)) / _MOST)
    # From the most accurate one down: the first of each step of the typical cost.
    _, first = np.unique(np.round(typical / step), return_index=True)
    return np.array(kept, np.intp)[first]
