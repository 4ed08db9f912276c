"""Architectures that differ from others in a single decision."""

from __future__ import annotations

import numpy as np

from nagsdk.space.space import Codes, SearchSpace


def neighbours(space: SearchSpace, code: Codes) -> Codes:
    """All architectures that differ from one, shape (decisions,), in a single active decision; shape (m, decisions)."""
    cells = [(d, c) for d, size in enumerate(space.sizes) for c in range(size) if 0 <= code[d] != c]
    near = np.repeat(code[None], len(cells), axis=0)
    near[np.arange(len(cells)), [d for d, _ in cells]] = [c for _, c in cells]
    return settled(space, near)


def settled(space: SearchSpace, codes: Codes) -> Codes:
    """Architectures of shape (m, decisions), in place, in which exactly those decisions have choices that are on.

    A decision that was switched on copies the one before that has the same choices, as a block that is added to a
    network copies the block before it.
    """
    for d, decision in enumerate(space.decisions):
        if decision.active_if is not None:
            parent, least = decision.active_if
            on = codes[:, parent] >= least
            alike = [e for e in range(d) if space.decisions[e].choices == decision.choices]
            before = codes[:, alike[-1]] if alike else np.zeros(len(codes), np.int8)
            codes[:, d] = np.where(on, np.where(codes[:, d] < 0, np.maximum(before, 0), codes[:, d]), -1)
    return codes
