"""Finds how much the top-1 on a bundle's test images differs from that on the images of its predictor."""

from __future__ import annotations

import math

import numpy as np

from nagsdk.bundle.description import Footing
from nagsdk.predictor.features import Floats
from nagsdk.predictor.model import LEVEL, AccuracyPredictor
from nagsdk.space.space import Codes, SearchSpace
from nagsdk.supernet.evaluate import wilson
from nagsdk.supernet.processes import Ranks
from nagsdk.training.subnets import Evaluate, near_frontier, new_codes

TESTS = "the bundle's test images"
# The offset is that of architectures near the frontier, as deployed ones are; the interval holds for others too.
_NEAR, _ANYWHERE, _DRAWN = 24, 12, 10_000


def footing_of(
    space: SearchSpace,
    predictor: AccuracyPredictor | None,
    known: Codes,
    evaluate: Evaluate,
    predicted_on: str,
    seed: int = 0,
    ranks: Ranks | None = None,
    counts: tuple[int, int] = (_NEAR, _ANYWHERE),
    tests: int | None = None,
) -> Footing:
    """Measures subnets that the predictor does not know on the test images, and compares them with its predictions.

    Args:
        space: Search space of the subnets.
        predictor: The accuracy predictor; processes but the first may have none, and get no figures.
        known: Codes of the subnets that it was fitted to, int8, shape (n, decisions).
        evaluate: Measures the top-1 of architectures in per cent on the bundle's test images, or on others of the same
            kind too; every process calls it.
        predicted_on: The images that the predictor is about.
        seed: Seed of the choice of subnets.
        ranks: Processes that share the measuring.
        counts: Number of subnets near the frontier, and anywhere.
        tests: Number of the images that `evaluate` measures on, if predictions are about all images of their kind. Then
            the half-width has their sampling error (Wilson, 1927) too; of few images, all subnets together may gain or
            lose points by chance. None if predictions are about these very images.
    """
    ranks, (near, anywhere) = ranks or Ranks(), counts
    codes = np.zeros((near + anywhere, known.shape[1]), np.int8)
    if predictor is not None:
        codes = _unknown(space, predictor, known, seed, near, anywhere)
    codes = ranks.sum(codes.astype(np.float64) * ranks.first).astype(np.int8)
    top1 = evaluate(space.decode(codes))
    if predictor is None:
        return Footing(predicted_on=predicted_on, measured_on=TESTS)
    # Those near the frontier were chosen for their predicted top-1, which is lowered wherever it is shown.
    expected = np.concatenate([predictor.of_chosen(codes[:near]).mean, predictor.predict(codes[near:]).mean])
    offset, half_width = offset_of(predictor, codes, top1 - expected, near)
    if tests is not None:
        low, high = wilson(float(top1[:near].mean()) / 100, tests, LEVEL)
        half_width = round(math.hypot(half_width, 50 * (high - low)), 3)
    return Footing(
        predicted_on=predicted_on, measured_on=TESTS, offset=offset, half_width=half_width, subnets=len(codes)
    )


def offset_of(predictor: AccuracyPredictor, codes: Codes, differences: Floats, near: int) -> tuple[float, float]:
    """Returns the offset and the half-width of a footing, rounded to 0.001 points.

    The half-width is the smallest with which the intervals cover 90 % of the subnets (conformal prediction: of n
    subnets, the rank is that of 90 % of n + 1). Those that the offset rests on are compared with that of the others.

    Args:
        predictor: The accuracy predictor.
        codes: Codes of subnets that it was not fitted to, int8, shape (n, decisions).
        differences: Their top-1 on the test images less the predicted one in points, shape (n,).
        near: Number of subnets near the frontier, which come first; the offset is their mean difference.
    """
    predicted, count = predictor.predict(codes), len(differences)
    offset = float(differences[:near].mean())
    errors = differences - offset
    errors[:near] *= near / (near - 1)
    missing = np.sqrt(np.maximum(errors**2 - ((predicted.high - predicted.low) / 2) ** 2, 0.0))
    rank = min(math.ceil(LEVEL * (count + 1)), count)
    return round(offset, 3), round(float(np.sort(missing)[rank - 1]), 3)


def _unknown(
    space: SearchSpace, predictor: AccuracyPredictor, known: Codes, seed: int, near: int, anywhere: int
) -> Codes:
    """Subnets near the frontier and anywhere that the predictor was not fitted to."""
    best = near_frontier(space, lambda codes: predictor.predict(codes).mean, known, near, seed)
    others = new_codes(space.sample(_DRAWN, np.random.default_rng(seed)), np.vstack([known, best]))
    return np.vstack([best, others[:anywhere]])
