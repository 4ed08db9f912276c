"""The hooks that plugins implement. Registering hooks hand typed objects to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nagsdk.cost.metric import Metric
    from nagsdk.device.backend import Backend
    from nagsdk.device.description import Device
    from nagsdk.generator.strategy import Strategy
    from nagsdk.plugin.registry import Registry

hookspec = pluggy.HookspecMarker("nagsdk")


@hookspec
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Hands over backends, which reach devices.

    Args:
        registry: Takes instances of subclasses of `nagsdk.device.backend.Backend`: ``registry.add(BoardBackend())``.
    """


@hookspec
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Hands over device descriptions.

    Args:
        registry: Takes devices: ``registry.add(Device("board", "The board", "board"))``, or what
            `nagsdk.device.description.read_device` reads from a TOML file.
    """


@hookspec
def nagsdk_register_strategies(registry: Registry[Strategy]) -> None:
    """Hands over ways to find architectures, chosen with ``--strategy``.

    Args:
        registry: Takes instances of subclasses of `nagsdk.generator.strategy.Strategy`.
    """


@hookspec
def nagsdk_register_metrics(registry: Registry[Metric]) -> None:
    """Hands over costs that budgets may limit, such as energy or the largest activation.

    Args:
        registry: Takes instances of subclasses of `nagsdk.cost.metric.Metric`, with a unit, the way in which layers add up, and a direction.
    """


@hookspec(firstresult=True)
def nagsdk_resolve_device(query: str) -> Device | None:
    """Makes a device of what ``--device`` was given, where that is neither id nor alias nor file, such as an address.

    Args:
        query: What the user wrote.

    Returns:
        The device, or None where this plugin does not understand it; the first plugin that does is heard.
    """
