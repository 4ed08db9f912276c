"""Measures networks on a device that is under continuous load, once its speed has settled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.device.backend import Burst, Session
from nagsdk.events import Listener, ignore, stage
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.settling import Settling, settling

# A network runs untimed for most of every step, and is timed at its end: no plugin must know that it is loaded.
_STEPS, _LEAST_STEP_S, _MOST_STEP_S = 400, 0.2, 5.0
# As many as one call of TFLite's benchmark tool reports singly.
_RUNS_PER_STEP = 3
_MOST_WARMUP = 10_000_000
# Without a change of the speed, only a temperature that has settled ends the load early, and not before this share.
_LEAST_SHARE, _SETTLED_K, _ZERO_C = 0.25, 2.0, 273.15
# A frequency that differs by less is the same.
_SAME = 0.01
# The device rests while the model is fitted, so that is done only after so many times more moments.
_FIT_AGAIN = 1.1
clock = time.monotonic


@dataclass(frozen=True)
class Moment:
    """The state of a device at one moment of a load.

    Attributes:
        seconds: Time since the load began.
        ms: Median latency of the network that the device is loaded with.
        properties: What the device reported besides times.
    """

    seconds: float
    ms: float
    properties: Mapping[str, float]


@dataclass(frozen=True)
class Load:
    """How a device behaved under continuous load.

    Attributes:
        moments: The moments at which it was looked at.
        longest_s: Longest time for which it was to be loaded.
        model: The fitted model; None if there were too few moments.
        settled: Whether the load ended early, because speed or temperature no longer changed.
        before: State of the device before the load, as far as it is known.
    """

    moments: tuple[Moment, ...]
    longest_s: float
    model: Settling | None
    settled: bool
    before: Mapping[str, float]

    @property
    def slowdown(self) -> float:
        """How many times longer a network takes under load; 1 if that is not known."""
        return 1.0 if self.model is None else self.model.hot / self.model.cold

    @property
    def cap(self) -> float:
        """The share of its highest frequency that the device allows for good; 1 if it allows all of it.

        A cap that was there before the load, and that the load does not change, does not come from the load.
        """
        told = [m.properties["frequency_cap"] for m in self.moments if "frequency_cap" in m.properties]
        if told:
            return told[-1]
        first = self.before.get("frequency_share", 1.0)
        shares = [m.properties["frequency_share"] for m in self.moments if "frequency_share" in m.properties]
        return first if first < 1 - _SAME and all(abs(s - first) <= _SAME for s in shares) else 1.0

    def to_dict(self) -> dict[str, Any]:
        """The fields that reports draw, ready for JSON; see `nagsdk.manifest.report_schema.SustainedRecord`."""
        shown = {"temperature_c": "hottest_c", "frequency_mhz": "frequency_mhz"}
        other = {"temperature_c": "temperature_c", "frequency_mhz": "sm_clock_mhz"}
        return {
            "seconds": [m.seconds for m in self.moments],
            "ms": [m.ms for m in self.moments],
            **{
                key: [m.properties.get(name, m.properties.get(other[key])) for m in self.moments]
                for key, name in shown.items()
            },
            "longest_s": self.longest_s,
            "settled": self.settled,
            "slowdown": self.slowdown,
            "frequency_cap": self.cap,
            "model": None if self.model is None else self.model.to_dict(),
        }


@dataclass(frozen=True)
class Sustained:
    """Networks measured under load.

    Attributes:
        load: What happened until the speed had settled.
        found: The measurements, by the name of the network.
    """

    load: Load
    found: Mapping[str, Measurement]


def measure_sustained(
    session: Session,
    models: Mapping[str, Path],
    longest_s: float,
    protocol: Protocol,
    *,
    look: Callable[[], Mapping[str, float]] = dict,
    environment: Mapping[str, str] | None = None,
    keep: Callable[[str, Reading], None] = lambda name, reading: None,
    on_event: Listener = ignore,
) -> Sustained:
    """Loads a device until its speed has settled, and then measures networks in turns while the load goes on.

    The first network is the load. No reading is left out as disturbed: whatever slows the device down now is what it
    does under load.

    Args:
        session: Open session on the device; the caller must hold `device_lock`.
        models: Compiled artifacts by name.
        longest_s: Seconds after which the device counts as settled in any case.
        protocol: Numbers of runs and rounds.
        look: Returns the state of the device, where the session does not report it.
        environment: Properties that are recorded with every measurement.
        keep: Called with the name of a network and every reading under load.
        on_event: Receives the progress.

    Raises:
        DeviceError: An artifact cannot be loaded.
        MeasurementError: A run timed out or crashed.
    """
    session.sustain()
    before = look()
    handles = {name: session.load(path) for name, path in models.items()}
    lead, step_s = next(iter(models)), min(max(longest_s / _STEPS, _LEAST_STEP_S), _MOST_STEP_S)
    paces: dict[str, float] = {}

    def burst(name: str, runs: int, lasts_s: float) -> Burst:
        warmup = 1 if name not in paces else math.ceil(1e3 * lasts_s / paces[name])
        taken = session.time(handles[name], min(warmup, _MOST_WARMUP), runs, protocol.timeout_s)
        paces[name] = float(np.median(taken.wall_ms))
        return replace(taken, properties={**look(), **taken.properties})

    begun = clock()
    moments: list[Moment] = []

    def watch(taken: Burst) -> None:
        moments.append(Moment(clock() - begun, float(np.median(taken.wall_ms)), taken.properties))

    model, settled, fitted_to = None, False, 1
    with stage(on_event, "Loading the device", longest_s) as progress:
        while not settled and clock() - begun < longest_s:
            watch(burst(lead, _RUNS_PER_STEP, step_s))
            if len(moments) >= _FIT_AGAIN * fitted_to:
                model, fitted_to = _fitted(moments, longest_s), len(moments)
                settled = _is_settled(moments, model, longest_s)
            progress(min(moments[-1].seconds, longest_s), _told(moments[-1]))
    load = Load(tuple(moments), longest_s, _fitted(moments, longest_s), settled, before)
    hot = protocol.under_load(longest_s)
    readings: dict[str, list[Reading]] = {name: [] for name in models}

    def measurement(name: str) -> Measurement:
        return Measurement(tuple(readings[name]), 1.0, hot, dict(environment or {}))

    with stage(on_event, "Measuring under load", len(models) * protocol.rounds) as progress:
        for number in range(protocol.most_rounds):
            todo = [name for name in models if number < protocol.rounds or not measurement(name).sufficient]
            if not todo:
                break
            for name in todo:
                taken = burst(name, protocol.runs, step_s)
                readings[name].append(Reading(taken, 1.0, 1.0))
                keep(name, readings[name][-1])
                if name == lead:
                    watch(taken)
                done = sum(min(len(kept), protocol.rounds) for kept in readings.values())
                progress(done, f"Measuring under load, {_told(moments[-1])}")
    for handle in handles.values():
        session.unload(handle)
    return Sustained(replace(load, moments=tuple(moments)), {name: measurement(name) for name in models})


def _fitted(moments: Sequence[Moment], longest_s: float) -> Settling | None:
    return settling([m.seconds for m in moments], [m.ms for m in moments], max(longest_s, moments[-1].seconds))


def _is_settled(moments: Sequence[Moment], model: Settling | None, longest_s: float) -> bool:
    """Whether the hot state is known well enough, so that a longer load would tell nothing new."""
    now = moments[-1].seconds
    if model is None or model.over(now):
        return model is not None
    if model.changes or now < _LEAST_SHARE * longest_s:
        return False
    warmth = [m.properties.get("hottest_c", m.properties.get("temperature_c")) for m in moments]
    known = [celsius + _ZERO_C for celsius in warmth if celsius is not None]
    if len(known) < len(moments):
        return False
    # Later than the end of the load, since a temperature that still rises slows the device down some day.
    heat = settling([m.seconds for m in moments], known, 2 * longest_s)
    return heat is not None and max(heat.high - known[-1], known[-1] - heat.low) <= _SETTLED_K


def _told(moment: Moment) -> str:
    warmth = moment.properties.get("hottest_c", moment.properties.get("temperature_c"))
    return f"{moment.ms:.3g} ms" + ("" if warmth is None else f", {warmth:.0f} °C")
