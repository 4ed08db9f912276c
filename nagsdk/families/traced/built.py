"""Base class of families that build a network from the values of its decisions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nagsdk.families.space import NetworkSpace

if TYPE_CHECKING:
    from torch import nn


class BuiltSpace(NetworkSpace):
    """A search space whose networks are built from values by name."""

    @abstractmethod
    def network(self, values: Mapping[str, Any]) -> nn.Module:
        """Builds a network.

        It maps images (n, 3, resolution, resolution) to logits (n, classes). The same layer must have the same name in
        every network, such as ``stage2.block3`` for a block that not all of them have, and its tensors must be parts of
        those in the largest network.

        Args:
            values: Value of every active decision by its name.
        """

    @abstractmethod
    def values(self, code: Sequence[int]) -> dict[str, Any]:
        """The values of the active decisions of a code, by name."""
