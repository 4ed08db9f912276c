"""The entry point: registers backend and device without importing OpenVINO."""

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
    """Registers the processor; other targets take a description of their own."""
    registry.add(Device("openvino", "The processor of this machine (OpenVINO)", "openvino"))
