"""What is known of a kind of device, mixed with a regression that knows nothing of it, as the measurements advise.

A known shape (a shipped prior, or a pool of devices) helps on devices of its kind and harms on others. So the
measurements are also explained without it, by physical features alone. Both predict every measured latency without
having seen it, and the weight of the known shape is the one whose mixture predicts best. A mixture must also order the
measured architectures no worse than the known shape alone does: a search needs their order, and few errors are a weak
reason to give up a shape that orders well. The mixture of two additive tables is additive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import Posterior, left_out
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
    parts = np.array([first, left_out(unknown.fit, unknown.design(codes), ms)])
    means = np.outer(_WEIGHTS, parts[0, 0]) + np.outer(1 - _WEIGHTS, parts[1, 0])
    mixture = np.abs(means / ms - 1)
    scale = max(_SCALE * float(np.median(mixture, axis=1).min()), np.finfo(float).tiny)
    with np.errstate(over="ignore"):  # where the scale is as good as 0, losses are infinite
        loss = (_FREEDOM + 1) / 2 * np.log1p((mixture / scale) ** 2 / _FREEDOM)
    doubt = _DOUBT / len(ms) ** 4 * (1 - _WEIGHTS)

    def weight(rows: NDArray[np.bool_]) -> float:
        total = loss[:, rows].sum(1) + doubt
        best = len(_WEIGHTS) - 1 - total[::-1].argmin()
        mixed_order, known_order = (_order(means[number, rows], ms[rows]) for number in (best, -1))
        return float(_WEIGHTS[best]) if mixed_order >= known_order else 1.0

    trust = weight(np.ones(len(ms), bool))
    # The weight with which a sample is predicted must not know the sample either.
    without = [weight(rows) for rows in ~np.eye(len(ms), dtype=bool)]
    shares = np.array([without, 1 - np.array(without)])
    return trust, (shares * parts[:, 0]).sum(0), (shares * parts[:, 1]).sum(0)


def _order(predicted: Floats, ms: Floats) -> float:
    """Returns the number of pairs in the right order less that in the wrong one, each pair counted twice."""
    return float(np.sum(np.sign(np.subtract.outer(predicted, predicted) * np.subtract.outer(ms, ms))))


def _unknown(known: Shape) -> Shape:
    """Returns the shape over the same space that knows nothing."""
    return flat_prior(FeatureTable.of(known.space)).on(known.space)
