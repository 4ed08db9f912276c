"""The quiet level of a device's reference network, remembered from session to session."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

from nagsdk.device.measurement import Measurement, quiet_level_ms
from nagsdk.files import write_atomically

_SESSIONS = 20
_DAYS = 7.0


def known_quiet_ms(path: Path) -> float | None:
    """The lowest level of the last 20 sessions of the last 7 days; None where there was none.

    It forgets, so that a machine that became slower for good is quiet again some day.

    Args:
        path: A file per device fingerprint and reference network; one that cannot be read counts as absent.
    """
    return min((level for _, level in _sessions(path)), default=None)


def remember_quiet_ms(path: Path, measurements: Iterable[Measurement]) -> None:
    """Adds what a session itself saw of the reference. Hold the lock of the device.

    Args:
        path: As for `known_quiet_ms`; its folder is made where missing.
        measurements: All of the session, at least one reading among them.

    Raises:
        OutputError: The folder cannot be written.
    """
    level = quiet_level_ms(reading for measurement in measurements for reading in measurement.readings)
    write_atomically(path, json.dumps([*_sessions(path), (time.time(), level)][-_SESSIONS:]).encode())


def _sessions(path: Path) -> list[tuple[float, float]]:
    try:
        entries = [(float(at), float(level)) for at, level in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return []  # absent, or torn by other hands: the next sessions find the level anew
    return [(at, level) for at, level in entries if time.time() - at < _DAYS * 86400 and 0 < level < math.inf]
