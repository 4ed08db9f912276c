"""How far predictions of a cost model err: the spread of the error, and what it does not exceed at some confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nagsdk.cost.table import Floats
from nagsdk.errors import UsageError

# The exponent of the spread stays so far below 1 that a bound always grows with the predicted latency.
MOST_EXPONENT = 0.9
# Below this share of a typical latency the spread stays the same: an additive table may come close to zero.
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Spread:
    """Relative standard deviation of the model error: a power of the predicted latency.

    Errors of single layers partly cancel each other, so that small networks have larger relative errors. A spread that
    depends on nothing else than the latency keeps a budget one limit on the additive table.

    Attributes:
        typical: Median over the space.
        at_ms: Predicted latency at which it applies.
        exponent: 0 if it is the same everywhere, usually negative.
    """

    typical: float
    at_ms: float = 1.0
    exponent: float = 0.0

    @classmethod
    def fitted(cls, mean: Floats, deviation: Floats) -> Spread:
        """Returns the power that describes the standard deviations of architectures best (least squares of logs)."""
        at = float(np.median(mean))
        kept = mean > _LEAST_SHARE * at
        size, own = np.log(mean[kept] / at), deviation[kept] / mean[kept]
        size -= size.mean()
        exponent = float(size @ np.log(own) / max(size @ size, np.finfo(float).tiny))
        return cls(float(np.median(own)), at, float(np.clip(exponent, -MOST_EXPONENT, MOST_EXPONENT)))

    def of(self, cost: Floats) -> Floats:
        """Returns the relative standard deviations at these costs under the table."""
        result: Floats = self.typical * np.maximum(cost / self.at_ms, _LEAST_SHARE) ** self.exponent
        return result


def most_confidence(samples: int) -> float:
    """Returns the highest confidence that `most_error` can give."""
    return samples / (samples + 1)


def most_error(errors: Floats, confidence: float) -> float:
    """Returns what the error of another prediction does not exceed at some confidence.

    It is the larger of two ranks: that of the errors, and that of their absolute values, of which twice as many lie
    beyond it, so that it depends less on a single one.

    Args:
        errors: Errors of predictions that were made without the sample, in standard deviations, shape (n,).
        confidence: Between 0 and 1.

    Raises:
        UsageError: There are too few errors for this confidence.
    """
    n = len(errors)
    # 1e-9 keeps rounding errors from turning 0.9 * 10 into more than 9.
    rank, of_sizes = (math.ceil((n + 1) * level - 1e-9) for level in (confidence, 2 * confidence - 1))
    if rank > n:
        needed = math.ceil(confidence / (1 - confidence) - 1e-9)
        raise UsageError(
            f"A confidence of {confidence:g} needs a calibration with {needed} architectures; this one has {n}.",
            f"Ask for {math.floor(1000 * most_confidence(n)) / 1000:g} or less (--confidence), "
            f"or calibrate with --samples {needed}.",
        )
    size = np.sort(np.abs(errors))[of_sizes - 1] if of_sizes > 0 else 0.0
    return max(float(np.sort(errors)[rank - 1]), float(size))
