"""Families of networks: how the choices of a search space become torch modules.

Only the folder of a family knows it. Everything else finds it here by its name, and it is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from nagsdk.errors import UnknownNameError

if TYPE_CHECKING:
    from nagsdk.families.space import NetworkSpace

# What `SearchSpace.family` and the entry ``family`` of a bundle.json say: the class.
_FAMILIES = {"mbv3": "nagsdk.families.mobilenet_v3.space:MobileNetV3Space"}
# What ``nagsdk train --space`` says: a function that makes the space.
_PRESETS = {
    "mobilenetv3": "nagsdk.families.mobilenet_v3.presets:ofa_mobilenet_v3",
    "small": "nagsdk.families.mobilenet_v3.presets:small_mobilenet_v3",
}
_TESTING = "nagsdk.families.mobilenet_v3.presets:testing_mobilenet_v3"
# Of the file of a space that names none.
DEFAULT_FAMILY = "mbv3"


def space_from_dict(definition: Mapping[str, Any]) -> NetworkSpace:
    """Rebuilds a space of any family from its definition, as it stands under ``space`` in a bundle.json.

    Raises:
        UnknownNameError: No installed package brings its family.
        ValueError: The definition is wrong; see `NetworkSpace.from_dict`.
    """
    family = definition.get("family")
    if not isinstance(family, str):
        raise ValueError("it does not name the family of its space")
    if family not in _FAMILIES:
        raise UnknownNameError.among(
            "family of networks", family, _FAMILIES, f"Install the plugin that brings the family {family!r}."
        )
    kind: type[NetworkSpace] = resolve_name(_FAMILIES[family])
    return kind.from_dict(definition)


def preset_names() -> list[str]:
    """Names of the spaces that `preset` makes."""
    return list(_PRESETS)


def preset(name: str) -> NetworkSpace:
    """A space by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in _PRESETS:
        raise UnknownNameError.among("search space", name, _PRESETS)
    return _made(_PRESETS[name])


def testing_space() -> NetworkSpace:
    """The space of the networks that plugins are tested with: all kinds of layers, and networks that run in milliseconds."""
    return _made(_TESTING)


def _made(where: str) -> NetworkSpace:
    space: NetworkSpace = resolve_name(where)()
    return space
