"""A model of two states, cold and hot, for the speed of a device under continuous load.

From some moment on, the latency approaches that of the hot state exponentially:

    log latency(t) = log cold + (log hot - log cold) * (1 - exp(-(t - switch) / tau)) for t > switch, else log cold
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_POINTS = 12
# The hot state is known well enough if its latency lies in a range of this width, as a share.
WIDTH = 0.03
# Changes that are smaller are those of an idle machine, too.
_CHANGE = 0.03
# A moment with fewer points after it tells nothing about what follows.
_LEAST_AFTER = 5
_SWITCHES, _TAUS = 24, 16
# Points that are medians of three neighbours are not independent.
_DEPENDENT = 3
# Of the chi-squared distribution with two degrees of freedom, at 0.95.
_CHI2 = 5.99
_TAUS_TO_SETTLE = 3.0
# Predictions that are further from the first state are no predictions; logarithm of a thousand.
_FURTHEST = 7.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settling:
    """The fitted model.

    Attributes:
        cold: Latency before the load had an effect.
        hot: Latency at the end of the load, as far as it is known now.
        low: Lower end of the range of `hot` that the points allow.
        high: Upper end of that range.
        switch_s: Seconds after which the speed began to change.
        tau_s: Time constant of the change in seconds.
    """

    cold: float
    hot: float
    low: float
    high: float
    switch_s: float
    tau_s: float

    @property
    def changes(self) -> bool:
        """Whether hot and cold state differ."""
        return abs(math.log(self.hot / self.cold)) > math.log1p(_CHANGE)

    @property
    def known(self) -> bool:
        """Whether the points allow only a narrow range for the hot state."""
        return self.high <= self.low * (1 + WIDTH)

    def over(self, now_s: float) -> bool:
        """Whether the change lies well behind.

        The device has been in its hot state for as long as it took to get there: a further step would have had as much
        time to begin.
        """
        return self.changes and self.known and now_s >= 2 * (self.switch_s + _TAUS_TO_SETTLE * self.tau_s)

    def at(self, seconds: Floats) -> Floats:
        """The latencies at some moments."""
        return np.asarray(self.cold * (self.hot / self.cold) ** _risen(seconds, self.switch_s, self.tau_s))

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {name: float(value) for name, value in vars(self).items()}


def settling(seconds: Sequence[float], values: Sequence[float], end_s: float) -> Settling | None:
    """Fits the model.

    Args:
        seconds: Moments since the load began, increasing.
        values: Latencies at these moments; all positive.
        end_s: The moment of the future at which the latency is predicted.

    Returns:
        The model; None if there are too few points.
    """
    t, y = np.asarray(seconds, np.float64), _smoothed(np.log(np.asarray(values, np.float64)))
    n = len(t)
    if n < LEAST_POINTS:
        return None
    switches = np.unique(np.concatenate([[0.0], t[np.linspace(0, n - 1 - _LEAST_AFTER, _SWITCHES).astype(int)]]))
    taus = np.geomspace(max(float(np.median(np.diff(t))), 1e-6) / 2, 2 * t[-1], _TAUS)
    pairs = np.array([(s, tau) for s in switches for tau in taus])
    risen, end = (_risen(x, pairs[:, :1], pairs[:, 1:]) for x in (t[None], np.array([[end_s]])))
    mean = risen.mean(1, keepdims=True)
    spread = np.maximum(((risen - mean) ** 2).sum(1), 1e-12)
    slope = ((risen - mean) * (y - y.mean())).sum(1) / spread
    level = y.mean() - slope * mean[:, 0]
    rest = ((y - level[:, None] - slope[:, None] * risen) ** 2).sum(1)
    freedom = max(n / _DEPENDENT - 4, 1.0)
    variance = rest.min() / n * (n / _DEPENDENT) / freedom
    predicted = level + slope * end[:, 0]
    error = 2 * np.sqrt(variance * _DEPENDENT * (1 / n + (end[:, 0] - mean[:, 0]) ** 2 / spread))
    possible = rest <= rest.min() + variance * _DEPENDENT * _CHI2 + 1e-12
    best = int(rest.argmin())
    values_at_end = predicted[best], (predicted - error)[possible].min(), (predicted + error)[possible].max()
    hot, low, high = np.exp(np.clip(values_at_end, y.min() - _FURTHEST, y.max() + _FURTHEST)).tolist()
    return Settling(
        float(np.exp(np.clip(level[best], y.min() - _FURTHEST, y.max() + _FURTHEST))),
        hot,
        low,
        high,
        float(pairs[best, 0]),
        float(pairs[best, 1]),
    )


def _risen(seconds: Floats, switch_s: Any, tau_s: Any) -> Floats:
    """The share of the change that has happened."""
    return np.asarray(-np.expm1(-np.maximum(seconds - switch_s, 0.0) / tau_s))


def _smoothed(values: Floats) -> Floats:
    """Medians of three neighbours, which single outliers do not touch."""
    if len(values) < 3:
        return values
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1))
