"""Tells whether a backend reaches a device in a lab, without importing what a lab needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nagsdk.device.backend import Backend

if TYPE_CHECKING:
    from nagsdk.lab.backend import InLab


def lab_of(backend: Backend) -> InLab | None:
    """What reaches a device in a lab; None for a backend of this machine."""
    caller: InLab | None = getattr(backend, "_caller", None)
    return caller if hasattr(caller, "reserved") else None


def properties_used(backend: Backend, properties: Mapping[str, str]) -> dict[str, str]:
    """Properties of a device, with all values of those in which the devices of a lab that took its place differ."""
    lab = lab_of(backend)
    return dict(properties) if lab is None else lab.used(properties)
