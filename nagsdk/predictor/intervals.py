"""Compares predictions with left-out measurements, and calibrates intervals on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.predictor.features import Floats
from nagsdk.predictor.model import LEVEL, Interval

# Share of the constant term in the variance. Without it, intervals are too narrow where eight members agree by chance;
# with more, they are too narrow where members disagree. Distance and top-1 as further terms did not help.
_CONSTANT_SHARE = 0.25
# The rank that covers 90 % is below the length from here on.
_LONG_FRONT = 19


@dataclass(frozen=True)
class Judged:
    """Measured top-1, predicted top-1, spread of the members in points, leverage and MACs; each of shape (n,)."""

    top1: Floats
    predicted: Floats
    spread: Floats
    leverage: Floats
    macs: Floats

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """Joins the rows of several comparisons."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @property
    def front(self) -> NDArray[np.bool_]:
        """Mask of the rows that no other row beats in both predicted top-1 and MACs, shape (n,)."""
        order = np.lexsort((-self.predicted, self.macs))
        best = np.concatenate([[-np.inf], np.maximum.accumulate(self.predicted[order])[:-1]])
        result = np.zeros(len(order), dtype=bool)
        result[order] = self.predicted[order] > best
        return result

    def figures(self) -> dict[str, float | int]:
        """Returns the number of rows, the RMSE in points and Kendall's tau."""
        from scipy.stats import kendalltau

        rmse = float(np.sqrt(np.mean((self.predicted - self.top1) ** 2)))
        return {
            "evaluations": len(self.top1),
            "rmse": round(rmse, 4),
            "kendall_tau": round(float(kendalltau(self.top1, self.predicted)[0]), 4),
        }


@dataclass(frozen=True)
class LeftOut:
    """A group that was left out, with the interval and its factor on the front, calibrated without it."""

    name: str
    judged: Judged
    interval: Interval
    on_front: float

    def figures(self) -> dict[str, Any]:
        """Returns the figures of the group; coverage is the share of its measurements within their 90 % intervals."""
        half, front = self.interval.half_width(self.judged.spread, self.judged.leverage), self.judged.front
        error = np.abs(self.judged.predicted - self.judged.top1)
        within = error <= half
        far = self.judged.leverage > np.median(self.judged.leverage)
        quarter = np.searchsorted(np.quantile(self.judged.macs, [0.25, 0.5, 0.75]), self.judged.macs)

        def covered(*parts: NDArray[np.bool_]) -> list[float]:
            return [round(float(within[part].mean()), 3) for part in parts if part.any()]

        shown = {
            "coverage_90": round(float(within.mean()), 3),
            "coverage_90_near_and_far": covered(~far, far),
            "coverage_90_by_quarter_of_macs": covered(*(quarter == q for q in range(4))),
            "coverage_90_on_front": round(float(np.mean(error[front] <= self.on_front * half[front])), 3),
            "mean_half_width": round(float(half.mean()), 3),
            "mean_half_width_on_front": round(float(self.on_front * half[front].mean()), 3),
        }
        return {"left_out": self.name, **self.judged.figures(), **shown}


def calibrated(parts: Sequence[Judged]) -> Interval:
    """Computes the interval that covers 90 % of the measurements of every group.

    Groups differ, and the next one may be as hard to predict as the hardest of these. So the scale is the largest one
    that any of the groups needs. The spread of the members has a share of three quarters in the variance.

    Args:
        parts: Groups, each compared with a fit that left it out.
    """
    spread = Judged.joined(parts).spread
    floor = float(np.sqrt(np.mean(spread**2) * _CONSTANT_SHARE / (1 - _CONSTANT_SHARE)))
    unit = Interval(1.0, floor, 0.0)
    ratios = [np.abs(part.predicted - part.top1) / unit.half_width(part.spread, part.leverage) for part in parts]
    return Interval(max(float(np.quantile(ratio, LEVEL, method="higher")) for ratio in ratios), floor, 0.0)


def on_front(parts: Sequence[Judged], interval: Interval) -> float:
    """Computes the factor of the interval for architectures on the predicted front, where all chosen ones lie.

    A front consists of architectures that look better than they are, and it has few rows: it is a group of its own,
    with the rank that covers 90 % of the next measurement on it (split conformal prediction). The factor is the largest
    one that the front of any group needs, and at least 1. Fronts that are too short for a rank below their length are
    joined.

    Args:
        parts: Groups, each compared with a fit that left it out.
        interval: The interval of all architectures.
    """
    ratios = []
    for part in parts:
        front = part.front
        half = interval.half_width(part.spread, part.leverage)[front]
        ratios.append(np.abs(part.predicted - part.top1)[front] / half)
    long = [ratio for ratio in ratios if len(ratio) >= _LONG_FRONT]
    short = [ratio for ratio in ratios if len(ratio) < _LONG_FRONT]
    groups = long + ([np.concatenate(short)] if short else [])
    ranks = (min(math.ceil(LEVEL * (len(group) + 1)), len(group)) for group in groups)
    return max(1.0, *(float(np.sort(group)[rank - 1]) for group, rank in zip(groups, ranks, strict=True)))
