"""Chooses the few models that serve a population of devices: a facility-location problem, solved exactly.

The models are the facilities and the devices the customers (p-median: Hakimi, 1964). A device takes a model that it
more likely holds than not; where none of the chosen ones is such, it takes the base, which is the least accurate of
them. One constraint couples the devices: the expected share of users whose budget holds.

The relaxation to real numbers says by how much each model would lower the bound (its reduced cost), and what a user
more who holds the budget is worth (the price of the share). Models that lower the bound below a choice that is known
already are in no better one. With any price, handing out each model freely gives a bound for a set of models
(Lagrange), so that few sets remain, for which the integer program is solved. (The integer program of all models at once
was tried: it takes some ten times as long, because many ways to hand out the same models are nearly as good.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import Floats
from nagsdk.errors import InfeasibleError, MeasurementError

# Below this chance a device more likely exceeds the budget than holds it.
EVEN = 0.5
# The solver's own tolerance of constraints is 1e-6 of a share.
_FEASIBLE = 1e-6
_INFEASIBLE = 2  # as scipy names it
_ROUNDING = 1e-9
# After so long, the best choice so far is taken, with the gap to what may be possible.
_PATIENCE_S = 120.0
# Bounds are taken with the price of the relaxation, times each of these.
_FACTORS = (1.0, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0)
_BATCH = 10_000


@dataclass(frozen=True)
class Location:
    """The chosen models, and which device takes which.

    Attributes:
        models: Numbers of the chosen models, the most accurate first.
        model_of: The model of every device, shape (devices,).
        top1: Mean top-1 over the population in per cent.
        held: Expected share of users whose budget holds.
        gap: Relative distance to the best that may be possible, as the solver proved it; 0 where it is optimal.
        seconds: Time that the solver took.
    """

    models: tuple[int, ...]
    model_of: NDArray[np.intp]
    top1: float
    held: float
    gap: float
    seconds: float


def locate(top1: Floats, chances: Floats, shares: Floats, promised: float, most: int) -> Location:
    """Chooses at most `most` models, so that the mean top-1 is highest and the budget holds for the promised share.

    Args:
        top1: Top-1 of the models in per cent, shape (models,).
        chances: Probability that a device holds the budget with a model, shape (devices, models).
        shares: Shares of the users, which sum to 1, shape (devices,).
        promised: Least expected share of users whose budget holds.
        most: Number of models.

    Raises:
        InfeasibleError: No choice holds the budget for that share; `excess` is the largest share that all models
            together would hold it for.
        MeasurementError: The solver found nothing in that time.
    """
    begun = monotonic()
    order = np.argsort(-top1, kind="stable")
    fits = np.where(chances >= EVEN, chances, 0.0)[:, order]
    best = float(shares @ fits.max(1))
    if best < promised - _FEASIBLE:
        raise InfeasibleError(
            f"The budget holds for {math.floor(1000 * best) / 10:g} % of the users at most.",
            "Promise a smaller share, or ask for a larger budget.",
            excess=best,
        )
    whole = _Program(top1[order], fits, shares, promised, most)
    found, taken = whole.best()
    if taken is None:
        raise InfeasibleError(
            f"{most} of the models cannot hold the budget for {100 * promised:g} % of the users.",
            "Allow more models, promise a smaller share, or ask for a larger budget.",
            excess=best,
        )
    every = np.arange(len(shares))
    return Location(
        tuple(int(order[n]) for n in sorted(set(taken.tolist()))),
        order[taken],
        float(shares @ top1[order][taken]),
        float(shares @ fits[every, taken]),
        found,
        monotonic() - begun,
    )


@dataclass(frozen=True)
class _Program:
    """The problem as an integer program.

    Its columns are x (a device takes a model that suits it), u (no chosen model suits the device), y (a model is
    chosen), b (it is the base) and s (share of the users whom no chosen model suits, at the base).

    Attributes:
        values: Top-1 of the models, the most accurate first, shape (models,).
        fits: Chances, 0 where a device more likely exceeds the budget than holds it, shape (devices, models).
        shares: Shares of the users, shape (devices,).
        promised: Least expected share of users whose budget holds.
        most: Number of models.
    """

    values: Floats
    fits: Floats
    shares: Floats
    promised: float
    most: int

    def solved(self, models: NDArray[np.intp]) -> tuple[float, NDArray[np.intp] | None]:
        """Solves the integer program.

        Args:
            models: Names of the program's models.

        Returns:
            The remaining relative gap, and the model of every device; None if no choice is possible.

        Raises:
            MeasurementError: The solver found nothing in time.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp

        matrix, low, high = self._rows
        found = milp(
            self._cost,
            constraints=LinearConstraint(matrix, low, high),
            integrality=np.arange(len(self._cost)) < self._columns[4][0],
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0, "time_limit": _PATIENCE_S},
        )
        if found.status == _INFEASIBLE:
            return 0.0, None
        if found.x is None:
            raise MeasurementError(f"No choice of models was found in {_PATIENCE_S:g} s.", "Describe fewer devices.")
        gap = float(found.mip_gap)
        return gap if gap > _ROUNDING else 0.0, models[self._taken(found.x)]

    def best(self) -> tuple[float, NDArray[np.intp] | None]:
        """The remaining gap, and the model of every device in the best choice; None if no choice is possible."""
        every = np.arange(len(self.values))
        chosen, reduced, bound, price = self._relaxed()
        few = np.argsort(-chosen, kind="stable")[: self.most]
        gap, taken = self._of(self._swapped(np.sort(few), price))
        if taken is None:  # with the model that holds the budget for most users in place of the last one
            gap, taken = self._of(np.unique(np.append(few[:-1], (self.shares @ self.fits).argmax())))
        if taken is None:
            return self._of(every)
        value = self._value(taken)
        sets, bounds = self._sets(every[bound - reduced >= value - _FEASIBLE], price, value)
        for number in np.argsort(-bounds, kind="stable"):
            if bounds[number] <= value + _FEASIBLE:
                break
            own_gap, own = self._of(sets[number])
            if own is not None and self._value(own) > value:
                gap, taken, value = own_gap, own, self._value(own)
        return gap, taken

    def _swapped(self, models: NDArray[np.intp], price: float) -> NDArray[np.intp]:
        """The models after one was exchanged for another, as long as their bound rises by it.

        A good first choice leaves few sets of models to look at.
        """
        highest = float(self._least_bounds(models[None], price)[0])
        while True:
            others = np.setdiff1d(np.arange(len(self.values)), models)
            sets = np.repeat(models[None], len(models) * len(others), axis=0)
            sets[np.arange(len(sets)), np.repeat(np.arange(len(models)), len(others))] = np.tile(others, len(models))
            sets.sort(axis=1)
            bounds = self._least_bounds(sets, price) if len(sets) else np.zeros(0)
            if bounds.max(initial=-np.inf) <= highest + _ROUNDING:
                return models
            models, highest = sets[bounds.argmax()], float(bounds.max())

    def _of(self, models: NDArray[np.intp]) -> tuple[float, NDArray[np.intp] | None]:
        """See `solved`, for the choices of some of the models."""
        return _Program(self.values[models], self.fits[:, models], self.shares, self.promised, self.most).solved(models)

    def _value(self, taken: NDArray[np.intp]) -> float:
        return float(self.shares @ self.values[taken])

    def _relaxed(self) -> tuple[Floats, Floats, float, float]:
        """How much of each model the relaxation chooses, their reduced costs, its bound, and the price of the share."""
        from scipy.optimize import linprog
        from scipy.sparse import vstack

        matrix, low, high = self._rows
        equal, least = low == high, ~np.isfinite(high)
        upper = ~equal & ~least
        found = linprog(
            self._cost,
            A_ub=vstack([matrix[upper], -matrix[least]]),
            b_ub=np.concatenate([high[upper], -low[least]]),
            A_eq=matrix[equal],
            b_eq=high[equal],
            bounds=(0, 1),
            method="highs",
        )
        if found.x is None or found.fun is None:  # nothing is possible, or nothing is known
            none = np.zeros(len(self.values))
            return none, none, np.inf, 0.0
        chosen = self._columns[2]
        # The promised share is the last row.
        return found.x[chosen], found.lower.marginals[chosen], -found.fun, -float(found.ineqlin.marginals[-1])

    def _sets(self, kept: NDArray[np.intp], price: float, known: float) -> tuple[list[NDArray[np.intp]], Floats]:
        """The sets of models that may be better than a known choice, and bounds of their mean top-1.

        What models add to the two least accurate ones of a set is at most the sum of what each of them adds alone.
        """
        worth = np.where(self.fits > 0, self.values + price * self.fits, -np.inf)
        sets = [np.array([[model]]) for model in kept]
        for last in range(1, len(kept)):
            for first in range(last):
                pair = kept[[first, last]]
                cover = np.maximum(worth[:, pair].max(1), self.values[pair[1]])
                value = float(self.shares @ cover) - price * self.promised
                above = kept[:first]
                gains = self.shares @ np.maximum(worth[:, above] - cover[:, None], 0.0)
                if self.most > 1:
                    sets.append(pair[None])
                if self.most > 2:
                    one = above[value + gains > known][:, None]
                    sets.append(np.concatenate([one, np.broadcast_to(pair, (len(one), 2))], axis=1))
                if self.most > 3:
                    two = above[np.argwhere(np.triu(value + gains[:, None] + gains > known, 1))]
                    sets.append(np.concatenate([two, np.broadcast_to(pair, (len(two), 2))], axis=1))
        found: list[NDArray[np.intp]] = []
        bounds: list[Floats] = []
        for count in range(1, self.most + 1):
            every = np.concatenate([part for part in sets if part.shape[1] == count] or [np.zeros((0, count), np.intp)])
            for part in np.array_split(every, len(every) // _BATCH + 1):
                part = part[self.shares @ self.fits[:, part].max(2) >= self.promised - _FEASIBLE]
                for factor in _FACTORS:
                    own = self._bounds(part, price * factor)
                    part = part[own > known]
                if len(part):
                    found.extend(part)
                    bounds.append(self._least_bounds(part, price))
        return found, np.concatenate([np.zeros(0), *bounds])

    def _least_bounds(self, sets: NDArray[np.intp], price: float) -> Floats:
        """The least of the bounds with this price times each of the factors, shape (sets,)."""
        return np.asarray(np.min([self._bounds(sets, price * factor) for factor in _FACTORS], axis=0))

    def _bounds(self, sets: NDArray[np.intp], price: float) -> Floats:
        """Bounds of the mean top-1 of sets of models if a share of 1 has this price, shape (sets,)."""
        worth = np.where(self.fits > 0, self.values + price * self.fits, -np.inf)
        best = np.maximum(worth[:, sets].max(2), self.values[sets[:, -1]])  # the base
        result: Floats = self.shares @ best - price * self.promised
        return result

    def _taken(self, found: Floats) -> NDArray[np.intp]:
        """The model of every device in a solution."""
        x, _, _, base, _ = self._columns
        taken = np.full(len(self.shares), int(found[base].argmax()))
        device, model = self._suited[found[x] > EVEN].T
        taken[device] = model
        return taken

    @cached_property
    def _suited(self) -> NDArray[np.intp]:
        """Devices and models that suit them, shape (n, 2)."""
        return np.argwhere(self.fits > 0)

    @cached_property
    def _columns(self) -> list[NDArray[np.intp]]:
        devices, models = self.fits.shape
        sizes = len(self._suited), devices, models, models, models
        return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])

    @cached_property
    def _cost(self) -> Floats:
        x, *_, s = self._columns
        device, model = self._suited.T
        cost = np.zeros(s[-1] + 1)
        cost[x], cost[s] = -self.shares[device] * self.values[model], -self.values
        return cost

    @cached_property
    def _rows(self) -> tuple[Any, Floats, Floats]:
        x, u, y, b, s = self._columns
        device, model = self._suited.T
        models = np.arange(len(y))
        rows = _Rows()
        rows.add(1, 1, (np.append(x, u), np.append(device, np.arange(len(u)))))
        rows.add(-np.inf, 0, (x, np.arange(len(x))), (y[model], np.arange(len(x)), -1.0))
        rows.add(1, self.most, (y, 0))
        rows.add(1, 1, (b, 0))
        rows.add(-np.inf, 0, (b, models), (y, models, -1.0))
        # A less accurate model is chosen only if no more accurate one is the base.
        more, less = np.triu_indices(len(y), 1)
        rows.add(-np.inf, 1, (b[more], less), (y, models))
        rows.add(-np.inf, 0, (s, models), (b, models, self.promised - 1))
        rows.add(0, 0, (s, 0), (u, 0, -self.shares))
        rows.add(self.promised, np.inf, (x, 0, self.shares[device] * self.fits[device, model]))
        return rows.matrix(s[-1] + 1)


class _Rows:
    """Constraints in the making: sparse rows with their bounds."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.intp], NDArray[np.intp], Floats]] = []
        self._bounds: list[Floats] = []
        self._count = 0

    def add(self, low: float, high: float, *terms: Any) -> None:
        """Adds rows with the same bounds.

        Args:
            low: Least value of each row.
            high: Largest value of each row.
            *terms: Columns, the rows that they are part of (counted from 0), and their factors (1 if missing).
        """
        count = 0
        for columns, numbers, *factors in terms:
            own = np.broadcast_to(np.asarray(numbers, np.intp), columns.shape)
            values = np.broadcast_to(np.asarray(factors[0] if factors else 1.0, np.float64), columns.shape)
            self._parts.append((own + self._count, columns, values))
            count = max(count, int(own.max(initial=-1)) + 1)
        self._bounds.append(np.tile([low, high], (count, 1)))
        self._count += count

    def matrix(self, columns: int) -> tuple[Any, Floats, Floats]:
        """The sparse matrix, and the bounds of its rows."""
        from scipy.sparse import coo_array

        at, of, factors = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        low, high = np.concatenate(self._bounds).T
        return coo_array((factors, (at, of)), shape=(self._count, columns)).tocsr(), low, high
