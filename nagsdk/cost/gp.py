"""Few-shot regression of latencies with linear Gaussian terms, whose sizes are estimated from the measurements.

In units of its scale, a latency is the sum of five terms: a known shape times (1 + slope), the directions in which
known devices differ, deviations of the prices of physical features from the known ones, contributions of single
choices, and noise in proportion to the latency. Every term is Gaussian, so the posterior is that of a Gaussian process
with linear kernels (Rasmussen and Williams, 2006, chapter 2), and its mean is additive over the choices of a space.

The sizes of the terms have log-normal priors. Their posterior mean is a weighted sum over quasi-random draws, with the
marginal likelihoods as weights; this needs no optimiser and is the same in every run. A reading that a model fitted
without it finds unlikely gets less weight: errors are assumed to follow Student's t (Lange, Little and Taylor, 1989),
and the readings are reweighted iteratively by standardised leave-one-out residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.quantiles import normal_quantile
from nagsdk.cost.table import Floats

TERMS = ("directions", "physical", "choices", "noise")
NOISE = TERMS.index("noise")
# Variance of the slope, so large that the scale of a device is practically free.
SLOPE = 4.0
_DRAWS = 128
# Degrees of freedom of Student's t that the errors are assumed to follow: most are small, some are large.
_FREEDOM = 3
_REWEIGHTINGS, _LEAST_TO_REWEIGHT = 8, 8
_FOLDS = 20
_JITTER = 1e-9
# Least latency, as a share of a typical one, that deviations are divided by: an additive shape that approximates
# devices whose costs are not exactly additive may come close to zero.
_LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Sizes:
    """Log-normal priors of the terms' standard deviations, in the order of `TERMS`, in units of a typical latency.

    Attributes:
        medians: Natural logarithms of the medians, shape (4,).
        spreads: Standard deviations of the logarithms, shape (4,).
    """

    medians: Floats
    spreads: Floats


@dataclass(frozen=True)
class Design:
    """Inputs of the regression for n architectures.

    Attributes:
        mean: Latencies of the architectures in the known shape, 1 on average, shape (n,).
        terms: Columns of directions, physical features and choices, shapes (n, K), (n, F), (n, C).
    """

    mean: Floats
    terms: tuple[Floats, Floats, Floats]

    def at(self, rows: NDArray[np.bool_]) -> Design:
        """Returns the design of some of the architectures."""
        directions, physical, choices = (term[rows] for term in self.terms)
        return Design(self.mean[rows], (directions, physical, choices))

    def kernels(self, other: Design) -> Floats:
        """Returns the covariances of the terms at unit sizes, shape (3, n, n of `other`)."""
        return np.stack([mine @ theirs.T for mine, theirs in zip(self.terms, other.terms, strict=True)])


@dataclass(frozen=True)
class Posterior:
    """Result of the regression.

    Attributes:
        design: Design of the measured architectures.
        scale: Milliseconds of one unit of the known shape.
        slope: Relative deviation from the known shape as a whole.
        coefficients: Coefficients of the columns of every term, shapes (K,), (F,), (C,).
        sizes: Logarithms of the terms' standard deviations, shape (4,).
        residual: Measured latency divided by the scale, minus the known shape, shape (n,).
        noise: Variances of the measurements divided by the square of the scale, shape (n,).
        inverse: Inverse of the covariance of the measurements, shape (n, n).
    """

    design: Design
    scale: float
    slope: float
    coefficients: tuple[Floats, Floats, Floats]
    sizes: Floats
    residual: Floats
    noise: Floats
    inverse: Floats

    def predict(self, design: Design) -> tuple[Floats, Floats]:
        """Returns means and standard deviations in milliseconds (noise of a median included), shapes (n,)."""
        mean = design.mean * (1 + self.slope)
        for columns, found in zip(design.terms, self.coefficients, strict=True):
            mean = mean + columns @ found
        squares = np.exp(2 * self.sizes)
        across = np.tensordot(squares[:NOISE], design.kernels(self.design), 1) + SLOPE * np.outer(
            design.mean, self.design.mean
        )
        own = SLOPE * design.mean**2 + sum(
            s * (term**2).sum(1) for s, term in zip(squares[:NOISE], design.terms, strict=True)
        )
        variance = np.maximum(own - ((across @ self.inverse) * across).sum(1), 0.0) + squares[NOISE] * mean**2
        return self.scale * mean, self.scale * np.sqrt(variance)


def fit(design: Design, values: Floats, sizes: Sizes) -> Posterior:
    """Fits the terms to measured latencies.

    Args:
        design: Design of the measured architectures, n >= 2.
        values: Measured latencies in milliseconds, shape (n,).
        sizes: Priors of the sizes of the terms.
    """
    scale = float(np.median(values / design.mean))
    observed = values / scale
    residual = observed - design.mean
    kernels = design.kernels(design)
    shape = SLOPE * np.outer(design.mean, design.mean)
    mean_size = _MeanSize(sizes, kernels, shape, residual)
    doubt = np.ones(len(values))
    for turn in range(_REWEIGHTINGS + 1):
        found = mean_size(observed**2 * doubt)
        noise = np.exp(2 * found[NOISE]) * observed**2 * doubt + _JITTER
        inverse = np.asarray(
            np.linalg.inv(np.tensordot(np.exp(2 * found[:NOISE]), kernels, 1) + shape + np.diag(noise)),
            dtype=np.float64,
        )
        dual, precision = inverse @ residual, np.diag(inverse)
        if turn == _REWEIGHTINGS or len(values) < _LEAST_TO_REWEIGHT:
            break
        without = np.maximum(1 / precision - noise, 0.0) + np.exp(2 * found[NOISE]) * observed**2
        doubt = np.maximum(1.0, (_FREEDOM + (dual / precision) ** 2 / without) / (_FREEDOM + 1))
    directions, physical, choices = (
        np.exp(2 * s) * term.T @ dual for s, term in zip(found[:NOISE], design.terms, strict=True)
    )
    return Posterior(
        design,
        scale,
        float(SLOPE * design.mean @ dual),
        (directions, physical, choices),
        found,
        residual,
        noise,
        inverse,
    )


def left_out(fitted: Callable[[Design, Floats], Posterior], design: Design, values: Floats) -> tuple[Floats, Floats]:
    """Predicts every measured latency by a regression that was fitted without it.

    Sizes, scale and weights of readings are found again each time: with those of the whole set, which has seen the
    reading, the errors would be too small. Beyond twenty samples, several are left out at once.

    Args:
        fitted: Fits the regression, such as `Shape.fit`.
        design: Design of the measured architectures, n >= 3.
        values: Measured latencies in milliseconds, shape (n,).

    Returns:
        Means and standard deviations in milliseconds, as `Posterior.predict` returns them, shapes (n,).
    """
    result = np.empty((2, len(values)))
    part = parts(len(values))
    for number in range(part.max() + 1):
        without = part != number
        result[:, ~without] = fitted(design.at(without), values[without]).predict(design.at(~without))
    return result[0], result[1]


def parts(count: int) -> NDArray[np.intp]:
    """Returns the number of the part with which each of several samples is left out, shape (count,)."""
    result: NDArray[np.intp] = np.arange(count) % min(count, _FOLDS)
    return result


class _MeanSize:
    """The posterior mean of the logarithms of the sizes, for different weights of the readings.

    Args:
        sizes: Priors of the sizes.
        kernels: Covariances of the terms at unit sizes, shape (3, n, n).
        shape: Covariance that does not depend on the sizes, shape (n, n).
        residual: Measured latency divided by the scale, minus the known shape, shape (n,).
    """

    def __init__(self, sizes: Sizes, kernels: Floats, shape: Floats, residual: Floats) -> None:
        n = len(residual)
        self._draws = sizes.medians + sizes.spreads * _normal_draws(len(TERMS))
        # The last row of the factor of a bordered matrix solves the system with the border on the right-hand side.
        # Any corner will do that leaves the matrix positive definite.
        self._bordered = np.empty((len(self._draws), n + 1, n + 1))
        self._bordered[:, :n, :n] = np.tensordot(np.exp(2 * self._draws[:, :NOISE]), kernels, 1) + shape
        self._bordered[:, n, :n] = self._bordered[:, :n, n] = residual
        self._bordered[:, n, n] = 1 + residual @ residual / _JITTER
        self._diagonal = np.arange(n)
        self._without_noise = self._bordered[:, self._diagonal, self._diagonal] + _JITTER
        self._noise = np.exp(2 * self._draws[:, NOISE:])

    def __call__(self, noise: Floats) -> Floats:
        """Returns the mean, shape (4,), for variances of the readings at unit size, shape (n,)."""
        self._bordered[:, self._diagonal, self._diagonal] = self._without_noise + self._noise * noise
        factor = np.linalg.cholesky(self._bordered)
        white, pivots = factor[:, -1, :-1], factor[:, self._diagonal, self._diagonal]
        likelihood = -0.5 * (white**2).sum(1) - np.log(pivots).sum(1)
        weight = np.exp(likelihood - likelihood.max())
        mean: Floats = weight @ self._draws / weight.sum()
        return mean


@cache
def _normal_draws(dimensions: int) -> Floats:
    """Returns quasi-random standard normal draws, shape (128, dimensions).

    They come from the additive recurrence of least discrepancy (Roberts, 2018).
    """
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    uniform = (0.5 + np.arange(1, _DRAWS + 1)[:, None] * steps) % 1
    return np.array([[normal_quantile(value) for value in row] for row in uniform.tolist()])


def most_informative(
    candidates: Design, population: Design, count: int, sizes: Sizes, noise: float, given: int = 0
) -> list[int]:
    """Picks, one after the other, the candidates whose measurement makes the population's latencies most certain.

    This is active learning by expected variance (Cohn, 1996): each pick is the one that reduces the mean relative
    variance of the population most.

    Args:
        candidates: Architectures that may be measured.
        population: Architectures whose latencies will be predicted.
        count: Number of candidates to pick.
        sizes: Priors of the sizes of the terms; their medians are used.
        noise: Relative standard deviation of a measurement.
        given: Number of first candidates that are picked in any case.

    Returns:
        Indices of the picked candidates, the given ones first.
    """
    directions, physical, choices = (
        np.concatenate(pair) for pair in zip(candidates.terms, population.terms, strict=True)
    )
    both = Design(np.concatenate([candidates.mean, population.mean]), (directions, physical, choices))
    covariance = np.tensordot(np.exp(2 * sizes.medians[:NOISE]), candidates.kernels(both), 1)
    typical = np.maximum(both.mean, _LEAST_SHARE)
    covariance = (covariance + SLOPE * np.outer(candidates.mean, both.mean)) / np.outer(
        typical[: len(candidates.mean)], typical
    )
    size = len(candidates.mean)
    chosen: list[int] = []
    for number in range(min(count, size)):
        variance = np.diag(covariance[:, :size])
        gain = (covariance[:, size:] ** 2).mean(1) / (variance + noise**2)
        gain[chosen] = -1.0
        pick = number if number < given else int(gain.argmax())
        chosen.append(pick)
        covariance = covariance - np.outer(covariance[:, pick], covariance[pick]) / (variance[pick] + noise**2)
    return chosen
