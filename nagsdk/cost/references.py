"""Which architectures to measure in a calibration, and which one to measure them against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.architecture import Architecture
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.prior import Prior
from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.errors import UsageError
from nagsdk.space.base import Codes, SearchSpace

Allowed = NDArray[np.bool_]
_POOL = 1500
_SWEEPS = 3
_ENDS = 2
# Relative scatter of prices around the prior's, of a measurement, and the share that a price of 0 may still get.
_PRICE_SPREAD, _READING_ERROR, _FREE_SHARE = 0.3, 0.02, 0.01


def reference_architecture(space: SearchSpace, allowed: Allowed | None = None) -> Architecture:
    """The network that all others are measured against: the middle choice of every decision.

    Where that is not allowed, the nearest allowed choice stands in.
    """
    mask = _mask(space, allowed)
    middle = (space.sizes - 1) // 2
    code = np.zeros(len(space.sizes), np.int8)
    code[0] = _nearest(np.any(mask[:, 0, :], axis=0), int(middle[0]))
    for d in range(1, len(code)):
        code[d] = _nearest(mask[code[0], d], int(middle[d]))
    return space.decode(space.validate(code))[0]


def _nearest(allowed: Allowed, wanted: int) -> int:
    possible = np.flatnonzero(allowed)
    return int(possible[np.abs(possible - wanted).argmin()]) if len(possible) else wanted


def pick_references(space: SearchSpace, prior: Prior, count: int, seed: int, allowed: Allowed | None = None) -> Codes:
    """Picks architectures to measure: the cheapest and the dearest under the prior, then the most informative ones.

    Greedy D-optimal design: each is the one whose latency is least certain after those before it were
    measured, if the prices scatter around the prior's independently. The pool to pick from is random, but
    half of it leans to small or to large choices throughout, so that it spans the range of latencies. In
    24 simulated devices of wrong prices and noise its error was a tenth lower than that of random ones at 20 and 30
    samples, and a fifth lower over the whole range of latencies.

    Args:
        space: Any space.
        prior: Its prices; scale does not matter.
        count: How many, at least 2.
        seed: Of the choice.
        allowed: Which choices may be used, shape (resolutions, decisions, most choices); all where None.

    Returns:
        Distinct codes, shape (count, decisions), or fewer where the space has no more; the first ones alone are
        a good choice too.

    Raises:
        UsageError: Fewer than two are asked for, or nothing is allowed.
    """
    if count < 2:
        raise UsageError("A calibration needs two architectures at least.", "Ask for more samples.")
    mask = _mask(space, allowed)
    rng = np.random.default_rng(seed)
    table = FeatureTable.of(space).priced(prior.weights)
    pool = np.unique(_pool(space, mask, rng), axis=0)
    if not len(pool):
        raise UsageError("The device supports no architecture of this space.", "Use another device or another bundle.")
    ends = np.concatenate([_extreme(space, table, mask, pool, sign) for sign in (1, -1)])
    candidates = np.concatenate([ends, pool])
    _, first = np.unique(candidates, axis=0, return_index=True)
    candidates = candidates[np.sort(first)]
    return candidates[_informative(FeatureTable.of(space).of_codes(candidates), prior.weights, min(count, len(candidates)))]


def _informative(features: Floats, prior: Floats, count: int) -> NDArray[np.intp]:
    """Indices of the first two rows and then of the most uncertain ones in turn, by pivoted Cholesky decomposition."""
    mean = features.mean(0)
    free = np.divide(_FREE_SHARE * (features @ prior).mean(), mean, out=np.zeros_like(mean), where=mean > 0)
    share = _PRICE_SPREAD * features * (prior + free) / (features @ prior)[:, None]
    # The scale of the device is not known at all: one more price that all share.
    share = np.concatenate([share, np.ones((len(share), 1))], axis=1)
    variance = (share**2).sum(1)
    factor = np.zeros((len(share), count))
    chosen: list[int] = []
    for i in range(count):
        left = variance.copy()
        left[chosen] = -1.0
        pick = i if i < _ENDS else int(left.argmax())
        covariance = share @ share[pick] - factor[:, :i] @ factor[pick, :i]
        factor[:, i] = covariance / np.sqrt(variance[pick] + _READING_ERROR**2)
        variance = np.maximum(variance - factor[:, i] ** 2, 0.0)
        chosen.append(pick)
    return np.array(chosen)


def _mask(space: SearchSpace, allowed: Allowed | None) -> Allowed:
    exists = np.arange(int(space.sizes.max())) < space.sizes[:, None]
    mask = np.repeat(exists[None], len(space.resolutions), axis=0)
    return mask if allowed is None else mask & allowed


def _pool(space: SearchSpace, mask: Allowed, rng: np.random.Generator) -> Codes:
    """Random allowed architectures; half of them prefer small or large choices throughout."""
    resolutions = np.flatnonzero(mask[np.arange(len(mask)), 0, np.arange(len(mask))])
    if not len(resolutions):
        return np.zeros((0, len(space.sizes)), np.int8)
    most = mask.shape[2]
    resolution = rng.choice(resolutions, _POOL)
    keys = rng.gumbel(size=(_POOL, *mask.shape[1:]))
    lean = rng.normal(0, 3, _POOL) * (rng.random(_POOL) < 0.5)
    keys += lean[:, None, None] * (np.arange(most) / np.maximum(space.sizes - 1, 1)[:, None])
    keys[~mask[resolution]] = -np.inf
    codes = keys.argmax(2).astype(np.int8)
    codes[:, 0] = resolution
    return _only_allowed(space.validate(codes), mask)


def _only_allowed(codes: Codes, mask: Allowed) -> Codes:
    at = mask[codes[:, :1].astype(np.intp), np.arange(codes.shape[1]), np.maximum(codes, 0)]
    return codes[(at | (codes < 0)).all(1)]


def _extreme(space: SearchSpace, table: AdditiveTable, mask: Allowed, pool: Codes, sign: int) -> Codes:
    """The cheapest (sign 1) or dearest (-1) allowed architecture by descent over one decision at a time, shape (1, D)."""
    start = pool[(sign * table.cost(pool)).argmin()]
    # Inactive decisions hold an allowed choice, ready for when they become active.
    full = np.where(start < 0, mask[start[0]].argmax(1), start).astype(np.int8)
    for _ in range(_SWEEPS):
        for d, size in enumerate(space.sizes.tolist()):
            variants = np.repeat(full[None], size, axis=0)
            variants[:, d] = np.arange(size)
            codes = space.validate(variants)
            legal = np.array([len(_only_allowed(row[None], mask)) == 1 for row in codes])
            cost = np.where(legal, sign * table.cost(codes), np.inf)
            full = variants[cost.argmin()] if np.isfinite(cost).any() else full
    return space.validate(full)
