"""Feasible decoding: sampling a policy under a mask that no completion can break.

For every open decision the cheapest subtree is known (dynamic programming over `Forest`), so the cheapest
completion of a partial architecture is a sum. Its slack is the limit minus that sum; a choice may be taken
if it is dearer than the decision's cheapest by no more than the slack. The cheapest choice always is, hence
every limit that the cheapest architecture holds yields architectures that hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.generator.forest import Forest, existing
from nagsdk.generator.frontier import check_limits
from nagsdk.generator.policy import Float32s, Stepper
from nagsdk.space.base import Codes, SearchSpace

# Rows decoded together: few enough that the gates of a step stay in the processor's cache.
_ROWS = 1024


@dataclass(frozen=True)
class Completions:
    """Cheapest and dearest completions under one table; R resolutions, D decisions, C most choices.

    Attributes:
        floor: Cost of the cheapest architecture at each resolution, inf where none is allowed, shape (R,).
        ceiling: Cost of the dearest one, -inf where none is allowed, shape (R,).
        extra: What a choice costs beyond the cheapest of its decision, each with its cheapest subtree; inf
            where not allowed, shape (R, D, C).
        lost: What a choice costs less than the dearest of its decision, each with its dearest subtree,
            shape (R, D, C).
        cheapest: A cheapest architecture at each resolution, int8, shape (R, D).
    """

    floor: Floats
    ceiling: Floats
    extra: Floats
    lost: Floats
    cheapest: Codes

    @classmethod
    def of(cls, space: SearchSpace, table: AdditiveTable) -> Completions:
        """Computes the bounds of a table by dynamic programming, last decision first."""
        forest, exists = Forest.of(space), existing(space)
        low = np.where(exists, table.choice, np.inf)
        high = np.where(exists & np.isfinite(table.choice), table.choice, -np.inf)
        least, most = low.min(2), high.max(2)
        for decision in reversed(range(len(space.decisions))):
            # Children come later in the order, so theirs is done.
            for start, child in forest.children[decision]:
                low[:, decision, start:] += least[:, child, None]
                high[:, decision, start:] += most[:, child, None]
            high[~np.isfinite(low)] = -np.inf
            least[:, decision], most[:, decision] = low[:, decision].min(1), high[:, decision].max(1)
        every, roots = np.arange(len(table.base)), list(forest.roots)
        floor = table.base + low[every, 0, every] + least[:, roots].sum(1)
        possible = np.isfinite(floor)
        ceiling = np.full_like(floor, -np.inf)
        ceiling[possible] = (table.base[possible] + high[every, 0, every][possible]) + most[possible][:, roots].sum(1)
        cheapest = low.argmin(2).astype(np.int8)
        cheapest[:, 0] = every
        for decision, children in enumerate(forest.children):
            for start, child in children:
                cheapest[cheapest[:, decision] < start, child] = -1
        floor[possible] = table.cost(cheapest[possible])
        with np.errstate(invalid="ignore"):  # inf - inf where a decision has no allowed choice
            extra, lost = low - least[:, :, None], most[:, :, None] - high
        allowed = np.isfinite(low)
        return cls(floor, ceiling, np.where(allowed, extra, np.inf), np.where(allowed, lost, 0.0), cheapest)

    @property
    def least(self) -> float:
        """Cost of the cheapest architecture; inf where nothing is allowed."""
        return float(self.floor.min())

    @property
    def most(self) -> float:
        """Cost of the dearest architecture; -inf where nothing is allowed."""
        return float(self.ceiling.max())

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Choices allowed at each resolution, those of decision 0 the same at all, shape (R, D, C)."""
        result = np.isfinite(self.extra)
        result[:, 0] = False
        result[:, 0, : len(self.floor)] = np.isfinite(self.floor)
        return result

    def position(self, limits: Floats) -> Floats:
        """Limits as positions between the cheapest (0) and the dearest (1) architecture."""
        return share(limits - self.least, np.full_like(limits, self.most - self.least))

    def trace(self, codes: Codes, limits: Floats) -> Floats:
        """Share of the budget left before each decision but the first, as decoding would see it.

        Args:
            codes: Architectures, shape (n, D).
            limits: Their limits, shape (n,).

        Returns:
            Shape (n, D); column 0 is the position over all resolutions, column 1 the position at the
            resolution chosen.
        """
        r = codes[:, 0].astype(np.intp)
        cell = (r[:, None], np.arange(1, codes.shape[1]), np.maximum(codes[:, 1:], 0))
        active = codes[:, 1:] >= 0
        spent = np.cumsum(np.where(active, self.extra[cell], 0.0), axis=1)
        gone = spent + np.cumsum(np.where(active, self.lost[cell], 0.0), axis=1)
        slack = (limits - self.floor[r])[:, None] - np.pad(spent, ((0, 0), (1, 0)))
        room = (self.ceiling - self.floor)[r][:, None] - np.pad(gone, ((0, 0), (1, 0)))
        return np.concatenate([self.position(limits)[:, None], share(slack, room)[:, :-1]], axis=1)


