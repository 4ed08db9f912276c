"""What is known of a kind of device, mixed with a regression that knows nothing of it, as the measurements advise.

A known shape (a shipped prior, or a pool of devices) helps on devices of its kind and harms on others. So the
measurements are also explained without it, by physical features alone. Both predict every measured latency without
having seen it, and the weight of the known shape is the one whose mixture predicts best. A mixture must also order the
measured architectures no worse than the known shape alone does: a search needs their order, and few errors are a weak
reason to give up a shape that orders well. Nor may a single measurement be the reason: the known shape keeps all its
weight if it would do so without any one of them. The mixture of two additive tables is additive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import Posterior, left_out, parts
from nagsdk.cost.prior import flat_prior
from nagsdk.cost.shape import Shape
from nagsdk.cost.table import AdditiveTable, Floats, mixed
from nagsdk.space.space import Codes

# The errors of left-out predictions are taken to follow Student's t with three degrees of freedom, like those of the
# regression. Without the known shape, the logarithm of the likelihood must be higher by this much divided by the fourth
# power of the number of samples (256 for five, 16 for ten, 1 for twenty): few errors say little about either.
_FREEDOM, _DOUBT = 3, 160_000.0
# Ratio of the scale of the errors to their median absolute value, about that of a normal distribution.
_SCALE = 1.5
_WEIGHTS = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Blend:
    """Two regressions on the same measurements and their weights; a weight of 1 leaves a single one.

    Attributes:
        codes: The measured architectures.
        shapes: The known shape, and the one that knows nothing.
        posteriors: Their regressions.
        trust: Weight of the known shape.
    """

    codes: Codes
    shapes: tuple[Shape, ...]
    posteriors: tuple[Posterior, ...]
    trust: float

    @classmethod
    def of(cls, known: Shape, codes: Codes, ms: Floats, trust: float) -> Blend:
        """Fits both regressions, or the one that has all the weight."""
        shapes = (*([known] if trust > 0 else []), *([_unknown(known)] if trust < 1 else []))
        return cls(codes, shapes, tuple(s.fit(s.design(codes), ms) for s in shapes), trust)

    @property
    def _weights(self) -> Floats:
        return np.ones(1) if len(self.shapes) == 1 else np.array([self.trust, 1 - self.trust])

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Returns means and standard deviations in milliseconds; the errors count as the same, which is cautious."""
        parts = [p.predict(s.design(codes)) for s, p in zip(self.shapes, self.posteriors, strict=True)]
        mean, deviation = np.tensordot(self._weights, np.array(parts), 1)
        return mean, deviation

    def table(self) -> AdditiveTable:
        """Returns the additive table in milliseconds."""
        tables = [s.table(p) for s, p in zip(self.shapes, self.posteriors, strict=True)]
        return tables[0] if len(tables) == 1 else mixed(tables, self._weights)


def judged(known: Shape, codes: Codes, ms: Floats, alone: bool) -> tuple[float, Floats, Floats]:
    """Judges a known shape by the measurements themselves.

    Args:
        known: The known shape.
        codes: The measured architectures.
        ms: Their latencies in milliseconds.
        alone: Whether the shape gets all the weight, because it knows nothing itself.

    Returns:
        Weight of the known shape; means and standard deviations of the mixture for every measured latency, from
        regressions that were fitted without it.
    """
    first = left_out(known.fit, known.design(codes), ms)
    if alone:
        return 1.0, *first
    unknown = _unknown(known)
    both = np.array([first, left_out(unknown.fit, unknown.design(codes), ms)])
    means = np.outer(_WEIGHTS, both[0, 0]) + np.outer(1 - _WEIGHTS, both[1, 0])
    part = parts(len(ms))
    weights = _weights(means, ms, part)
    # The weight with which a sample is predicted must not know the sample either.
    trust, without = float(weights[-1]), weights[part]
    shares = np.array([without, 1 - without])
    return trust, (shares * both[:, 0]).sum(0), (shares * both[:, 1]).sum(0)


def _weights(means: Floats, ms: Floats, part: NDArray[np.intp]) -> Floats:
    """Chooses the weight of the known shape without each part of the samples, and with all of them.

    Args:
        means: Left-out predictions of every mixture, shape (weights, n).
        ms: Measured latencies, shape (n,).
        part: Number of the part of every sample, shape (n,).

    Returns:
        Weights, shape (parts + 1,); the last one knows all samples.
    """
    error = np.abs(means / ms - 1)
    # Smaller relative errors are rounding.
    scale = max(_SCALE * float(np.median(error, axis=1).min()), np.finfo(float).eps)
    loss = (_FREEDOM + 1) / 2 * np.log1p((error / scale) ** 2 / _FREEDOM)
    count = part.max() + 1
    of_part = np.eye(count)[part]
    order = np.array([of_part.T @ _order(predicted, ms) @ of_part for predicted in means])
    # Which parts are kept when up to two are missing; the last row of each axis stands for none.
    kept = ~np.eye(count + 1, count, dtype=bool)
    kept = kept[:, None] & kept
    doubt = _DOUBT / (kept @ of_part.sum(0)) ** 4
    total = kept @ (loss @ of_part).T + doubt[..., None] * (1 - _WEIGHTS)
    ordered = np.einsum("wpq,ijp,ijq->ijw", order, kept, kept, optimize=True)
    best = len(_WEIGHTS) - 1 - total[..., ::-1].argmin(-1)
    best[np.take_along_axis(ordered, best[..., None], -1)[..., 0] < ordered[..., -1]] = len(_WEIGHTS) - 1
    chosen = _WEIGHTS[best]
    result: Floats = np.where(chosen.max(1) < 1, chosen[:, -1], 1.0)
    return result


def _order(predicted: Floats, ms: Floats) -> Floats:
    """Returns 1 for every pair of samples in the right order and -1 for one in the wrong order, shape (n, n)."""
    result: Floats = np.sign(np.subtract.outer(predicted, predicted) * np.subtract.outer(ms, ms))
    return result


def _unknown(known: Shape) -> Shape:
    """Returns the shape over the same space that knows nothing."""
    return flat_prior(FeatureTable.of(known.space)).on(known.space)
