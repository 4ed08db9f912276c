"""A space whose architectures are finished networks, each at several resolutions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nagsdk.errors import ArchitectureError, DamagedBundleError
from nagsdk.families import finished_network
from nagsdk.families.finished import FinishedNetwork
from nagsdk.families.packaged import PackagedWeights
from nagsdk.families.space import NetworkSpace, require_fields
from nagsdk.families.zoo.members import Members
from nagsdk.space.architecture import Architecture
from nagsdk.space.decisions import Decision
from nagsdk.space.layer import LayerSpec
from nagsdk.space.space import _values

if TYPE_CHECKING:
    from nagsdk.families.protocol import Subnet, Supernet
    from nagsdk.families.zoo.supernet import ZooSupernet

_TEXT = re.compile(r"zoo:r(\d{1,5}):([a-z0-9][a-z0-9._-]{0,63})")
_MOST_NETWORKS, _MOST_RESOLUTIONS = 127, 127


@dataclass(frozen=True)
class ZooSpace(Members):
    """Finished networks times resolutions.

    Attributes:
        networks: Ids of the finished networks; see `nagsdk.families.finished.FinishedNetwork`.
        resolution_choices: Legal input sizes in pixels, which the spaces of all networks must have.
        classes: Number of outputs of every network; that of their weights, if these are to be used.

    Raises:
        UnknownNameError: A network is not registered.
        ValueError: A network does not have all resolutions, or the choices are not distinct.
    """

    networks: tuple[str, ...]
    resolution_choices: tuple[int, ...]
    classes: int

    family = "zoo"

    def __post_init__(self) -> None:
        names, sizes = self.networks, self.resolution_choices
        texts = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
        if not texts or not 1 <= len(names) <= _MOST_NETWORKS or len(set(names)) < len(names):
            raise ValueError(f"networks must be 1 to {_MOST_NETWORKS} different names, not {names!r}")
        whole = isinstance(sizes, tuple) and all(type(size) is int and 0 < size < 10_000 for size in sizes)
        if not whole or not 1 <= len(sizes) <= _MOST_RESOLUTIONS or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"resolution_choices must be ascending whole numbers, not {sizes!r}")
        for network, space in self._members:
            if unknown := [size for size in sizes if size not in space.resolutions]:
                raise ValueError(f"{network.id} has no networks of {unknown[0]} pixels")

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:  # type: ignore[override]
        """The resolution, then the network."""
        return (Decision("resolution", self.resolution_choices), Decision("network", self.networks))

    @cached_property
    def _members(self) -> tuple[tuple[FinishedNetwork, NetworkSpace], ...]:
        found = [finished_network(name) for name in self.networks]
        return tuple((network, network.network_space().with_classes(self.classes)) for network in found)

    def packages(self) -> tuple[PackagedWeights, ...]:
        """See `NetworkSpace.packages`."""
        return tuple(network for network, _ in self._members)

    def member(self, resolution: int, choice: int) -> Architecture:
        """See `Members.member`."""
        network, space = self._members[choice]
        code = space.parse(network.architecture).code
        return space.decode(np.array([[space.resolution_index(resolution), *code[1:]]]))[0]

    @classmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """Rebuilds a space from the result of `to_dict`; lists are accepted in place of tuples."""
        require_fields(cls, definition)
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in definition.items() if k != "family"
        }
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the definition as a dictionary that can be written as JSON."""
        return {"family": self.family, **asdict(self)}

    def fixed_layers(self, resolution: int) -> tuple[LayerSpec, ...]:
        """Nothing: networks have no layer in common."""
        return ()

    def choice_layers(
        self, resolution: int, decision: int, choice: int, context: tuple[int, ...] = ()
    ) -> tuple[LayerSpec, ...]:
        """All layers of the chosen network."""
        return self._layers(resolution, choice) if decision == 1 else ()

    def _layers(self, resolution: int, choice: int) -> tuple[LayerSpec, ...]:
        return tuple(self._members[choice][1].layers(self.member(resolution, choice)))

    def layers(self, architecture: Architecture) -> tuple[LayerSpec, ...]:
        """All layers in the order of execution."""
        return self._layers(architecture.resolution, architecture.code[1])

    def _text(self, code: Sequence[int]) -> str:
        return f"{self.family}:r{self.resolution_choices[code[0]]}:{self.networks[code[1]]}"

    def parse(self, text: str) -> Architecture:
        """Reads the text form ``zoo:r224:efficientnet-lite0``; see `SearchSpace.parse`."""
        match = _TEXT.fullmatch(text.strip()) if len(text) <= 200 else None
        if match is None or match[2] not in self.networks:
            raise ArchitectureError(
                f"{text[:120]!r} is not an architecture of this space.",
                f"The form is {self.family}:r224:NAME; resolutions {_values(self.resolutions)}; names "
                f"{_values(self.networks)}.",
            )
        return self.decode(np.array([[self.resolution_index(int(match[1])), self.networks.index(match[2])]]))[0]

    def build(self, architecture: Architecture) -> Subnet:
        """See `NetworkSpace.build`."""
        choice = architecture.code[1]
        network = self._members[choice][1].build(self.member(architecture.resolution, choice))
        network.architecture = architecture
        return network

    def supernet(self) -> ZooSupernet:
        """All networks with random weights; see `NetworkSpace.supernet`."""
        from nagsdk.families.zoo.supernet import ZooSupernet

        return ZooSupernet(self)

    def packaged(self) -> ZooSupernet:
        """See `NetworkSpace.packaged`."""
        from nagsdk.families.zoo.supernet import ZooSupernet

        networks = [network.supernet(space) for network, space in self._members]
        for network, read in zip(self.packages(), networks, strict=True):
            classes = getattr(read.space, "classes", None)
            if classes != self.classes:
                raise DamagedBundleError(
                    f"The weights of {network.id} have {classes} classes, and the bundle {self.classes}.",
                    "Install the bundle again, or get it again from its source.",
                )
        return ZooSupernet(self, networks).eval()

    def member_supernets(self) -> list[Supernet]:
        """See `Members.member_supernets`."""
        return [space.supernet() for _, space in self._members]
