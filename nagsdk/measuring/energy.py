"""Measures the energy of an inference: the power under continuous load less that of the idle device, times latency."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nagsdk.device.backend import Session
from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore, stage
from nagsdk.measuring.protocol import Protocol

# Meters of phones change about once a second, so a shorter look tells little.
_IDLE_S, _LOAD_S, _STEP_S = 5.0, 10.0, 1.0
_PAUSE_S = 0.5
_MOST_WARMUP = 10_000_000
clock, pause = time.monotonic, time.sleep


@dataclass(frozen=True)
class Energy:
    """The energy of one network on one device.

    Attributes:
        energy_mj: Energy of one inference in millijoules, without what the idle device uses in the same time.
        gross_mj: The same with it.
        idle_w: Power of the idle device in watts.
        load_w: Power under continuous load in watts.
        latency_ms: Mean latency under that load.
        seconds: Time for which the load was metered.
    """

    energy_mj: float
    gross_mj: float
    idle_w: float
    load_w: float
    latency_ms: float
    seconds: float

    def to_dict(self) -> dict[str, float]:
        """The fields, ready for JSON."""
        return asdict(self)


def measure_energy(session: Session, network: Path, protocol: Protocol, on_event: Listener = ignore) -> Energy:
    """Meters a device while it is idle, and then while a network runs all the time.

    Args:
        session: Open session on the device; the caller must hold `device_lock`.
        network: The compiled artifact.
        protocol: Number of timed runs in a burst, and the timeout.
        on_event: Receives the progress.

    Raises:
        DeviceError: The device does not tell its energy, or charges.
        MeasurementError: A run timed out or crashed.
    """
    with stage(on_event, "Metering energy", _IDLE_S + _LOAD_S) as progress:

        def rest(passed: float) -> Mapping[str, float]:
            pause(_PAUSE_S)
            progress(passed, "Metering energy: idle")
            return {}

        idle_w, _ = _metered(session, _IDLE_S, rest)
        handle, latencies = session.load(network), list[float]()

        def run(passed: float) -> Mapping[str, float]:
            warmup = math.ceil(1e3 * _STEP_S / float(np.median(latencies))) if latencies else 1
            burst = session.time(handle, min(warmup, _MOST_WARMUP), protocol.runs, protocol.timeout_s)
            latencies.extend(burst.wall_ms)
            progress(_IDLE_S + min(passed, _LOAD_S), "Metering energy: under load")
            return burst.properties

        run(0.0)  # only finds out how long a run takes
        load_w, seconds = _metered(session, _LOAD_S, run)
        session.unload(handle)
    latency_ms = float(np.mean(latencies[protocol.runs :]))
    return Energy(max(load_w - idle_w, 0.0) * latency_ms, load_w * latency_ms, idle_w, load_w, latency_ms, seconds)


def _metered(session: Session, lasts_s: float, step: Callable[[float], Mapping[str, float]]) -> tuple[float, float]:
    """The mean power while steps are done, and for how long that was."""
    before, begun, powers = session.meter(), clock(), list[float]()
    while (passed := clock() - begun) < lasts_s:
        reported = step(passed).get("power_w")
        if not before.counters:
            powers.append(_power(session.meter()) if reported is None else reported)
    after, seconds = session.meter(), clock() - begun
    return (after.since(before) / seconds if before.counters else float(np.mean(powers))), seconds


def _power(meter: Meter) -> float:
    if meter.power_w is None:
        raise DeviceError("The device reports neither a counter of energy nor a power.", "Fix its plugin.")
    return meter.power_w
