"""Finished networks beside each other, where other families have weights that networks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from nagsdk.families.protocol import Subnet, Supernet
from nagsdk.families.torch_scope import seeded
from nagsdk.families.zoo.members import Members
from nagsdk.space.architecture import Architecture


class ZooSupernet(Supernet):
    """The networks of a space of finished networks.

    Args:
        space: The space.
        networks: Supernets of the spaces of all networks; with random weights if None.
    """

    space: Members
    class_tensors = ()

    @seeded()
    def __init__(self, space: Members, networks: Sequence[Supernet] | None = None) -> None:
        super().__init__(space)
        self.networks = nn.ModuleList(space.member_supernets() if networks is None else networks)

    def forward(self, images: Tensor, code: Sequence[int]) -> Tensor:
        """Runs the chosen network; see `Supernet.forward`."""
        member = self.space.member(self.space.resolutions[code[0]], code[1])
        logits: Tensor = self.networks[code[1]](images, member.code)
        return logits

    def extract(self, architecture: Architecture) -> Subnet:
        """See `Supernet.extract`; the statistics of batch normalisation are those of the training."""
        choice = architecture.code[1]
        network = cast(Supernet, self.networks[choice]).extract(self.space.member(architecture.resolution, choice))
        network.architecture = architecture
        return network
