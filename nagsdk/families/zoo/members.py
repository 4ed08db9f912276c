"""What the networks of a zoo are to each other: architectures of spaces of their own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from nagsdk.families.space import NetworkSpace
from nagsdk.space.architecture import Architecture

if TYPE_CHECKING:
    from nagsdk.families.protocol import Supernet


class Members(NetworkSpace):
    """A search space whose second decision is which of several networks, each of another space."""

    @abstractmethod
    def member(self, resolution: int, choice: int) -> Architecture:
        """A network at a resolution, as an architecture of its own space.

        Args:
            resolution: Input size in pixels.
            choice: Index of the network.
        """

    @abstractmethod
    def member_supernets(self) -> list[Supernet]:
        """Supernets of the spaces of all networks, with random weights."""
