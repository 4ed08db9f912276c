"""Families of networks: how the choices of a search space become torch modules.

Only the code in a family's own folder imports it directly. All other code finds a family here by its name; it is
imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from nagsdk.errors import UnknownNameError

if TYPE_CHECKING:
    from nagsdk.families.space import NetworkSpace

# Class of each family, by the name in `SearchSpace.family` and in the entry ``family`` of a bundle.json.
_FAMILIES = {"mbv3": "nagsdk.families.mobilenet_v3.space:MobileNetV3Space"}
# Function that makes each preset space, by the name given to ``nagsdk train --space``.
_PRESETS = {
    "mobilenetv3": "nagsdk.families.mobilenet_v3.presets:ofa_mobilenet_v3",
    "small": "nagsdk.families.mobilenet_v3.presets:small_mobilenet_v3",
}
_TESTING = "nagsdk.families.mobilenet_v3.presets:testing_mobilenet_v3"
# Family of a space file that names none.
DEFAULT_FAMILY = "mbv3"


def space_from_dict(definition: Mapping[str, Any]) -> NetworkSpace:
    """Rebuilds a space of any family from its definition, which a bundle.json stores under ``space``.

    Raises:
        UnknownNameError: No installed package provides the family.
        ValueError: The definition is invalid; see `NetworkSpace.from_dict`.
    """
    family = definition.get("family")
    if not isinstance(family, str):
        raise ValueError("the definition of the space does not name its family")
    if family not in _FAMILIES:
        raise UnknownNameError.among(
            "family of networks", family, _FAMILIES, f"Install the plugin that provides the family {family!r}."
        )
    kind: type[NetworkSpace] = resolve_name(_FAMILIES[family])
    return kind.from_dict(definition)


def preset_names() -> list[str]:
    """Names that `preset` accepts."""
    return list(_PRESETS)


def preset(name: str) -> NetworkSpace:
    """Makes a preset space by its name.

    Raises:
        UnknownNameError: There is no preset with this name.
    """
    if name not in _PRESETS:
        raise UnknownNameError.among("search space", name, _PRESETS)
    return _made(_PRESETS[name])


def testing_space() -> NetworkSpace:
    """Makes the space that plugins are tested with: it has every kind of layer, and its networks take milliseconds."""
    return _made(_TESTING)


def _made(where: str) -> NetworkSpace:
    space: NetworkSpace = resolve_name(where)()
    return space
