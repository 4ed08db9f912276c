"""Budgets on the energy of an inference: whether a device tells it, and what it told."""

from __future__ import annotations

from pathlib import Path

from nagsdk.device.reconnecting import reconnecting
from nagsdk.errors import DeviceError
from nagsdk.measuring.energy import Energy, measure_energy
from nagsdk.pipeline.target import Target


def require_meter(target: Target) -> None:
    """Raises a DeviceError before long work starts if the device does not tell how much energy it uses.

    A device that is not available is not asked.
    """
    if target.presence.available:
        with target.locked(), target.backend.open(target.device) as session:
            try:
                session.meter()
            except DeviceError as error:
                raise type(error)(f"{target.device.id}: {error.message}", error.next_step) from error


def energy_of(target: Target, compiled: Path) -> Energy:
    """The energy of an artifact, metered in a fresh session.

    Raises:
        DeviceError: The device does not tell it, failed or was busy.
    """

    def meter() -> Energy:
        with target.locked(), target.backend.open(target.device) as session:
            return measure_energy(session, compiled, target.protocol, target.on_event)

    return reconnecting(meter, target.on_event)
