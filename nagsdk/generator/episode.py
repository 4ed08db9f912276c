"""What a policy reads before each decision, and which choices it may take.

A walk stores, for many architectures at once, by how much their best completions exceed the limits at every price
(`Paths`). Taking a choice changes this excess by the difference between the choice's cost and that of the path's own
choice. The price at which the excess crosses zero is the one at which the limits are just held; the open choices are
valued at that price. A choice may be taken if the last point of some path still holds all limits after it. The choice
of that point itself is then always allowed: a walk whose limits are held by the last architecture of a path at the
start never gets stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.generator.policy import CHOICE, STATE, Float32s
from nagsdk.generator.prices import PRICES, Paths

# Largest difference between sums in different orders, as a share of the range of a cost.
_ROUNDING = 1e-12
# Scales the differences that matter between choices to the order of one.
_WORTH = 50.0
_NEVER = -1e9


@dataclass(frozen=True)
class View:
    """What the policy reads before a decision.

    Attributes:
        state: State of the budget: price, loss of the score between the two prices around it, slack of the cheapest
            completion, position between the two prices; shape (n, STATE).
        choices: For each choice, its worth at this price, at the next lower and at the next higher one, and the share
            of the slack that it leaves; shape (CHOICE, n, choices).
        allowed: Whether each choice may be taken, shape (n, choices).
    """

    state: Float32s
    choices: Float32s
    allowed: NDArray[np.bool_]


class Walk:
    """State of many architectures while their decisions are taken one by one.

    Args:
        paths: Paths of the limited costs.
        limits: Upper limits of the budgets, shape (budgets, M).
        counts: Number of architectures of each budget, one if None; those of one budget follow each other.
    """

    def __init__(self, paths: Paths, limits: Floats, counts: NDArray[np.intp] | None = None) -> None:
        self.paths, self.counts = paths, np.ones(len(limits), np.intp) if counts is None else counts
        self._limits = limits / paths.scale
        self._first = _most(paths.cost - self._limits[:, None, None, None])
        self._states = paths.states
        _, _, self._choices, self._mixes, j, m = paths.extra.shape
        self._extra, self._gain = paths.extra.reshape(-1, j, m), paths.gain.reshape(-1, j)
        self._last = np.ascontiguousarray(paths.extra[..., -1, :]).reshape(-1, self._choices, self._mixes, m)
        self._value = paths.value.reshape(-1, self._choices)
        self._price = paths.price.ravel()

    def first(self) -> View:
        """Returns the view of decision 0, the resolution, for each budget, and fixes the mix at each resolution."""
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
        """Takes decision 0 of every architecture, shape (architectures,)."""
        limits, mix = (np.repeat(part, self.counts, axis=0) for part in (self._limits, self._mix))
        every = np.arange(len(resolution))
        self._codes = np.full((len(every), len(self._states.read)), -1, np.int8)
        self._codes[:, 0] = resolution
        self._r, self._k = resolution.copy(), mix[every, resolution]
        self._over = self.paths.cost[resolution, self._k] - limits[:, None]
        self._score = self.paths.score[resolution, self._k]
        self._least = self.paths.cost[resolution, :, -1] - limits[:, None]

    def _at(self, decision: int, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The index of a decision's state at each resolution for some of the architectures."""
        cell: NDArray[np.intp] = self._r[rows] * len(self._states) + self._states.starts[decision]
        return cell + self._states.within(decision, self._codes[rows]) if self._states.read[decision] else cell

    def look(self, decision: int, rows: NDArray[np.intp], choices: int) -> View:
        """Returns the view of a later decision for some of the architectures."""
        at = _crossing(_most(self._over[rows]), self._score[rows])
        cell = self._at(decision, rows)
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
        """Takes a choice of a later decision for some of the architectures."""
        at = self._at(decision, rows)
        self._codes[rows, decision] = choice
        cell = (at * self._choices + choice) * self._mixes + self._k[rows]
        self._over[rows] += self._extra[cell]
        self._score[rows] += self._gain[cell]
        self._least[rows] += self._last[at, choice]


def _most(over: Floats) -> Floats:
    """Returns the maximum over the costs, computed slice by slice because numpy is slow on short last axes."""
    return reduce(np.maximum, (over[..., m] for m in range(over.shape[-1])))


def _fewest(over: Floats) -> Floats:
    """Returns the minimum over the mixes, computed slice by slice as well."""
    return reduce(np.minimum, (over[..., k] for k in range(over.shape[-1])))


@dataclass(frozen=True)
class _Crossing:
    """Points at which paths just hold the limits; all arrays have the same shape.

    Attributes:
        low: Index of the price below the point.
        high: Index of the price above the point.
        place: Position between the two prices, 0 to 1.
        score: Score at the point.
        step: Loss of the score between the two prices.
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    place: Floats
    score: Floats
    step: Floats

    def of(self, index: NDArray[np.intp]) -> _Crossing:
        """Selects one point of the last axis."""
        return _Crossing(
            *(np.take_along_axis(getattr(self, f.name), index[..., None], -1)[..., 0] for f in fields(self))
        )


def _crossing(over: Floats, score: Floats) -> _Crossing:
    """Finds on every path the first price at which the limits hold, or the last price if none does.

    Args:
        over: Excess of the cost over the limits, shape (..., J).
        score: Score at each price, shape (..., J).
    """
    fits = over <= _ROUNDING
    high = fits.argmax(-1)
    some = np.take_along_axis(fits, high[..., None], -1)[..., 0]
    high = np.where(some, high, PRICES - 1)
    low = np.maximum(high - 1, 0)
    flat = np.arange(high.size).reshape(high.shape) * PRICES
    before, after, score_before, score_after = (
        over.ravel()[flat + low],
        over.ravel()[flat + high],
        score.ravel()[flat + low],
        score.ravel()[flat + high],
    )
    between = some & (high > 0)
    place = np.zeros(high.shape)
    with np.errstate(invalid="ignore"):  # inf - inf where nothing is allowed
        np.divide(before, before - after, out=place, where=between)
        step = np.nan_to_num(score_before - score_after)
        reached = np.where(some, score_after + step * (1 - place), _NEVER)
    return _Crossing(low, high, place, reached, step)
