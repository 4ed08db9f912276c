"""What a policy reads on its way through the decisions, and what it may choose.

A walk keeps, for many architectures at once, what their best completions cost beyond the limits at every
price (`Paths`). Choosing shifts it by what the choice costs more than the path's own. Where it crosses zero
lies the price at which the limits would just be held, and at that price the open choices are judged. A
choice may be taken if the last point of some path still holds all limits after it. That point's own choice
then always may be taken: who begins with limits that a path's last architecture holds never gets stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.generator.policy import CHOICE, STATE, Float32s
from nagsdk.generator.prices import PRICES, Paths

# Sums in different orders differ by this much of a cost's range.
_ROUNDING = 1e-12
# Brings the differences that matter between choices to the order of one.
_WORTH = 50.0
_NEVER = -1e9


@dataclass(frozen=True)
class View:
    """What is read before a decision.

    Attributes:
        state: Of the budget: price, what the score loses around it, slack of the cheapest completion, place
            between two prices; shape (n, STATE).
        choices: Of each choice: its worth at the price, at one lower and at one higher, and the share of the
            slack that it leaves; shape (CHOICE, n, choices).
        allowed: Shape (n, choices).
    """

    state: Float32s
    choices: Float32s
    allowed: NDArray[np.bool_]


class Walk:
    """Architectures in the making.

    Args:
        paths: Of the costs that are limited.
        limits: Upper limits of budgets, shape (budgets, M).
        count: Architectures made for each budget, one budget's after another's.
    """

    def __init__(self, paths: Paths, limits: Floats, count: int = 1) -> None:
        self.paths, self.count = paths, count
        self._limits = limits / paths.scale
        self._first = _most(paths.cost - self._limits[:, None, None, None])
        _, self._decisions, self._choices, self._mixes, j, m = paths.extra.shape
        self._extra, self._gain = paths.extra.reshape(-1, j, m), paths.gain.reshape(-1, j)
        self._last = np.ascontiguousarray(paths.extra[..., -1, :]).reshape(-1, self._choices, self._mixes, m)
        self._value = paths.value.reshape(-1, self._choices)
        self._price = paths.price.ravel()

    def first(self) -> View:
        """The view of decision 0, the resolution, once for each budget; settles the mix at each resolution."""
        over = self._first
        at = _crossing(over, np.broadcast_to(self.paths.score, over.shape))
        self._mix = at.score.argmax(-1)
        at = at.of(self._mix)
        best = at.score.argmax(1)
        choices = np.zeros((CHOICE, *at.score.shape), np.float32)
        choices[0] = np.maximum(at.score - at.score.max(1, keepdims=True), -1.0) * _WORTH
        last = over[..., -1].min(-1)
        every = np.arange(len(best))
        state = self._state(at.of(best), self._mix[every, best], last[every, best])
        return View(state, choices, last <= _ROUNDING)

    def start(self, resolution: NDArray[np.intp]) -> None:
        """Takes decision 0 of every architecture, shape (budgets · count,)."""
        limits, mix = (np.repeat(part, self.count, axis=0) for part in (self._limits, self._mix))
        every = np.arange(len(resolution))
        self._r, self._k = resolution.copy(), mix[every, resolution]
        self._over = self.paths.cost[resolution, self._k] - limits[:, None]
        self._score = self.paths.score[resolution, self._k]
        self._least = self.paths.cost[resolution, :, -1] - limits[:, None]

    def look(self, decision: int, rows: NDArray[np.intp], choices: int) -> View:
        """The view of a later decision, for some of the architectures."""
        at = _crossing(_most(self._over[rows]), self._score[rows])
        cell = self._r[rows] * self._decisions + decision
        base = (cell * self._mixes + self._k[rows]) * PRICES
        below, above = np.maximum(at.low - 1, 0), np.minimum(at.high + 1, PRICES - 1)
        low, high, lower, higher = (self._value[base + index, :choices] for index in (at.low, at.high, below, above))
        read = np.empty((CHOICE, len(rows), choices), np.float32)
        read[0], read[1], read[2] = low + (high - low) * at.place[:, None].astype(np.float32), lower, higher
        read[:3] *= _WORTH
        least = self._least[rows]
        after = _fewest(_most(self._last[cell, :choices] + least[:, None]))
        slack = _fewest(_most(least))
        with np.errstate(invalid="ignore"):
            share = after / np.minimum(slack, -1e-9)[:, None]
        read[3] = np.clip(np.nan_to_num(share, nan=1.0), -1.0, 2.0)
        return View(self._state(at, self._k[rows], slack), read, after <= _ROUNDING)

    def _state(self, at: _Crossing, mix: NDArray[np.intp], slack: Floats) -> Float32s:
        low, high = (self._price[mix * PRICES + index] for index in (at.low, at.high))
        parts = (2 * (low + (high - low) * at.place) - 1, 20 * at.step, np.tanh(-10 * slack), at.place)
        assert len(parts) == STATE
        return np.stack(parts, axis=-1).astype(np.float32)

    def take(self, decision: int, rows: NDArray[np.intp], choice: NDArray[np.intp]) -> None:
        """Takes a choice of a later decision, for some of the architectures."""
        at = self._r[rows] * self._decisions + decision
        cell = (at * self._choices + choice) * self._mixes + self._k[rows]
        self._over[rows] += self._extra[cell]
        self._score[rows] += self._gain[cell]
        self._least[rows] += self._last[at, choice]


def _most(over: Floats) -> Floats:
    """The largest over the costs, slice by slice: numpy is slow on short last axes."""
    return reduce(np.maximum, (over[..., m] for m in range(over.shape[-1])))


def _fewest(over: Floats) -> Floats:
    """The smallest over the mixes, likewise."""
    return reduce(np.minimum, (over[..., k] for k in range(over.shape[-1])))


@dataclass(frozen=True)
class _Crossing:
    """Where paths just hold the limits, each array of the same shape: between which prices, at which place, with which score.

    `step` is what the score loses between the two prices.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    place: Floats
    score: Floats
    step: Floats

    def of(self, index: NDArray[np.intp]) -> _Crossing:
        """One of the last axis."""
        return _Crossing(
            *(np.take_along_axis(getattr(self, f.name), index[..., None], -1)[..., 0] for f in fields(self))
        )


def _crossing(over: Floats, score: Floats) -> _Crossing:
    """Finds on every path the first price at which the limits hold; the last where none does.

    Args:
        over: Cost beyond the limits, shape (..., J).
        score: Shape (..., J).
    """
    fits = over <= _ROUNDING
    high = fits.argmax(-1)
    some = np.take_along_axis(fits, high[..., None], -1)[..., 0]
    high = np.where(some, high, PRICES - 1)
    low = np.maximum(high - 1, 0)
    flat = np.arange(high.size).reshape(high.shape) * PRICES
    before, after, dear, cheap = (
        over.ravel()[flat + low],
        over.ravel()[flat + high],
        score.ravel()[flat + low],
        score.ravel()[flat + high],
    )
    between = some & (high > 0)
    place = np.zeros(high.shape)
    with np.errstate(invalid="ignore"):  # nothing is allowed: inf - inf
        np.divide(before, before - after, out=place, where=between)
        step = np.nan_to_num(dear - cheap)
        reached = np.where(some, cheap + step * (1 - place), _NEVER)
    return _Crossing(low, high, place, reached, step)
