"""How sessions are compared with limits of latency: the same for `deploy` and `verify`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nagsdk.budget import Budget
from nagsdk.cost.model import CostModel
from nagsdk.manifest.result import MISSED
from nagsdk.measuring.across_sessions import ASSURED, USUAL_SPREAD, AcrossSessions, half_beyond
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import Protocol
from nagsdk.pipeline.models import calibrated_model
from nagsdk.pipeline.round import Round
from nagsdk.pipeline.target import Target

# A verdict on the median can rest on one session beside the first one; of high percentiles, the spread between
# sessions is larger and hardly known from one session.
_LEAST, _LEAST_OF_HIGH, _MOST = 1, 3, 8
# Candidates are sought that so many sessions can confirm.
AIMED = 4
# A calibration on a busy device may have found more than this, but must not outweigh the sessions of every verdict.
_MOST_KNOWN = 0.05
_UNSURE = (
    "The p{:g} of {:.4g} ms lies within {}, but sessions differ by {:.1f} %: a check by {} later ones "
    "would pass with a probability of {:.0f} %, and a verdict of held needs 95 %."
)


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
    factor = model.jitter.factor
    distances = [math.log(factor(half_beyond(b.percentile)) / factor(b.percentile)) for b in budgets]
    spreads = [math.hypot(known, distance) for distance in distances]
    return max([AcrossSessions((1.0,), spread).spare(AIMED) for spread in spreads], default=1.0)
