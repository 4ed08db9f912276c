"""Members of the pool that a store tells: every device that was calibrated with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nagsdk.calibration.drift import Taken, level
from nagsdk.calibration.lab import Member
from nagsdk.cost.model import LEAST_SAMPLES
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL
from nagsdk.measuring.store import Store
from nagsdk.space.space import SearchSpace


def learned(store: Store, space: SearchSpace) -> list[Member]:
    """The devices whose last calibration for a space ended, from their readings.

    Args:
        store: The store.
        space: The space of the calibrations.

    Returns:
        One member for every device, runtime and setting; their names stay the same when they are learned again.
    """
    last: dict[str, tuple[str, MeasurementKey, Mapping[str, Any]]] = {}
    for run, key, settings in store.ended():
        if settings.get("space") == space.fingerprint:
            last[key.hash] = (run, key, settings)
    found = (_member(store, space, *one) for one in last.values())
    return [member for member in found if member is not None]


def _member(
    store: Store, space: SearchSpace, run: str, key: MeasurementKey, settings: Mapping[str, Any]
) -> Member | None:
    """The member of one calibration; None where pruning has left too few of its readings."""
    readings = list(store.readings(run=run))
    taken = [Taken(one.session, one.architecture, one.reading) for one in readings]
    if len({one.name for one in taken}) < LEAST_SAMPLES:
        return None
    protocol = {**CALIBRATION_PROTOCOL.to_dict(), **settings["protocol"]}
    p50_ms = level(taken, protocol["drift"], protocol["contention"]).p50_ms
    return Member.from_dict(
        {
            "name": f"store-{key.hash[:12]}",
            "title": f"device {key.device[:12]} ({key.runtime}, {key.precision})",
            "key": key.to_dict(),
            "space": space.fingerprint,
            "date": max(one.taken_at for one in readings),
            "architectures": list(p50_ms),
            "p50_ms": list(p50_ms.values()),
        }
    )
