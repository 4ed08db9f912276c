"""Finds the backend of a device, on this machine or in a lab, and whether the device is available."""

from __future__ import annotations

from pathlib import Path

from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device, Overrides, read_device
from nagsdk.device.presence import presence_of
from nagsdk.errors import UsageError
from nagsdk.events import Listener, ignore
from nagsdk.plugin.guard import guarded_object
from nagsdk.plugin.host import host


def reach(
    device: str | Path | Device,
    overrides: Overrides,
    backend: Backend | None = None,
    lab: str | None = None,
    on_event: Listener = ignore,
) -> tuple[Backend, Device, Presence]:
    """The backend of a device, its description, and whether it is available; no bundle is needed.

    Args:
        device: See `Target`.
        overrides: Settings that replace the device's defaults.
        backend: See `Target`.
        lab: See `Target`.
        on_event: Receives notices of a lab.

    Raises:
        NagsdkError: See `Target`.
    """
    backend, device = described(device, backend, lab, on_event)
    device = overrides.on(device, backend.precisions, backend.ios)
    return backend, device, presence_of(backend, device)


def described(
    device: str | Path | Device,
    backend: Backend | None = None,
    lab: str | None = None,
    on_event: Listener = ignore,
) -> tuple[Backend, Device]:
    """The backend of a device and its description; see `reach`."""
    if lab is not None:
        if backend is not None:
            raise UsageError("A device in a lab has the backend of its worker.", "Give either a backend or a lab.")
        from nagsdk.lab.reach import reached

        return reached(_name(device), lab, on_event)
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


def _name(device: str | Path | Device) -> str:
    """The name by which a lab knows a device; descriptions stay on their host."""
    if isinstance(device, Device):
        return device.id
    return read_device(Path(device)).id if str(device).endswith(".toml") else str(device)
