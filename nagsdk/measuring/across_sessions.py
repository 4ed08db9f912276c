"""A percentile of single runs over several sessions of one network, and what as many further sessions would show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nagsdk.common.quantiles import student_quantile
from nagsdk.measuring.measurement import Floats, Measurement

LEVEL = 0.95
# At least 0.9 is promised. The estimate knows nothing of what changes between a verdict and its check.
ASSURED = 0.95
# What is known beforehand about the spread between sessions counts as much as so many further sessions: the likeliest
# number for 69 sessions of six networks at p90 and p95 together (benchmarks/sessions.py).
_KNOWN_SESSIONS = 3
# For devices that were never calibrated; the shipped priors of devices say 2 to 2.5 %.
USUAL_SPREAD = 0.02
# Beyond these numbers nothing is known, and nothing overflows.
_MOST_KNOWN, _MOST_EXPONENT = 1.0, 100.0
_DRAWS = 20_000


@dataclass(frozen=True)
class AcrossSessions:
    """A percentile in several fresh sessions.

    Two processes on the same device do not measure the same: memory layout, neighbours and clock speed differ, and high
    percentiles differ most. The sessions, and not the runs within them, are therefore the sample. The logarithms of
    their percentiles are taken to be normal. With few sessions their spread is hardly known, so what is known of it
    beforehand counts as three further sessions.

    High percentiles differ because the share of slow runs does, by about a factor of two. What that does to a
    percentile depends on how far apart the slow runs are (the delta method for quantiles), so it is read from the same
    sessions: it is the distance to the percentile beyond which half as many runs lie.

    Attributes:
        values_ms: The percentile in each session.
        known_spread: Relative standard deviation between sessions that is known beforehand.
    """

    values_ms: tuple[float, ...]
    known_spread: float

    @classmethod
    def of(cls, sessions: Sequence[Measurement], percentile: float, known_spread: float) -> AcrossSessions:
        """A percentile of sessions that were measured.

        Args:
            sessions: One or more sessions of the same network.
            percentile: Percentile of single runs.
            known_spread: Relative standard deviation of the median between sessions.
        """
        values = [m.figure(percentile) for m in sessions]
        beyond = [m.figure(half_beyond(percentile)) for m in sessions]
        distance = float(np.mean(np.log(beyond) - np.log(values)))
        within = float(np.sqrt(np.mean([m.error(percentile) ** 2 for m in sessions])))
        return cls(tuple(values), min(max(math.hypot(known_spread, distance), within), _MOST_KNOWN))

    @property
    def figure_ms(self) -> float:
        """The geometric mean over the sessions."""
        return float(np.exp(np.mean(np.log(self.values_ms))))

    @property
    def spread(self) -> float:
        """Relative standard deviation between sessions, from these sessions and from what was known before."""
        logs = np.log(self.values_ms)
        squares = _KNOWN_SESSIONS * self.known_spread**2 + float(((logs - logs.mean()) ** 2).sum())
        return math.sqrt(squares / self._freedom)

    @property
    def _freedom(self) -> int:
        return _KNOWN_SESSIONS + len(self.values_ms) - 1

    @property
    def interval_ms(self) -> tuple[float, float]:
        """The one-sided lower and upper 95 % limits of the percentile, which together are a 90 % interval."""
        reach = student_quantile(self._freedom, LEVEL) * self.spread / math.sqrt(len(self.values_ms))
        return self.figure_ms * math.exp(-reach), self.figure_ms * math.exp(reach)

    @cached_property
    def _later_ms(self) -> Floats:
        """Upper limits that as many further sessions would show, drawn from their predictive distribution, sorted."""
        rng, count, freedom = np.random.default_rng(0), len(self.values_ms), self._freedom
        between = self.spread * np.sqrt(freedom / rng.chisquare(freedom, _DRAWS))
        mean = rng.normal(size=_DRAWS) * between * math.sqrt(2 / count)
        scatter = between**2 * rng.chisquare(count - 1, _DRAWS) if count > 1 else np.zeros(_DRAWS)
        spread = np.sqrt((_KNOWN_SESSIONS * self.known_spread**2 + scatter) / freedom)
        upper = mean + student_quantile(freedom, LEVEL) * spread / math.sqrt(count)
        return np.sort(self.figure_ms * np.exp(np.clip(upper, -_MOST_EXPONENT, _MOST_EXPONENT)))

    def chance(self, limit_ms: float) -> float:
        """The probability that the upper limit of as many further sessions is at most `limit_ms`."""
        return float(np.searchsorted(self._later_ms, limit_ms, "right")) / _DRAWS

    def assured_ms(self, probability: float = ASSURED) -> float:
        """The limit that as many further sessions hold with this probability."""
        return float(np.quantile(self._later_ms, probability))

    def spare(self, count: int) -> float:
        """How much larger than the percentile a limit must be so that `count` such sessions can assure it."""
        return self.repeated(count).assured_ms() / self.figure_ms

    def repeated(self, count: int) -> AcrossSessions:
        """What `count` sessions, at least two, would give if they agreed as well as these do among themselves."""
        own = float(np.std(np.log(self.values_ms), ddof=1)) if len(self.values_ms) > 1 else 0.0
        places = np.linspace(-1, 1, count)
        values = self.figure_ms * np.exp(own * places / places.std(ddof=1))
        return AcrossSessions(tuple(values.tolist()), self.known_spread)


def half_beyond(percentile: float) -> float:
    """The percentile beyond which half as many runs lie; up to the median, where no few slow runs matter, the same."""
    return (100 + percentile) / 2 if percentile > 50 else percentile
