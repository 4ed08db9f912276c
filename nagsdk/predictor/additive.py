"""Models top-1 as a sum over choices under a saturating link, so that an exact frontier can be computed.

Plain additive top-1 is a poor model, because an improvement is worth less the nearer an architecture is to the best of
the space. Under score = -log(asymptote - top1), improvements do add up, and a monotone link changes neither the order
of architectures nor their Pareto frontier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.predictor.features import Floats
from nagsdk.space.space import Codes, SearchSpace

# Added to the diagonal of the normal equations; weights have mean 1, so this counts as much as one architecture.
_RIDGE = 1.0
_NEAREST, _FARTHEST = 0.02, 20.0


@dataclass(frozen=True)
class AdditiveScore:
    """A score that is a sum over active decisions, with its link to top-1.

    Attributes:
        base: Score before any decision is added.
        table: Score that each choice adds, shape (decisions, largest number of choices); 0 where a decision has no such
            choice.
        asymptote: Top-1 in per cent that no architecture reaches.
    """

    base: float
    table: Floats
    asymptote: float

    def score(self, codes: Codes) -> Floats:
        """Returns the scores of architectures, shape (n,)."""
        gains = self.table[np.arange(codes.shape[1]), np.maximum(codes, 0)]
        result: Floats = self.base + np.where(codes >= 0, gains, 0.0).sum(1)
        return result

    def link(self, top1: ArrayLike) -> Floats:
        """Returns the score for a top-1 in per cent, which must be below the asymptote."""
        return link(np.asarray(top1, dtype=np.float64), self.asymptote)

    def inverse(self, score: ArrayLike) -> Floats:
        """Returns the top-1 in per cent for a score; it increases with the score and stays below the asymptote."""
        return inverse(np.asarray(score, dtype=np.float64), self.asymptote)


def link(top1: Floats, asymptote: float | Floats) -> Floats:
    """Computes -log(asymptote - top1)."""
    result: Floats = -np.log(asymptote - top1)
    return result


def inverse(score: Floats, asymptote: float | Floats) -> Floats:
    """Computes asymptote - exp(-score)."""
    result: Floats = asymptote - np.exp(-score)
    return result


def ridge(features: Floats, top1: Floats, asymptote: float) -> tuple[Floats, float]:
    """Fits a weighted ridge regression of the linked top-1.

    The weights (asymptote - top1)² turn residuals of the score into residuals in points of top-1.

    Args:
        features: Features, shape (n, f).
        top1: Top-1 in per cent, shape (n,).
        asymptote: Asymptote of the link in per cent, above every top-1.

    Returns:
        Coefficients, shape (f,), and the intercept.
    """
    target, weight = link(top1, asymptote), (asymptote - top1) ** 2
    weight /= weight.mean()
    centre, level = weight @ features / len(top1), weight @ target / len(top1)
    x = features - centre
    gram = (x * weight[:, None]).T @ x + _RIDGE * np.eye(x.shape[1])
    coefficients: Floats = np.asarray(np.linalg.solve(gram, (x * weight[:, None]).T @ (target - level)), np.float64)
    return coefficients, float(level - centre @ coefficients)


def fit_asymptote(features: Floats, top1: Floats, fold: NDArray[np.intp]) -> float:
    """Finds the asymptote with which an additive score predicts left-out architectures best.

    Args:
        features: Features, shape (n, f).
        top1: Top-1 in per cent, shape (n,).
        fold: Fold of every row; all measurements of one architecture have the same fold.

    Returns:
        Asymptote in per cent, found by a bounded search over its distance to the best top-1.
    """
    from scipy.optimize import minimize_scalar

    best, spread = float(top1.max()), float(top1.std())

    def error(log_gap: float) -> float:
        asymptote = best + spread * float(np.exp(log_gap))
        residual = np.empty_like(top1)
        for f in np.unique(fold):
            left_out = fold == f
            coefficients, intercept = ridge(features[~left_out], top1[~left_out], asymptote)
            predicted = inverse(features[left_out] @ coefficients + intercept, asymptote)
            residual[left_out] = predicted - top1[left_out]
        return float(np.mean(residual**2))

    # No network exceeds 100 %; far below that, the link is almost a straight line at a distance of 20 spreads.
    farthest = min(_FARTHEST, max((100.0 - best) / spread, 2 * _NEAREST))
    found = minimize_scalar(
        error, bounds=(np.log(_NEAREST), np.log(farthest)), method="bounded", options={"xatol": 0.02}
    )
    return best + spread * float(np.exp(found.x))


def fit_additive(space: SearchSpace, codes: Codes, top1: Floats, asymptote: float) -> AdditiveScore:
    """Fits the score to architectures with known (measured or predicted) top-1.

    Args:
        space: Search space of the architectures.
        codes: Codes of the architectures, shape (n, decisions).
        top1: Top-1 in per cent, shape (n,), below the asymptote.
        asymptote: Asymptote of the link in per cent; see `fit_asymptote`.
    """
    coefficients, intercept = ridge(space.one_hot(codes).astype(np.float64), top1, asymptote)
    table = np.zeros((len(space.sizes), int(space.sizes.max())))
    table[np.arange(table.shape[1]) < space.sizes[:, None]] = coefficients
    return AdditiveScore(intercept, table, asymptote)


def distil(
    space: SearchSpace,
    predict: Callable[[Codes], Floats],
    codes: Codes,
    asymptote: float,
    rng: np.random.Generator,
    count: int = 20_000,
    stray: float = 0.1,
) -> AdditiveScore:
    """Fits the score to the predictions of a predictor around the measured architectures.

    On left-out measurements, this is better than fitting to the measurements themselves, and better than fitting to
    architectures drawn from the whole space, where the predictor is less accurate.

    Args:
        space: Search space of the architectures.
        predict: Maps codes to the predicted top-1 in per cent, below the asymptote.
        codes: Codes of the measured architectures.
        asymptote: Asymptote of the link in per cent; see `fit_asymptote`.
        rng: Source of randomness of the sample.
        count: Number of architectures in the sample.
        stray: Share of the decisions of a measured architecture that are redrawn.
    """
    sample = codes[rng.integers(0, len(codes), count)]
    resolution = sample[:, 0]
    sample = space.mutate(sample, rng, stray)
    sample[:, 0] = resolution
    score = fit_additive(space, sample, predict(sample), asymptote)
    return with_unmeasured(score, predict, codes, np.setdiff1d(np.arange(len(space.resolutions)), codes[:, 0]))


def with_unmeasured(
    score: AdditiveScore, predict: Callable[[Codes], Floats], codes: Codes, unmeasured: NDArray[np.intp]
) -> AdditiveScore:
    """Fits the scores of resolutions without measurements to predictions for the measured architectures.

    Args:
        score: Score fitted at the measured resolutions.
        predict: Maps codes to the predicted top-1 in per cent, below the asymptote.
        codes: Codes of the measured architectures.
        unmeasured: Choice indices of the resolutions without measurements.
    """
    parents, table = np.unique(codes, axis=0), score.table.copy()
    rest = score.score(parents) - score.table[0, parents[:, 0]]
    for r in unmeasured:
        parents[:, 0] = r
        top1 = predict(parents)
        table[0, r] = np.average(score.link(top1) - rest, weights=(score.asymptote - top1) ** 2)
    return AdditiveScore(score.base, table, score.asymptote)
