"""Non-negative ridge regression towards a prior shape of free scale.

Minimises the squared relative errors of X w plus strength * |(w - s p) / h|^2 over w >= 0 and the scale s,
where p are the prior's weights and h says how far each may move: by its own size plus a small share of a
typical latency, so that a feature which costs nothing under the prior may come to cost something. The scale
leaves the problem by projection (the penalty counts only what is orthogonal to p), hence one non-negative
least squares (Lawson and Hanson, 1974) solves it. The strength is the one of smallest leave-one-out error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nagsdk.cost.table import Floats

STRENGTHS = tuple(np.logspace(-4, 2, 13).tolist())
_FREE_SHARE = 0.01


@dataclass(frozen=True)
class Fit:
    """A fitted non-negative linear model.

    Attributes:
        weights: Price per unit of every feature, shape (F,).
        strength: Of the pull towards the prior's shape.
        left_out: Prediction of every sample by a fit without it, shape (n,).
    """

    weights: Floats
    strength: float
    left_out: Floats


def fit(features: Floats, values: Floats, prior: Floats, counts: Floats | None = None, strength: float | None = None) -> Fit:
    """Fits the weights.

    Args:
        features: Of the samples, shape (n, F), n >= 2.
        values: Their positive latencies, shape (n,).
        prior: Weights of the prior, not all zero on the samples, shape (F,).
        counts: How often each sample counts, shape (n,); once where None.
        strength: Fixes the strength instead of choosing it.
    """
    problem = _Problem(features, values, prior, np.ones(len(values)) if counts is None else counts)
    every = range(len(values))
    best: Fit | None = None
    least = np.inf
    for candidate in STRENGTHS if strength is None else (strength,):
        left_out = np.array([features[i] @ problem.solve(candidate, np.delete(every, i)) for i in every])
        errors = (left_out / values - 1) ** 2 * problem.counts
        if errors.sum() < least:
            least = float(errors.sum())
            best = Fit(problem.solve(candidate, np.array(every)), candidate, left_out)
    assert best is not None
    return best


class _Problem:
    """The regression in relative terms, without its strength."""

    def __init__(self, features: Floats, values: Floats, prior: Floats, counts: Floats) -> None:
        expected = features @ prior
        scale = np.median(values / expected)
        mean = features.mean(0)
        used = mean > 0
        free = np.divide(_FREE_SHARE * expected.mean(), mean, out=np.zeros_like(mean), where=used)
        self.counts = counts
        self.unit = scale * (np.abs(prior) + free)
        self.used = used
        self.rows = (features * self.unit)[:, used] / values[:, None]
        direction = (scale * prior / np.where(self.unit > 0, self.unit, 1.0))[used]
        direction /= np.linalg.norm(direction)
        self.penalty = np.eye(len(direction)) - np.outer(direction, direction)
        self.direction = direction
        self.prior = scale * prior

    def solve(self, strength: float, samples: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        from scipy.optimize import nnls

        root = np.sqrt(self.counts[samples])
        # Squared projections are projections, so the rows of the penalty are the penalty itself.
        matrix = np.concatenate([self.rows[samples] * root[:, None], np.sqrt(strength) * self.penalty])
        solution, _ = nnls(matrix, np.concatenate([root, np.zeros(len(self.penalty))]), maxiter=100 * matrix.shape[1])
        weights = np.zeros(len(self.used))
        weights[self.used] = solution * self.unit[self.used]
        # What no sample shows keeps the prior's price at the fitted scale.
        fitted = float(solution @ self.direction / (self.direction @ self.direction))
        length = float(np.linalg.norm((self.prior / np.where(self.unit > 0, self.unit, 1.0))[self.used]))
        weights[~self.used] = self.prior[~self.used] * fitted / length
        return weights
