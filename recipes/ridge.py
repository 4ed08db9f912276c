"""Non-negative ridge regression towards a flat prior of free scale.

Minimises the squared relative errors of X w plus strength * |(w - s p) / h|^2 over w >= 0 and the scale s. The prior p
are prices under which all features cost the same on the mean sample. h says how far each price may move: by its own
size plus a small share of a typical latency. A projection eliminates the scale (the penalty counts only what is
orthogonal to p), so that one non-negative least squares problem (Lawson and Hanson, 1974) gives the solution.
"""

from __future__ import annotations

import numpy as np

from nagsdk.cost.table import Floats

FOLDS = 5
_FREE_SHARE = 0.01


def cross_validated(features: Floats, values: Floats, strength: float) -> tuple[Floats, Floats]:
    """Fits weights, and predicts every sample by a fit without the sample's fold.

    Args:
        features: Features of the samples, shape (n, F), n >= 2.
        values: Positive latencies of the samples, shape (n,).
        strength: Strength of the pull towards the flat prior.

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
    """Prices under which every feature costs the same on the mean sample, shape (F,).

    The price of a feature that no sample has is 0.
    """
    mean: Floats = features.mean(0)
    return np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)


def fit(features: Floats, values: Floats, prior: Floats, strength: float) -> Floats:
    """Fits weights, shape (F,).

    Args:
        features: Features of the samples, shape (n, F), n >= 2.
        values: Positive latencies of the samples, shape (n,).
        prior: Prices towards which the fit is pulled, at a scale that is fitted too; not all zero on the samples, shape
            (F,).
        strength: Strength of the pull.
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
    # A feature that no sample has keeps the prior's price at the fitted scale.
    weights[~used] = scale * prior[~used] * float(solution @ direction) / length
    return weights
