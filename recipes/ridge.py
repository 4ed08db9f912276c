"""Non-negative ridge regression towards a flat prior of free scale.

Minimises the squared relative errors of X w plus strength * |(w - s p) / h|^2 over w >= 0 and the scale s,
where p are prices under which every feature costs as much as the others on the mean sample, and h says how far each may move: by
its own size plus a small share of a typical latency. The scale leaves the problem by projection (the penalty counts only what is
orthogonal to p), hence one non-negative least squares (Lawson and Hanson, 1974) solves it.
"""

from __future__ import annotations

import numpy as np

from nagsdk.cost.table import Floats

FOLDS = 5
_FREE_SHARE = 0.01


def cross_validated(features: Floats, values: Floats, strength: float) -> tuple[Floats, Floats]:
    """Fitted weights, and the prediction of every sample by a fit without its fold.

    Args:
        features: Of the samples, shape (n, F), n >= 2.
        values: Their positive latencies, shape (n,).
        strength: Of the pull towards the flat prior.

    Returns:
        Price per unit of every feature, shape (F,); predictions, shape (n,).
    """
    fold = np.random.default_rng(0).permutation(len(values)) % FOLDS
    predicted = np.zeros(len(values))
    prior = flat(features)
    for f in range(FOLDS):
        predicted[fold == f] = features[fold == f] @ fit(features[fold != f], values[fold != f], prior, strength)
    return fit(features, values, prior, strength), predicted


def flat(features: Floats) -> Floats:
    """Prices under which every feature costs the same on the mean sample, shape (F,); none for a feature that no sample shows."""
    mean: Floats = features.mean(0)
    return np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)


def fit(features: Floats, values: Floats, prior: Floats, strength: float) -> Floats:
    """Fitted weights, shape (F,).

    Args:
        features: Of the samples, shape (n, F), n >= 2.
        values: Their positive latencies, shape (n,).
        prior: Prices that the fit is pulled towards at a scale of its own, not all zero on the samples, shape (F,).
        strength: Of the pull.
    """
    from scipy.optimize import nnls

    expected = features @ prior
    scale = np.median(values / expected)
    mean = features.mean(0)
    used = mean > 0
    unit = scale * (np.abs(prior) + np.divide(_FREE_SHARE * expected.mean(), mean, out=np.zeros_like(mean), where=used))
    shape = np.divide(scale * prior, unit, out=np.zeros_like(unit), where=unit > 0)[used]
    length = float(np.linalg.norm(shape))
    direction = shape / length
    # Squared projections are projections, so the rows of the penalty are the penalty itself.
    penalty = np.eye(len(direction)) - np.outer(direction, direction)
    matrix = np.concatenate([(features * unit)[:, used] / values[:, None], np.sqrt(strength) * penalty])
    solution, _ = nnls(
        matrix, np.concatenate([np.ones(len(values)), np.zeros(len(penalty))]), maxiter=100 * matrix.shape[1]
    )
    weights = np.zeros(len(used))
    weights[used] = solution * unit[used]
    # What no sample shows keeps the prior's price at the fitted scale.
    weights[~used] = scale * prior[~used] * float(solution @ direction) / length
    return weights
