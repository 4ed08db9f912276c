"""The hooks that plugins implement. Hooks that register receive a registry to which they add typed objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nagsdk.cost.metric import Metric
    from nagsdk.device.backend import Backend
    from nagsdk.device.description import Device
    from nagsdk.families.family import Family
    from nagsdk.families.finished import FinishedNetwork
    from nagsdk.generator.strategy import Strategy
    from nagsdk.plugin.registry import Registry

hookspec = pluggy.HookspecMarker("nagsdk")


@hookspec
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers backends, which reach devices.

    Args:
        registry: Takes instances of subclasses of `nagsdk.device.backend.Backend`: ``registry.add(BoardBackend())``.
    """


@hookspec
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Registers descriptions of devices.

    Args:
        registry: Takes devices: ``registry.add(Device("board", "The board", "board"))``, or the result of
            `nagsdk.device.description.read_device`, which reads a TOML file.
    """


@hookspec
def nagsdk_register_strategies(registry: Registry[Strategy]) -> None:
    """Registers strategies, which find architectures and are chosen with ``--strategy``.

    Args:
        registry: Takes instances of subclasses of `nagsdk.generator.strategy.Strategy`.
    """


@hookspec
def nagsdk_register_metrics(registry: Registry[Metric]) -> None:
    """Registers metrics, which are costs that budgets may limit, such as energy or the largest activation.

    Args:
        registry: Takes instances of subclasses of `nagsdk.cost.metric.Metric`, which have a unit, an aggregation over
            layers and a direction.
    """


@hookspec
def nagsdk_register_spaces(registry: Registry[Family]) -> None:
    """Registers families of networks, whose bundles can then be opened and trained.

    Args:
        registry: Takes instances of `nagsdk.families.family.Family`, which say where the code of a family is:
            ``registry.add(Family("resnet", "ResNets", "my_resnets:ResNetSpace"))``.
    """


@hookspec
def nagsdk_register_networks(registry: Registry[FinishedNetwork]) -> None:
    """Registers finished networks, whose weights come with an installed package.

    Trainings can start from them (``nagsdk train --init``), and bundles of the family ``finished`` can list them.

    Args:
        registry: Takes instances of `nagsdk.families.finished.FinishedNetwork`.
    """


@hookspec(firstresult=True)
def nagsdk_resolve_device(query: str) -> Device | None:
    """Makes a device from the value of ``--device`` if it is neither an id nor an alias nor a file, such as an address.

    Args:
        query: The value that the user gave.

    Returns:
        The device, or None if this plugin does not know the value; the first plugin that returns a device decides.
    """
