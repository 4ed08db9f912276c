"""The hooks that plugins implement. Registering hooks hand typed objects to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nagsdk.device.backend import Backend
    from nagsdk.device.description import Device
    from nagsdk.generator.strategy import Strategy
    from nagsdk.plugin import Registry

hookspec = pluggy.HookspecMarker("nagsdk")


@hookspec
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Hands over backends: ``registry.add(MyBackend())``."""


@hookspec
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Hands over device descriptions, such as ``registry.add(read_device(path))``."""


@hookspec
def nagsdk_register_strategies(registry: Registry[Strategy]) -> None:
    """Hands over ways to find architectures: ``registry.add(MyStrategy())``."""
