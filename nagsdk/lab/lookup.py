"""Tells whether a backend reaches a device in a lab, without importing what a lab needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.device.backend import Backend

if TYPE_CHECKING:
    from nagsdk.lab.backend import InLab


def lab_of(backend: Backend) -> InLab | None:
    """What reaches a device in a lab; None for a backend of this machine."""
    caller: InLab | None = getattr(backend, "_caller", None)
    return caller if hasattr(caller, "reserved") else None
