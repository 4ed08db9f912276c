"""The shape of a device's latencies over one space: what is known before measuring, and the table fitted afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.gp import NOISE, SLOPE, Design, Posterior, Sizes, fit
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.space.space import Codes, SearchSpace

_POPULATION = 1000
_MOST_DIRECTIONS = 6
_SAME = 1e-9


@dataclass(frozen=True)
class Prices:
    """A known shape that consists of prices of features, in units of a typical latency.

    With such a shape, fitted prices are kept non-negative.

    Attributes:
        mean: Price per unit of every feature, shape (F,).
        directions: Directions in which the prices of known devices differ, each one standard deviation long, shape
            (K, F).
    """

    mean: Floats
    directions: Floats


@dataclass(frozen=True)
class Shape:
    """The known shape of a device's latencies over a space.

    Attributes:
        space: The search space.
        population: Architectures by which latencies and columns are scaled, shape (n, decisions).
        mean: Latencies of the known shape, 1 on average.
        directions: Differences between known devices, each one standard deviation long.
        unit: Standard deviation of the price of each feature at unit size, shape (F,).
        centre: Features of an architecture whose latency does not change with these prices, shape (F,).
        sizes: Priors of the terms' sizes.
        prices: The prices, if `mean` and `directions` are made from prices of features.
    """

    space: SearchSpace
    population: Codes
    mean: AdditiveTable
    directions: tuple[AdditiveTable, ...]
    unit: Floats
    centre: Floats
    sizes: Sizes
    prices: Prices | None = None

    @cached_property
    def choices(self) -> Choices:
        """Columns for the contributions of single choices."""
        return Choices(self.space, self.population)

    def design(self, codes: Codes) -> Design:
        """Returns the inputs of the regression for architectures."""
        features = FeatureTable.of(self.space).of_codes(codes)
        directions = (
            np.stack([table.cost(codes) for table in self.directions], 1)
            if self.directions
            else np.zeros((len(codes), 0))
        )
        return Design(
            self.mean.cost(codes), (directions, (features - self.centre) * self.unit, self.choices.columns(codes))
        )

    def fit(self, design: Design, ms: Floats) -> Posterior:
        """Fits the regression to measured latencies.

        If the shape consists of prices of features and one of the fitted prices is negative, the most likely
        non-negative prices are used in place of the unconstrained ones.

        Args:
            design: Design of the measured architectures.
            ms: Their latencies in milliseconds.
        """
        found = fit(design, ms, self.sizes)
        return found if self.prices is None or (self._priced(found) >= 0).all() else self._nonnegative(found)

    def table(self, found: Posterior) -> AdditiveTable:
        """Returns the additive table of a result of `fit`, in milliseconds."""
        directions, physical, choices = found.coefficients
        if self.prices is not None:
            # Prices of 0 were computed as differences.
            total = np.maximum(self._priced(found), 0.0)
            parts = [
                (found.scale, FeatureTable.of(self.space).priced(total)),
                (found.scale, self.choices.table(choices)),
            ]
            return _tidy(self.space, _sum(parts))
        moved = physical * self.unit
        weights = found.scale * np.array([1 + found.slope, *directions, 1.0, 1.0])
        tables = [self.mean, *self.directions, FeatureTable.of(self.space).priced(moved), self.choices.table(choices)]
        table = _sum(list(zip(weights.tolist(), tables, strict=True)))
        return _tidy(self.space, replace(table, base=table.base - found.scale * float(moved @ self.centre)))

    def _known_prices(self, found: Posterior) -> Floats:
        """Prices per unit of every feature, before the deviations of single features, shape (F,)."""
        assert self.prices is not None
        total: Floats = self.prices.mean * (1 + found.slope) + found.coefficients[0] @ self.prices.directions
        return total

    def _priced(self, found: Posterior) -> Floats:
        """Prices per unit of every feature, shape (F,)."""
        return self._known_prices(found) + found.coefficients[1] * self.unit

    def _nonnegative(self, found: Posterior) -> Posterior:
        """Returns the regression with the most likely non-negative prices (whitened non-negative least squares)."""
        from scipy.optimize import nnls

        assert self.prices is not None
        known, squares = self.prices, np.exp(2 * found.sizes)
        # Prices are divided by their standard deviations, because they span many orders of magnitude. Features that the
        # space does not have are left out.
        used = self.unit > 0
        unit = self.unit[used]
        features, columns = found.design.terms[1][:, used], found.design.terms[2]
        values = found.residual + found.design.mean
        rest = squares[NOISE - 1] * columns @ columns.T + np.diag(found.noise)
        prior = SLOPE * np.outer(known.mean, known.mean) + squares[0] * known.directions.T @ known.directions
        prior = prior[np.ix_(used, used)] / np.outer(unit, unit) + squares[1] * np.eye(len(unit))
        prior_root, rest_root = np.linalg.cholesky(prior), np.linalg.cholesky(rest)
        rows = np.concatenate([np.linalg.solve(prior_root, np.eye(len(unit))), np.linalg.solve(rest_root, features)])
        right = np.concatenate(
            [np.linalg.solve(prior_root, known.mean[used] / unit), np.linalg.solve(rest_root, values)]
        )
        solution, _ = nnls(rows, right, maxiter=100 * rows.shape[1])
        physical = np.zeros(len(self.unit))
        physical[used] = solution - self._known_prices(found)[used] / unit
        choices: Floats = squares[NOISE - 1] * columns.T @ np.linalg.solve(rest, values - features @ solution)
        return replace(found, coefficients=(found.coefficients[0], physical, choices))


class Choices:
    """Columns of choices: one per choice, and another one times the pixels if the space has several resolutions.

    Args:
        space: The search space.
        population: Architectures by which the columns are centred and scaled.
    """

    def __init__(self, space: SearchSpace, population: Codes) -> None:
        self.space = space
        resolutions = np.array(space.resolutions, dtype=np.float64)
        self.pixels = (resolutions / resolutions.max()) ** 2
        known = self._raw(population)
        self.centre = known.mean(0)
        self.norm = max(float(np.sqrt(((known - self.centre) ** 2).sum(1).mean())), np.finfo(float).tiny)

    def _raw(self, codes: Codes) -> Floats:
        width = self.space.one_hot_width
        columns = np.empty((len(codes), 2 * width + 1 if len(self.pixels) > 1 else width))
        columns[:, :width] = self.space.one_hot(codes)
        if len(self.pixels) > 1:
            pixels = self.pixels[codes[:, 0].astype(np.intp)]
            np.multiply(columns[:, :width], pixels[:, None], out=columns[:, width:-1])
            columns[:, -1] = pixels
        return columns

    def columns(self, codes: Codes) -> Floats:
        """Returns centred columns, of unit length on average, shape (n, C)."""
        columns = self._raw(codes)
        columns -= self.centre
        columns /= self.norm
        return columns

    def table(self, coefficients: Floats) -> AdditiveTable:
        """Returns the additive table for coefficients of the columns, shape (C,)."""
        width, sizes = self.space.one_hot_width, self.space.sizes
        prices = coefficients / self.norm
        several = len(self.pixels) > 1
        growing, alone = (prices[width : 2 * width], float(prices[2 * width])) if several else (np.zeros(width), 0.0)
        exists = np.arange(int(sizes.max())) < sizes[:, None]
        choice = np.zeros((len(self.pixels), *exists.shape))
        choice[:, exists] = prices[:width] + growing * self.pixels[:, None]
        rows = self.space.rows
        # The contribution of a choice is the same in all contexts.
        return AdditiveTable(alone * self.pixels - prices @ self.centre, choice[:, rows.decision], rows)


def population(space: SearchSpace) -> Codes:
    """Returns a sample of architectures that represents a space; it is the same in every run."""
    return space.sample(_POPULATION, np.random.default_rng(0))


def pooled(space: SearchSpace, tables: Sequence[AdditiveTable], codes: Codes, sizes: Sizes) -> Shape:
    """Returns the shape that known devices have in common, with the directions in which they differ.

    Args:
        space: Any search space.
        tables: Latencies of known devices over the space, in any units.
        codes: Architectures that represent the space.
        sizes: Priors of the terms' sizes.
    """
    scaled = [_sum([(1 / float(table.cost(codes).mean()), table)]) for table in tables]
    shares, rows = directions_of(np.stack([table.cost(codes) for table in scaled], 1))
    mean, *directions = (_sum(list(zip(weights.tolist(), scaled, strict=True))) for weights in (shares, *rows))
    features = FeatureTable.of(space).of_codes(codes)
    # Features that are the same in all architectures differ by rounding errors only.
    deviation = np.where(np.ptp(features, axis=0) > _SAME * np.abs(features).max(0), features.std(0), 0.0)
    lengths = deviation * np.sqrt(max(int((deviation > 0).sum()), 1))
    unit = np.divide(1.0, lengths, out=np.zeros(len(FEATURES)), where=lengths > 0)
    return Shape(space, codes, mean, tuple(directions), unit, features.mean(0), sizes)


def directions_of(values: Floats) -> tuple[Floats, Floats]:
    """Returns the weights of devices whose weighted sums are their mean, and the directions in which they differ.

    Args:
        values: Latencies on every device, scaled to a mean of 1, shape (n, devices).

    Returns:
        Weights of the mean, shape (devices,), and of the directions, each one standard deviation long, largest first,
        shape (K, devices).
    """
    mean = values.mean(1)
    loadings = np.linalg.svd(values - mean[:, None], full_matrices=False)[2][
        : min(_MOST_DIRECTIONS, values.shape[1] - 1)
    ]
    lengths = np.sqrt((loadings**2).mean(1))
    rows: Floats = (loadings - loadings.mean(1, keepdims=True)) * lengths[:, None]
    return np.full(values.shape[1], 1 / values.shape[1]), rows


def _tidy(space: SearchSpace, table: AdditiveTable) -> AdditiveTable:
    """Rewrites a table without changing its costs.

    The costs of resolutions move into the base, and no decision that is always active has a negative price.
    """
    base, choice = table.base.copy(), table.choice.copy()
    resolutions = np.arange(len(base))
    base += choice[resolutions, 0, resolutions]
    choice[:, 0] = 0.0
    for d, (decision, size) in enumerate(zip(space.decisions, space.sizes.tolist(), strict=True)):
        if decision.active_if is None:
            own = choice[:, space.rows.of(d), :size]
            below = np.minimum(own.min((1, 2)), 0.0)
            own -= below[:, None, None]
            base += below
    return replace(table, base=base, choice=choice)


def _sum(parts: Sequence[tuple[float, AdditiveTable]]) -> AdditiveTable:
    first = parts[0][1]
    base, choice = np.zeros_like(first.base), np.zeros_like(first.choice)
    for weight, table in parts:
        base += weight * table.base
        choice += weight * table.choice
    return replace(first, base=base, choice=choice)
