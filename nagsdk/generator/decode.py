"""Feasible decoding: samples a policy under a mask that allows only choices that can be completed within all limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.cost.table import AdditiveTable, Floats
from nagsdk.generator.episode import View, Walk
from nagsdk.generator.policy import CHOICE, STATE, Float32s, Stepper
from nagsdk.generator.prices import Paths
from nagsdk.generator.reserves import reserves
from nagsdk.space.space import Codes, SearchSpace

# Number of rows decoded together, so few that the gates of a step stay in the processor's cache.
_ROWS = 1024
_RESOLUTION_NOISE, _BOLD_NOISE = 6.0, 2.0


def decode(
    space: SearchSpace,
    tables: Sequence[AdditiveTable],
    paths: Paths,
    stepper: Stepper,
    limits: Floats,
    noise: Float32s,
    counts: NDArray[np.intp],
) -> Codes:
    """Samples architectures within limits.

    Args:
        space: The policy's search space.
        tables: Tables of the limited costs.
        paths: Paths of these costs.
        stepper: The policy.
        limits: Limits of each budget on each cost, shape (n, M).
        noise: Gumbel noise of every candidate, shape (candidates, decisions, most choices). It is the same for every
            budget, so that the candidates of a budget do not depend on the other budgets. Zero noise is greedy.
        counts: Number of candidates of each budget, shape (n,), at most as many as there is noise.

    Returns:
        Codes, int8, shape (candidates of all budgets, decisions); every cost of every candidate is within its limit.

    Raises:
        InfeasibleError: No architecture holds the limits of a budget.
    """
    reserve, open_ = reserves(space, tables, paths, limits)
    owner = np.repeat(np.arange(len(limits)), counts)
    codes, limits_of = reserve[owner], limits[owner]
    rows = np.flatnonzero(open_)
    # Budgets are parted by the number of candidates before them.
    for part in np.split(rows, np.flatnonzero(np.diff(np.cumsum(counts[rows]) // _ROWS)) + 1):
        if len(part):
            walk = Walk(paths, limits[part], counts[part])
            codes[np.isin(owner, part)] = _sample(space, walk, stepper, noise)
    # Walk and table add in different orders; the reserve replaces candidates that exceed a limit by rounding errors.
    excess = np.stack([table.cost(codes) for table in tables], axis=1) - limits_of
    over = (excess > 0).any(1)
    assert (excess[over] <= 1e-9 * (1 + np.abs(limits_of[over]))).all(), "the mask allowed more than rounding errors"
    codes[over] = reserve[owner[over]]
    return codes


def _sample(space: SearchSpace, walk: Walk, stepper: Stepper, noise: Float32s) -> Codes:
    view, counts, sizes = walk.first(), walk.counts, space.sizes
    n = int(counts.sum())
    sample = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    codes = np.full((n, len(sizes)), -1, np.int8)
    hidden, cell = np.zeros((2, n, stepper.hidden), np.float32)

    def repeated(part: NDArray[np.generic], axis: int) -> Any:
        return np.repeat(part, counts, axis)

    view = View(repeated(view.state, 0), repeated(view.choices, 1), repeated(view.allowed, 0))
    hidden, cell = stepper.step(0, None, view.state, hidden, cell)
    choice = _pick(stepper.logits(0, view.choices, hidden) + noise[sample, 0, : sizes[0]], view.allowed)
    walk.start(choice)
    codes[:, 0] = choice
    last = np.zeros(n, np.intp)
    for d, decision in enumerate(space.decisions[1:], 1):
        rows = (
            np.arange(n)
            if decision.active_if is None
            else np.flatnonzero(codes[:, decision.active_if[0]] >= decision.active_if[1])
        )
        view = walk.look(d, rows, int(sizes[d]))
        hidden[rows], cell[rows] = h, _ = stepper.step(
            d, (last[rows], choice[rows]), view.state, hidden[rows], cell[rows]
        )
        picked = _pick(stepper.logits(d, view.choices, h) + noise[sample[rows], d, : sizes[d]], view.allowed)
        walk.take(d, rows, picked)
        codes[rows, d] = picked
        last[rows], choice[rows] = d, picked
    return codes


def _pick(logits: Float32s, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    picked: NDArray[np.intp] = np.where(allowed, logits, -np.inf).argmax(1)
    return picked


def gumbel(seed: int, count: int, space: SearchSpace) -> Float32s:
    """Returns noise for `decode`.

    The first candidate is the greedy one. With a larger `count` the first candidates stay the same.

    The noise is stronger at decision 0, the resolution: the additive score predicts worst how top-1 falls with the
    resolution, and the accuracy predictor should be able to choose between several resolutions. Every second candidate
    gets stronger noise at all decisions, because the likely architectures are soon all drawn where only few decisions
    have a cost.

    Args:
        seed: Seed of the noise.
        count: Number of candidates.
        space: The policy's search space.

    Returns:
        The noise, shape (count, decisions, most choices).
    """
    rng = np.random.default_rng(seed)
    noise = rng.gumbel(size=(count - 1, len(space.sizes), int(space.sizes.max()))).astype(np.float32)
    noise[:, 0] *= _RESOLUTION_NOISE
    noise[::2] *= _BOLD_NOISE
    return np.concatenate([np.zeros((1, *noise.shape[1:]), np.float32), noise])


@dataclass(frozen=True)
class Trace:
    """What a policy reads on the way to n given architectures; D decisions, C most choices.

    Attributes:
        codes: The architectures, int8, shape (n, D).
        state: State of the budget before each decision, see `View`, shape (n, D, STATE).
        choices: What is read of each choice, see `View`, shape (n, D, C, CHOICE).
        allowed: Choices that the policy may take, including those that were taken, shape (n, D, C).
    """

    codes: Codes
    state: Float32s
    choices: Float32s
    allowed: NDArray[np.bool_]


def trace(space: SearchSpace, paths: Paths, codes: Codes, limits: Floats) -> Trace:
    """Computes what the policy reads on the way to given architectures, for training.

    Args:
        space: Search space of the architectures.
        paths: Paths of the limited costs.
        codes: The architectures, shape (n, D).
        limits: Limits of each architecture on each cost, shape (n, M).
    """
    n, (count, most) = len(codes), (len(space.sizes), int(space.sizes.max()))
    state, choices = np.zeros((n, count, STATE), np.float32), np.zeros((n, count, most, CHOICE), np.float32)
    allowed = np.zeros((n, count, most), bool)
    walk = Walk(paths, limits)
    for d, size in enumerate(space.sizes.tolist()):
        rows = np.flatnonzero(codes[:, d] >= 0)
        view = walk.look(d, rows, size) if d else walk.first()
        state[rows, d], choices[rows, d, :size], allowed[rows, d, :size] = (
            view.state,
            view.choices.transpose(1, 2, 0),
            view.allowed,
        )
        taken = codes[rows, d].astype(np.intp)
        if d:
            walk.take(d, rows, taken)
        else:
            walk.start(taken)
        allowed[rows, d, taken] = True
    return Trace(codes, state, choices, allowed)
