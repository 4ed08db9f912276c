"""Additive cost tables: what generators read of a cost model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nagsdk.architecture import LayerSpec
from nagsdk.space.base import Codes, SearchSpace

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AdditiveTable:
    """A cost that is a sum over fixed layers and active choices, at every resolution.

    Attributes:
        base: Cost of the fixed layers, shape (resolutions,).
        choice: Cost that each choice adds, shape (resolutions, decisions, most choices); 0 where a
            decision adds nothing or has no such choice. The unit is that of the cost.

    ``inf`` marks what is not allowed: a choice that the device cannot run, a resolution (in `base`) that
    the user excluded. Generators never emit it.
    """

    base: Floats
    choice: Floats

    def cost(self, codes: Codes) -> Floats:
        """Costs of architectures, shape (n,)."""
        resolution = codes[:, 0].astype(np.intp)
        most = self.choice.shape[2]
        # An inactive decision reads a zero column behind the last choice, which spares a mask.
        padded = np.concatenate([self.choice, np.zeros((*self.choice.shape[:2], 1))], axis=2)
        decisions = np.arange(codes.shape[1])
        index = np.where(codes < 0, most, codes).astype(np.intp)
        flat = (resolution[:, None] * codes.shape[1] + decisions) * (most + 1) + index
        return self.base[resolution] + padded.ravel()[flat].sum(1)

    def masked(self, *, resolutions: Sequence[int] | None = None, allowed: NDArray[np.bool_] | None = None) -> AdditiveTable:
        """The table with everything else forbidden.

        Args:
            resolutions: Choice indices of the resolutions to keep; None keeps all.
            allowed: Choices to keep, broadcast against `choice`, so (decisions, most choices) or with a
                leading axis of resolutions; None keeps all.
        """
        base, choice = self.base, self.choice
        if resolutions is not None:
            base = np.where(np.isin(np.arange(len(base)), resolutions), base, np.inf)
        if allowed is not None:
            choice = np.where(allowed, choice, np.inf)
        return AdditiveTable(base, choice)


def exact_table(space: SearchSpace, value: Callable[[LayerSpec], float]) -> AdditiveTable:
    """The table of a cost that every layer tells exactly, such as its MACs.

    Args:
        space: Any search space.
        value: Cost of one layer.
    """
    resolutions, decisions, most = len(space.resolutions), len(space.decisions), int(space.sizes.max())
    base, choice = np.zeros(resolutions), np.zeros((resolutions, decisions, most))
    for r, resolution in enumerate(space.resolutions):
        base[r] = sum(value(layer) for layer in space.fixed_layers(resolution))
        for d, decision in enumerate(space.decisions):
            for c in range(len(decision.choices)):
                choice[r, d, c] = sum(value(layer) for layer in space.choice_layers(resolution, d, c))
    return AdditiveTable(base, choice)
