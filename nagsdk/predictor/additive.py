"""Top-1 as a sum over choices under a saturating link: what an exact frontier can be computed of.

Plain additive top-1 is a poor model, because every improvement is worth less the nearer an architecture
is to the best that the space can do. Under score = -log(asymptote - top1) improvements do add up, and a
monotone link changes neither the order of architectures nor their Pareto frontier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nagsdk.predictor.features import Floats
from nagsdk.space.space import Codes, SearchSpace

# Added to the diagonal of the normal equations; weights have mean 1, so this is worth one architecture.
_RIDGE = 1.0
_NEAREST, _FARTHEST = 0.02, 20.0


@dataclass(frozen=True)
class AdditiveScore:
    """A score that is a sum over active decisions, and its link to top-1.

    Attributes:
        base: Score before any decision.
        table: Score that each choice adds, shape (decisions, most choices); 0 where there is no such choice.
        asymptote: Top-1 in per cent that no architecture reaches.
    """

    base: float
    table: Floats
    asymptote: float

    def score(self, codes: Codes) -> Floats:
        """Scores of architectures, shape (n,)."""
        gains = self.table[np.arange(codes.shape[1]), np.maximum(codes, 0)]
        result: Floats = self.base + np.where(codes >= 0, gains, 0.0).sum(1)
        return result

    def link(self, top1: ArrayLike) -> Floats:
        """Score of a top-1 in per cent, which must lie below the asymptote."""
        return link(np.asarray(top1, dtype=np.float64), self.asymptote)

    def inverse(self, score: ArrayLike) -> Floats:
        """Top-1 in per cent of a score; increasing, below the asymptote."""
        return inverse(np.asarray(score, dtype=np.float64), self.asymptote)


def link(top1: Floats, asymptote: float | Floats) -> Floats:
    """-log(asymptote - top1)."""
    result: Floats = -np.log(asymptote - top1)
    return result


def inverse(score: Floats, asymptote: float | Floats) -> Floats:
    """Asymptote - exp(-score)."""
    result: Floats = asymptote - np.exp(-score)
    return result


def ridge(features: Floats, top1: Floats, asymptote: float) -> tuple[Floats, float]:
    """Weighted ridge regression of the linked top-1.

    Weights (asymptote - top1)² make a residual of the score count as what it is in points of top-1.

    Args:
        features: Shape (n, f).
        top1: Per cent, shape (n,).
        asymptote: Above every top-1.

    Returns:
        Coefficients, shape (f,), and intercept.
    """
    target, weight = link(top1, asymptote), (asymptote - top1) ** 2
    weight /= weight.mean()
    centre, level = weight @ features / len(top1), weight @ target / len(top1)
    x = features - centre
    gram = (x * weight[:, None]).T @ x + _RIDGE * np.eye(x.shape[1])
    coefficients: Floats = np.asarray(np.linalg.solve(gram, (x * weight[:, None]).T @ (target - level)), np.float64)
    return coefficients, float(level - centre @ coefficients)


def fit_asymptote(features: Floats, top1: Floats, fold: NDArray[np.intp]) -> float:
    """The asymptote under which an additive score predicts left-out architectures best.

    Args:
        features: Shape (n, f).
        top1: Per cent, shape (n,).
        fold: Fold of every row; all measurements of one architecture share one.

    Returns:
        Per cent, found by a bounded search over the distance to the best top-1.
    """
    from scipy.optimize import minimize_scalar

    best, spread = float(top1.max()), float(top1.std())

    def error(log_gap: float) -> float:
        asymptote = best + spread * float(np.exp(log_gap))
        residual = np.empty_like(top1)
        for f in np.unique(fold):
            out = fold == f
            coefficients, intercept = ridge(features[~out], top1[~out], asymptote)
            residual[out] = inverse(features[out] @ coefficients + intercept, asymptote) - top1[out]
        return float(np.mean(residual**2))

    # No network passes 100 %; far below that, a distance of 20 spreads is a straight line already.
    farthest = min(_FARTHEST, max((100.0 - best) / spread, 2 * _NEAREST))
    found = minimize_scalar(
        error, bounds=(np.log(_NEAREST), np.log(farthest)), method="bounded", options={"xatol": 0.02}
    )
    return best + spread * float(np.exp(found.x))


def fit_additive(space: SearchSpace, codes: Codes, top1: Floats, asymptote: float) -> AdditiveScore:
    """Fits the score to architectures of known (measured or predicted) top-1.

    Args:
        space: Any search space.
        codes: Shape (n, decisions).
        top1: Per cent, shape (n,), below the asymptote.
        asymptote: See `fit_asymptote`.
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
    """Fits the score to what a predictor says around the measured architectures.

    On measurements left out this serves better than fitting to the measurements themselves, and better
    than fitting to architectures drawn from the whole space, where the predictor knows less.

    Args:
        space: Any search space.
        predict: Top-1 in per cent of codes, below the asymptote.
        codes: The measured architectures.
        asymptote: See `fit_asymptote`.
        rng: Of the sample.
        count: Architectures that are drawn.
        stray: Share of the decisions that are redrawn.
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
    """Gives resolutions without measurements the column that fits the measured architectures best there.

    Args:
        score: Fitted at the measured resolutions.
        predict: Top-1 in per cent of codes, below the asymptote.
        codes: The measured architectures.
        unmeasured: Choice indices of the resolutions.
    """
    parents, table = np.unique(codes, axis=0), score.table.copy()
    rest = score.score(parents) - score.table[0, parents[:, 0]]
    for r in unmeasured:
        parents[:, 0] = r
        top1 = predict(parents)
        table[0, r] = np.average(score.link(top1) - rest, weights=(score.asymptote - top1) ** 2)
    return AdditiveScore(score.base, table, score.asymptote)
