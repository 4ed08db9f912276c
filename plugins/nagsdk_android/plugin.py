"""The entry point: registers the backend without importing ADB or LiteRT."""

from __future__ import annotations

from nagsdk.device.backend import Backend
from nagsdk.plugin import Registry, hookimpl


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the Android backend."""
    from nagsdk_android.backend import AndroidBackend

    registry.add(AndroidBackend())
