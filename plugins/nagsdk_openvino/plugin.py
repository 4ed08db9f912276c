"""The entry point of the plugin: registers the backend and a device without importing OpenVINO."""

from __future__ import annotations

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the backend."""
    from nagsdk_openvino.backend import OpenVinoBackend

    registry.add(OpenVinoBackend())


@hookimpl
def nagsdk_register_devices(registry: Registry[Device]) -> None:
    """Registers the processor as a device; for other targets, users write a device description."""
    registry.add(Device("openvino", "The processor of this machine (OpenVINO)", "openvino"))
