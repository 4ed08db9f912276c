"""The selector of a fleet: which model a phone takes, by its chip and one short benchmark at its first start.

The phone times the least accurate of the models. A cost model knows by how much longer the others take, with less doubt
than it knows the speed of the phone; so each model has a largest time of the benchmark up to which it is taken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nagsdk.budget import Budget
from nagsdk.common.quantiles import normal_probability, normal_quantile
from nagsdk.cost.table import Floats
from nagsdk.pipeline.population import Member, key_of
from nagsdk.space.space import Codes

FORMAT = "nagsdk-selector/1"
MOST_BYTES = 2000
# Possible speeds of a phone are this many equally likely ones; confidences are tried in steps.
_NODES = 33
_CONFIDENCES = [normal_probability(z) for z in np.linspace(0.0, 3.0, 121)]
# A benchmark of a second differs from a later session by this much at least.
_LEAST_DOUBT = 0.02


@dataclass(frozen=True)
class Selector:
    """The rule that a phone follows.

    Attributes:
        models: Names of the models, the most accurate first; the last one is the benchmark.
        rows: Largest milliseconds of the benchmark up to which each model but the last is taken; the first row is for
            phones whose chip is not listed.
        chips: Row of chips, by `nagsdk.pipeline.population.key_of` of their names.
        confidence: How sure a phone must be that it holds the budget with a model.
        held: Expected share of users whose budget holds, in per cent.
        top1: Expected mean top-1 in per cent.
        left_out: Number of chips that found no room.
    """

    models: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    chips: dict[str, int]
    confidence: float
    held: float
    top1: float
    left_out: int

    def text(self, budget: str, share: float) -> str:
        """The content of selector.json."""
        content = {
            "format": FORMAT,
            "budget": budget,
            "share": share,
            "models": self.models,
            "benchmark": self.models[-1],
            "rows": self.rows,
            "chips": self.chips,
        }
        return json.dumps(content, separators=(",", ":"))

    def pick(self, chip: str, benchmark_ms: float) -> str:
        """The model that a phone takes."""
        row = self.rows[self.chips.get(key_of(chip), 0)]
        return next(
            (name for name, most in zip(self.models[:-1], row, strict=True) if benchmark_ms <= most), self.models[-1]
        )


@dataclass(frozen=True)
class _Known:
    """What is known of the devices before and after the benchmark; D devices, M models.

    Attributes:
        shares: Shares of the users, shape (D,).
        limits: Logarithms of the limits on the median, shape (D,).
        benchmark: Logarithms of the time of the benchmark, shape (D,).
        doubt: Standard deviations of their errors, shape (D,).
        ratios: Logarithms of the latencies of the models, less that of the benchmark, shape (D, M).
        doubts: Standard deviations of their errors, shape (D, M).
    """

    shares: Floats
    limits: Floats
    benchmark: Floats
    doubt: Floats
    ratios: Floats
    doubts: Floats

    @classmethod
    def of(cls, members: Sequence[Member], codes: Codes, budget: Budget) -> _Known:
        limits, benchmark, doubt, ratios, doubts = [], [], [], [], []
        for member in members:
            model, own = member.model, budget.for_batch(member.device.batch)
            ms, deviation = (float(values[0]) for values in model.predict(codes[-1:]))
            after, left = model.with_observation(codes[-1], ms).predict(codes)
            least = max(_LEAST_DOUBT, model.jitter.sessions)
            limits.append(np.log(own.limit / model.jitter.factor(own.percentile)))
            benchmark.append(np.log(ms))
            doubt.append(deviation / ms)
            ratios.append(np.append(np.log(after[:-1] / ms), 0.0))
            doubts.append(np.append(np.maximum(left[:-1] / after[:-1], least), least))
        shares = np.array([member.share for member in members])
        return cls(shares, *(np.array(values) for values in (limits, benchmark, doubt, ratios, doubts)))

    def thresholds(self, confidence: float) -> Floats:
        """Logarithms of the largest times of the benchmark, by device and model, shape (D, M - 1)."""
        margin = normal_quantile(confidence) * self.doubts
        result: Floats = (self.limits[:, None] - self.ratios - margin)[:, :-1]
        return result

    def together(self) -> _Known:
        """What is known of a phone that may be any of the devices."""

        def mean(values: Floats) -> Floats:
            result: Floats = np.average(values, axis=0, weights=self.shares, keepdims=True)
            return result

        spread = mean((self.ratios - mean(self.ratios)) ** 2) + mean(self.doubts**2)
        return _Known(
            np.ones(1), mean(self.limits), mean(self.benchmark), mean(self.doubt), mean(self.ratios), np.sqrt(spread)
        )

    def outcome(self, thresholds: Floats, top1: Floats) -> tuple[float, float]:
        """Expected share of users whose budget holds, and mean top-1, if every device has these thresholds.

        Args:
            thresholds: See `thresholds`.
            top1: Top-1 of the models, shape (M,).
        """
        steps = np.array([normal_quantile((number + 0.5) / _NODES) for number in range(_NODES)])
        times = self.benchmark[:, None] + self.doubt[:, None] * steps
        always = np.full((len(thresholds), 1), np.inf)
        picked = (times[:, :, None] <= np.concatenate([thresholds, always], axis=1)[:, None, :]).argmax(2)
        room = self.limits[:, None] - times - np.take_along_axis(self.ratios, picked, 1)
        held = np.vectorize(normal_probability)(room / np.take_along_axis(self.doubts, picked, 1))
        return float(self.shares @ held.mean(1)), float(self.shares @ top1[picked].mean(1))


def selector(
    members: Sequence[Member], codes: Codes, top1: Floats, names: Sequence[str], budget: Budget, promised: float
) -> Selector:
    """The rule with the least confidence that holds the budget for the promised share of users.

    Args:
        members: The devices of the population.
        codes: The chosen models, the most accurate first, shape (M, decisions).
        top1: Their top-1 in per cent, shape (M,).
        names: Their names.
        budget: The latency budget.
        promised: Share of users, between 0 and 1.

    Returns:
        The rule; where none reaches the promised share, the one that comes nearest.
    """
    known = _Known.of(members, codes, budget)
    anyone = known.together()
    listed = np.array([bool(member.chips) for member in members])

    def thresholds(confidence: float) -> tuple[Floats, Floats]:
        common = anyone.thresholds(confidence)
        return common, np.where(listed[:, None], known.thresholds(confidence), common)

    tried = [(known.outcome(thresholds(c)[1], top1), c) for c in _CONFIDENCES]
    best = next((one for one in tried if one[0][0] >= promised), max(tried, key=lambda one: one[0][0]))
    (held, mean), confidence = best
    common, own = thresholds(confidence)
    found = Selector(tuple(names), (_rounded(common[0]),), {}, confidence, 100 * held, mean, 0)
    for number in np.argsort(-known.shares, kind="stable"):
        row = _rounded(own[number])
        for chip in members[number].chips if row != found.rows[0] else ():
            rows = found.rows if row in found.rows else (*found.rows, row)
            wider = replace(found, rows=rows, chips={**found.chips, key_of(chip): rows.index(row)})
            fits = len(wider.text(str(budget), round(100 * promised, 6))) <= MOST_BYTES
            found = wider if fits else replace(found, left_out=found.left_out + 1)
    return found


def _rounded(logs: Floats) -> tuple[float, ...]:
    """Milliseconds with three digits, rounded down."""
    values = np.exp(logs)
    step = 10.0 ** (np.floor(np.log10(values)) - 2)
    return tuple(float(f"{value:.3g}") for value in np.floor(values / step) * step)
