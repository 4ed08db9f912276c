"""Quantiles of the normal and of Student's t distribution.

Without scipy: importing `scipy.special` takes a quarter of a second of processor time, about as much as all the rest of
`nagsdk generate`.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
# Every halving gains one bit; the angle lies between 0 and a right angle, so this many leave nothing but rounding.
_HALVINGS = 60


def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable does not exceed with this probability, between 0 and 1."""
    return _NORMAL.inv_cdf(probability)


def normal_probability(value: float) -> float:
    """The probability that a standard normal variable does not exceed a value."""
    return _NORMAL.cdf(value)


def student_quantile(freedom: int, probability: float) -> float:
    """The value that a variable of Student's t distribution does not exceed with this probability.

    Args:
        freedom: Degrees of freedom, a whole number of at least 1: for those the distribution is a finite sum
            (Abramowitz and Stegun, 1964, 26.7.3 and 26.7.4) in the angle whose tangent is t / sqrt(freedom).
        probability: Between 0 and 1.
    """
    if freedom < 1 or not 0 < probability < 1:
        raise ValueError(f"no quantile of Student's t: {freedom} degrees of freedom, probability {probability}")
    if probability < 0.5:
        return -student_quantile(freedom, 1 - probability)
    low, high, central = 0.0, math.pi / 2, 2 * probability - 1
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _central(freedom, angle) < central else (low, angle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _central(freedom: int, angle: float) -> float:
    """The probability that the absolute value of t stays below sqrt(freedom) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
