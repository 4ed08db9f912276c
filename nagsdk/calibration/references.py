"""Chooses the architectures to measure in a calibration, and the reference network to compare them with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import most_informative
from nagsdk.cost.prior import Prior
from nagsdk.cost.table import AdditiveTable
from nagsdk.errors import UsageError
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes, SearchSpace

Allowed = NDArray[np.bool_]
_POOL = 1500
_SWEEPS = 3
_ENDS = 2
# How many of the pool may be picked as informative, and the relative error of a measurement that the choice assumes.
_CANDIDATES, _READING_ERROR = 700, 0.05


def reference_architecture(space: SearchSpace, allowed: Allowed | None = None) -> Architecture:
    """Returns the reference network: the middle choice of every decision.

    Where the middle choice is not allowed, the nearest allowed choice is used.
    """
    return _nearest_architecture(space, (space.sizes - 1) // 2, allowed)


def most_expensive_architecture(space: SearchSpace, allowed: Allowed | None = None) -> Architecture:
    """Returns the most expensive architecture at the middle resolution: the last choice of every other decision.

    Its kernels are the largest. Where a choice is not allowed, the nearest allowed choice is used.
    """
    wanted = space.sizes - 1
    wanted[0] //= 2
    return _nearest_architecture(space, wanted, allowed)


def _nearest_architecture(space: SearchSpace, wanted: NDArray[np.integer], allowed: Allowed | None) -> Architecture:
    mask = _mask(space, allowed)
    code = np.zeros((1, len(space.sizes)), np.int8)
    code[0, 0] = _nearest(np.any(mask[:, 0, :], axis=0), int(wanted[0]))
    for d, decision in enumerate(space.decisions[1:], 1):
        active = decision.active_if is None or code[0, decision.active_if[0]] >= decision.active_if[1]
        row = space.rows.starts[d] + space.rows.within(d, code)[0]
        code[0, d] = _nearest(mask[code[0, 0], row], int(wanted[d])) if active else -1
    return space.decode(code)[0]


def _nearest(allowed: Allowed, wanted: int) -> int:
    possible = np.flatnonzero(allowed)
    return int(possible[np.abs(possible - wanted).argmin()]) if len(possible) else wanted


def pick_references(
    space: SearchSpace, prior: Prior, count: int, seed: int, allowed: Allowed | None = None, near: Codes | None = None
) -> Codes:
    """Picks architectures to measure.

    Half of them are the most informative ones under the prior: the cheapest and the most expensive first, then those
    that make the latencies of the space, and of the frontier where one is given, most certain (`most_informative`).
    The other half alternates between random architectures and architectures near the frontier. The informative half
    would suffice on a device that behaves as the prior says; the other half protects against a device that does not.
    On the public tables the mixture was better than either kind (docs/calibration.md).

    Args:
        space: Any search space.
        prior: Prior of the device; its scale does not matter.
        count: Number of architectures, at least 2.
        seed: Seed of the choice.
        allowed: Which choices may be used, shape (resolutions, rows, most choices); all if None.
        near: Architectures like those that will be generated, shape (n, decisions).

    Returns:
        Distinct codes, shape (count, decisions), or fewer if the space has no more. Any first part of them is a good
        choice as well.

    Raises:
        UsageError: Fewer than two are requested, or nothing is allowed.
    """
    if count < 2:
        raise UsageError("A calibration needs at least two architectures.", "Ask for more samples.")
    mask = _mask(space, allowed)
    rng = np.random.default_rng(seed)
    table = FeatureTable.of(space).priced(prior.weights)
    pool = np.unique(_pool(space, mask, rng), axis=0)
    if not len(pool):
        raise UsageError("The device supports no architecture of this space.", "Use another device or another bundle.")
    pool = rng.permutation(pool)
    close = pool[:0] if near is None else rng.permutation(_only_allowed(space, near, mask))
    ends = np.concatenate([_extreme(space, table, mask, pool, sign) for sign in (1, -1)])
    shape = prior.on(space)
    informative = _distinct(np.concatenate([ends, close, pool[:_CANDIDATES]]))
    population = shape.design(np.concatenate([pool[-_CANDIDATES:], close]))
    first = informative[
        most_informative(
            shape.design(informative), population, max(_ENDS, count // 2), shape.sizes, _READING_ERROR, _ENDS
        )
    ]
    others = [rows[i : i + 1] for i in range(len(pool)) for rows in (pool, close) if i < len(rows)]
    return _distinct(np.concatenate([first, *others]))[:count]


def _distinct(codes: Codes) -> Codes:
    """Removes repeated architectures; each stays where it first occurs."""
    return codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]


def _mask(space: SearchSpace, allowed: Allowed | None) -> Allowed:
    """Which choices may be used, shape (resolutions, rows, most choices)."""
    mask = np.repeat(space.existing[None], len(space.resolutions), axis=0)
    return mask if allowed is None else mask & allowed


def _somewhere(space: SearchSpace, mask: Allowed) -> Allowed:
    """Which choices may be used in some context, shape (resolutions, decisions, most choices)."""
    somewhere: Allowed = np.logical_or.reduceat(mask, space.rows.starts[:-1], axis=1)
    return somewhere


def _pool(space: SearchSpace, mask: Allowed, rng: np.random.Generator) -> Codes:
    """Draws random allowed architectures; half of them lean towards small or large choices in every decision."""
    resolutions = np.flatnonzero(mask[np.arange(len(mask)), 0, np.arange(len(mask))])
    if not len(resolutions):
        return np.zeros((0, len(space.sizes)), np.int8)
    possible = _somewhere(space, mask)
    most = mask.shape[2]
    resolution = rng.choice(resolutions, _POOL)
    keys = rng.gumbel(size=(_POOL, *possible.shape[1:]))
    lean = rng.normal(0, 3, _POOL) * (rng.random(_POOL) < 0.5)
    keys += lean[:, None, None] * (np.arange(most) / np.maximum(space.sizes - 1, 1)[:, None])
    keys[~possible[resolution]] = -np.inf
    codes = keys.argmax(2).astype(np.int8)
    codes[:, 0] = resolution
    return _only_allowed(space, space.validate(codes), mask)


def _only_allowed(space: SearchSpace, codes: Codes, mask: Allowed) -> Codes:
    at = mask[codes[:, :1].astype(np.intp), space.rows.index(codes), np.maximum(codes, 0)]
    return codes[(at | (codes < 0)).all(1)]


def _extreme(space: SearchSpace, table: AdditiveTable, mask: Allowed, pool: Codes, sign: int) -> Codes:
    """Finds the cheapest (sign 1) or most expensive (-1) allowed architecture by coordinate descent, shape (1, D)."""
    start = pool[(sign * table.cost(pool)).argmin()]
    # Inactive decisions also hold an allowed choice, because a later step may make them active.
    full = np.where(start < 0, _somewhere(space, mask)[start[0]].argmax(1), start).astype(np.int8)
    for _ in range(_SWEEPS):
        for d, size in enumerate(space.sizes.tolist()):
            variants = np.repeat(full[None], size, axis=0)
            variants[:, d] = np.arange(size)
            codes = space.validate(variants)
            legal = np.array([len(_only_allowed(space, row[None], mask)) == 1 for row in codes])
            cost = np.where(legal, sign * table.cost(codes), np.inf)
            full = variants[cost.argmin()] if np.isfinite(cost).any() else full
    return space.validate(full)
