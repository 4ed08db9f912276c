"""Additive cost tables: what generators read of a cost model."""

from __future__ import annotations

from collections.abc import Callable
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
        result: Floats = self.base[resolution] + padded.ravel()[flat].sum(1)
        return result

    def masked(self, allowed: NDArray[np.bool_] | None = None, resolution: int | None = None) -> AdditiveTable:
        """The table with everything else forbidden.

        Args:
            allowed: Choices to keep, broadcast against `choice`, so (decisions, most choices) or with a
                leading axis of resolutions; None keeps all.
            resolution: Choice index of the only resolution to keep; None keeps all.
        """
        choice = self.choice if allowed is None else np.where(allowed, self.choice, np.inf)
        base = self.base if resolution is None else np.where(np.arange(len(self.base)) == resolution, self.base, np.inf)
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
