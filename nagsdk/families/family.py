"""What is known about a family of networks before its code is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from nagsdk.common.foreign_code import blaming
from nagsdk.errors import DeviceError

if TYPE_CHECKING:
    from nagsdk.families.space import NetworkSpace


@dataclass(frozen=True)
class Family:
    """A family of networks, as a plugin registers it.

    It says where its code is. The code is imported into this process when a space of the family is used, because its
    networks are trained and traced here.

    Attributes:
        id: Name in `SearchSpace.family` and in the entry ``family`` of a bundle.json; prefix of text forms.
        title: Description of one line.
        space: Where its search space is, such as ``nagsdk_board.space:BoardSpace``, a subclass of
            `nagsdk.families.space.NetworkSpace`.
        presets: Names that ``nagsdk train --space`` offers, each with the place of a function that returns the space,
            such as ``nagsdk_board.space:small``.
    """

    id: str
    title: str
    space: str
    presets: Mapping[str, str] = field(default_factory=dict)

    def rebuilt(self, definition: Mapping[str, Any]) -> NetworkSpace:
        """Rebuilds a space from its definition.

        Raises:
            ValueError: The definition is invalid; see `NetworkSpace.from_dict`.
            DeviceError: The class cannot be imported, or is not one of this family.
        """
        from nagsdk.families.space import NetworkSpace

        kind = self._found(self.space)
        if not (isinstance(kind, type) and issubclass(kind, NetworkSpace) and getattr(kind, "family", "") == self.id):
            raise DeviceError(
                f"{self.space} is not a search space of the family {self.id!r}.",
                "Give a subclass of nagsdk.families.space.NetworkSpace whose attribute `family` is this name.",
            )
        return kind.from_dict(definition)

    def preset(self, name: str) -> NetworkSpace:
        """Makes one of the presets.

        Raises:
            DeviceError: Its function cannot be imported, fails, or returns something else.
        """
        from nagsdk.families.space import NetworkSpace

        make = self._found(self.presets[name])
        with blaming(f"The family of networks {self.id}", self.presets[name]):
            space = make()
        if not isinstance(space, NetworkSpace) or space.family != self.id:
            raise DeviceError(
                f"{self.presets[name]} does not return a space of the family {self.id!r}.", "Fix its plugin."
            )
        return space

    def _found(self, where: str) -> Any:
        with blaming(f"The family of networks {self.id}", where):
            return resolve_name(where)
