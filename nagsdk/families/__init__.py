"""Families of networks: how the choices of a search space become torch modules.

Only the code in a family's own folder imports it directly. All other code finds a family here by its name; it is
imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from nagsdk.errors import UnknownNameError
from nagsdk.families import finished
from nagsdk.families.family import Family
from nagsdk.families.finished import FinishedNetwork

if TYPE_CHECKING:
    from nagsdk.families.space import NetworkSpace

# The families of nagsdk itself; plugins register others with the hook `nagsdk_register_spaces`.
OWN = (
    Family(
        "mbv3",
        "MobileNetV3 and ProxylessNAS of Once-for-All",
        "nagsdk.families.mobilenet_v3.space:MobileNetV3Space",
        {
            "efficientnet-lite0": "nagsdk.families.mobilenet_v3.presets:efficientnet_lite0",
            "mobilenetv3": "nagsdk.families.mobilenet_v3.presets:ofa_mobilenet_v3",
            "mobilenetv3-minimal": "nagsdk.families.mobilenet_v3.presets:minimal_mobilenet_v3",
            "proxyless": "nagsdk.families.mobilenet_v3.presets:ofa_proxyless",
            "small": "nagsdk.families.mobilenet_v3.presets:small_mobilenet_v3",
        },
    ),
    Family("zoo", "Finished networks, whose weights come with packages", "nagsdk.families.zoo.space:ZooSpace"),
    Family(
        "resnet50",
        "ResNet50D of Once-for-All",
        "nagsdk.families.resnet50.space:ResNet50Space",
        {"resnet50": "nagsdk.families.resnet50.space:ofa_resnet50"},
    ),
    Family(
        "vit",
        "Small vision transformers",
        "nagsdk.families.vit.space:VitSpace",
        {"vit": "nagsdk.families.vit.space:small_vit"},
    ),
)
_TESTING = "nagsdk.families.mobilenet_v3.presets:testing_mobilenet_v3"
# Family of a space file that names none.
DEFAULT_FAMILY = "mbv3"


def space_from_dict(definition: Mapping[str, Any]) -> NetworkSpace:
    """Rebuilds a space of any family from its definition, which a bundle.json stores under ``space``.

    Raises:
        UnknownNameError: No installed package provides the family.
        DeviceError: The code of a plugin's family fails.
        UsageError: Its decisions depend on each other too much; see `nagsdk.space.dependencies.Forest`.
        ValueError: The definition is invalid; see `NetworkSpace.from_dict`.
    """
    name = definition.get("family")
    if not isinstance(name, str):
        raise ValueError("the definition of the space does not name its family")
    found = next((family for family in _own_first(name in (own.id for own in OWN)) if family.id == name), None)
    if found is None:
        known = [family.id for family in _own_first(False)]
        why = f"Install the plugin that provides the family {name!r}. {_host().missing}".strip()
        raise UnknownNameError.among("family of networks", name, known, why)
    space = found.rebuilt(definition)
    _ = space.forest
    return space


def preset_names() -> list[str]:
    """Names that `preset` accepts."""
    return [name for family in _own_first(False) for name in family.presets]


def preset(name: str) -> NetworkSpace:
    """Makes a preset space by its name.

    Raises:
        UnknownNameError: There is no preset with this name.
        DeviceError: The code of a plugin's family fails.
    """
    for family in _own_first(any(name in own.presets for own in OWN)):
        if name in family.presets:
            return family.preset(name)
    raise UnknownNameError.among("search space", name, preset_names(), _host().missing)


def finished_names() -> list[str]:
    """Names that `finished_network` accepts."""
    return [network.id for network in _host().networks]


def finished_network(name: str) -> FinishedNetwork:
    """Returns a finished network by its name.

    Raises:
        UnknownNameError: There is none with this name.
    """
    own = {network.id: network for network in finished.OWN}
    if name in own:
        return own[name]
    found: FinishedNetwork = _host().networks.get(name)
    return found


def testing_space() -> NetworkSpace:
    """Makes the space that plugins are tested with: it has every kind of layer, and its networks take milliseconds."""
    space: NetworkSpace = resolve_name(_TESTING)()
    return space


def _own_first(own_only: bool) -> Iterable[Family]:
    """The families of nagsdk itself; unless they suffice, all of them, for which plugins are loaded."""
    return OWN if own_only else _host().families


def _host() -> Any:
    # Found by its name: the plugins are above the families, and most commands that use a family need no plugin.
    return resolve_name("nagsdk.plugin.host:host")()