def share(slack: Floats, room: Floats) -> Floats:
    """`slack / room` within 0 to 1; 1 where nothing dearer is left to take."""
    tight = room > slack
    ratio = np.ones_like(room)
    np.divide(slack, room, out=ratio, where=tight)
    return np.maximum(ratio, 0.0)


def decode(space: SearchSpace, table: AdditiveTable, stepper: Stepper, limits: Floats, noise: Float32s) -> Codes:
    """Samples architectures within limits.

    Args:
        space: The policy's space.
        table: The cost that is limited.
        stepper: The policy.
        limits: One per budget, shape (n,).
        noise: Gumbel noise of every candidate, shape (candidates, decisions, most choices); the same for
            every budget, so that a budget's candidates do not depend on its company. Zero noise is greedy.

    Returns:
        Codes, int8, shape (n, candidates, decisions); the cost of each under `table` is within its limit.

    Raises:
        InfeasibleError: A limit lies below the cheapest architecture.
    """
    bounds = Completions.of(space, table)
    check_limits(limits, bounds.least)
    count, most = len(noise), max(1, _ROWS // len(noise))
    run = _Run(space, bounds, stepper)
    parts = [run(np.repeat(part, count), noise) for part in np.split(limits, range(most, len(limits), most))]
    codes = np.concatenate(parts)
    # Slack and table add in different orders; where rounding alone passes the limit, the cheapest stands in.
    limits = np.repeat(limits, count)
    beyond = table.cost(codes) - limits
    over = beyond > 0
    assert (beyond[over] <= 1e-9 * (1 + np.abs(limits[over]))).all(), "the mask let through more than rounding"
    codes[over] = bounds.cheapest[bounds.floor.argmin()]
    return codes.reshape(-1, count, codes.shape[1])


class _Run:
    def __init__(self, space: SearchSpace, bounds: Completions, stepper: Stepper) -> None:
        self.space, self.bounds, self.stepper = space, bounds, stepper

    def __call__(self, limits: Floats, noise: Float32s) -> Codes:
        bounds, stepper, sizes = self.bounds, self.stepper, self.space.sizes
        n = len(limits)
        codes = np.full((n, len(sizes)), -1, np.int8)
        hidden, cell = np.zeros((n, stepper.hidden), np.float32), np.zeros((n, stepper.hidden), np.float32)
        sample = np.arange(n) % len(noise)

        position = bounds.position(limits)
        hidden, cell = stepper.step(0, stepper.condition(position), position, hidden, cell)
        allowed = bounds.floor <= limits[:, None]
        r = _pick(stepper.logits(0, int(sizes[0]), hidden) + noise[sample, 0, : sizes[0]], allowed)
        codes[:, 0] = r
        slack, room = limits - bounds.floor[r], bounds.ceiling[r] - bounds.floor[r]
        condition = stepper.condition(share(slack, room))
        last, choice = np.zeros(n, np.intp), r.copy()

        for d, decision in enumerate(self.space.decisions[1:], 1):
            rows = np.arange(n) if decision.active_if is None else np.flatnonzero(codes[:, decision.active_if[0]] >= decision.active_if[1])
            inputs = condition[rows] + stepper.chosen(last[rows], choice[rows])
            h, c = stepper.step(d, inputs, share(slack[rows], room[rows]), hidden[rows], cell[rows])
            hidden[rows], cell[rows] = h, c
            extra = bounds.extra[r[rows], d, : sizes[d]]
            allowed = extra <= slack[rows, None]
            picked = _pick(stepper.logits(d, int(sizes[d]), h) + noise[sample[rows], d, : sizes[d]], allowed)
            codes[rows, d] = picked
            taken = extra[np.arange(len(rows)), picked]
            # Rounding must not drive the slack below what the cheapest completion needs.
            slack[rows] = np.maximum(slack[rows] - taken, 0.0)
            room[rows] -= taken + bounds.lost[r[rows], d, picked]
            last[rows], choice[rows] = d, picked
        return codes


def _pick(logits: Float32s, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    picked: NDArray[np.intp] = np.where(allowed, logits, -np.inf).argmax(1)
    return picked


def gumbel(seed: int, count: int, space: SearchSpace) -> Float32s:
    """Noise for `decode`; the first candidate is the greedy one, and more candidates extend fewer.

    Returns:
        Shape (count, decisions, most choices).
    """
    rng = np.random.default_rng(seed)
    noise = rng.gumbel(size=(count - 1, len(space.sizes), int(space.sizes.max()))).astype(np.float32)
    return np.concatenate([np.zeros((1, *noise.shape[1:]), np.float32), noise])
