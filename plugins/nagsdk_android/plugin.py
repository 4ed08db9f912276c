"""The entry point of the plugin: registers the backend without importing ADB or LiteRT."""

from __future__ import annotations

import re

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1
_ADDRESS = re.compile(r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+):[0-9]{2,5}")


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the Android backend."""
    from nagsdk_android.backend import AndroidBackend

    registry.add(AndroidBackend())


@hookimpl
def nagsdk_resolve_device(query: str) -> Device | None:
    """Makes a device of an address at which a phone listens, such as 192.168.1.7:5555."""
    if not _ADDRESS.fullmatch(query):
        return None
    return Device("android", f"The Android phone at {query}", "android", options=(("serial", query),))
