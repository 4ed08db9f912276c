"""An accuracy predictor that repeats published figures: a table in the form of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nagsdk.predictor.additive import AdditiveScore, link
from nagsdk.predictor.ensemble import Ensemble
from nagsdk.predictor.features import Floats
from nagsdk.predictor.model import AccuracyPredictor, Interval, Resolutions
from nagsdk.space.space import SearchSpace

_ASYMPTOTE = 100.0
# A hidden unit is this large for its own architecture, and practically 0 for every other one.
_SHARP = 40.0


def published(
    space: SearchSpace, top1: Floats, half_width: Floats, own: Sequence[int], card: Mapping[str, Any]
) -> AccuracyPredictor:
    """Makes the predictor of a space with two decisions: the resolution, and which network.

    Every architecture has a hidden unit of its own. The two members of the ensemble differ by as much as the interval
    is wide.

    Args:
        space: The space.
        top1: Top-1 in per cent, shape (resolutions, networks).
        half_width: Half-widths of the 90 % intervals in points, of the same shape.
        own: Index of the resolution at which each network was measured; the others count as extrapolated.
        card: Data and accuracy of the predictor, which can be written as JSON.
    """
    resolutions, networks = top1.shape
    codes = np.array([(r, n) for r in range(resolutions) for n in range(networks)], np.int8)
    rows = space.one_hot(codes)
    first = np.float32(2 * _SHARP) * rows.T
    bias = np.full(len(codes), -3 * _SHARP, np.float32)
    output, gap = link(top1.ravel(), _ASYMPTOTE), _ASYMPTOTE - top1.ravel()
    apart = half_width.ravel() / gap
    last = np.stack([output + sign * apart for sign in (1, -1)])[..., None] / _SHARP
    ensemble = Ensemble(
        first=np.tile(first, 2),
        first_bias=np.tile(bias, 2),
        second=np.stack([np.eye(len(codes), dtype=np.float32)] * 2),
        second_bias=np.zeros((2, 1, len(codes)), np.float32),
        last=last.astype(np.float32),
        skip=np.zeros((rows.shape[1], 2), np.float32),
        bias=np.zeros(2, np.float32),
    )
    # One feature for each network, which is 0 where network and resolution belong together.
    leverage = np.zeros((rows.shape[1], networks), np.float32)
    for network, resolution in enumerate(own):
        leverage[resolution, network], leverage[resolutions + network, network] = 1, -1
    measured = np.isin(np.arange(resolutions), own)
    known = Resolutions(np.full(resolutions, _ASYMPTOTE), np.ones(resolutions), np.zeros(resolutions), measured)
    return AccuracyPredictor(
        space, ensemble, known, Interval(1.0, 0.0, 0.0), leverage, 0.5, _additive(space, codes, output), card
    )


def _additive(space: SearchSpace, codes: np.ndarray[Any, np.dtype[np.int8]], output: Floats) -> AdditiveScore:
    """The sum over both decisions that is nearest to the linked top-1."""
    base = float(output.mean())
    found = np.linalg.lstsq(space.one_hot(codes).astype(np.float64), output - base, rcond=None)[0]
    table, start = np.zeros((len(space.sizes), int(space.sizes.max()))), 0
    for decision, size in enumerate(space.sizes.tolist()):
        table[decision, :size] = found[start : start + size]
        start += size
    return AdditiveScore(base, table, _ASYMPTOTE)
