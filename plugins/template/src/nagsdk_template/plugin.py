"""The entry point: nagsdk loads this module whenever it needs a device, so it imports nothing heavy."""

from __future__ import annotations

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the backend."""
    from nagsdk_template.backend import TemplateBackend

    registry.add(TemplateBackend())


@hookimpl
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Registers the device."""
    registry.add(Device(id="template", title="The template", backend="template"))
