"""Finds the backend of a device, and whether the device is there."""

from __future__ import annotations

from pathlib import Path

from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides, read_device
from nagsdk.device.presence import presence_of
from nagsdk.errors import UsageError
from nagsdk.plugin.guard import guarded_object
from nagsdk.plugin.host import host


def reach(
    device: str | Path | Device, overrides: Overrides, backend: Backend | None = None
) -> tuple[Backend, Device, Presence]:
    """The backend of a device, its description, and whether it is available; no bundle is needed.

    Args:
        device: See `Target`.
        overrides: Settings that replace the device's defaults.
        backend: See `Target`.

    Raises:
        NagsdkError: See `Target`.
    """
    backend, device = described(device, backend)
    device = overrides.on(device, backend.precisions, backend.ios)
    return backend, device, presence_of(backend, device)


def described(device: str | Path | Device, backend: Backend | None = None) -> tuple[Backend, Device]:
    """The backend of a device and its description; unlike `reach`, does not look whether it is there."""
    if isinstance(device, Path) or (isinstance(device, str) and device.endswith(".toml")):
        device = read_device(Path(device))
    elif isinstance(device, str):
        device = host().device(device)
    elif not isinstance(device, Device):
        raise UsageError(f"{device!r} is not a device.", "Name one; `nagsdk devices` lists them.")
    if backend is None:
        backend = host().backend_of(device)
    else:
        backend = guarded_object(backend, Backend, f"The backend {backend.id}")  # type: ignore[type-abstract]
    return backend, device
