"""Calibration: measures reference architectures on a device and fits its cost model."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np

from nagsdk.architecture import Architecture
from nagsdk.cost.drift import Levelled, Taken, level
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import LEAST_SAMPLES, CostModel
from nagsdk.cost.prior import Jitter, Prior, flat_prior
from nagsdk.cost.references import Allowed, pick_references, reference_architecture
from nagsdk.device import protocol as timing
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.device.measure import measure
from nagsdk.device.measurement import Reading
from nagsdk.errors import DeviceUnavailableError, MeasurementError, UsageError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.space.base import Codes
from nagsdk.space.mobilenet_v3 import MobileNetV3Space

# Short bursts often rather than long ones seldom, and several sessions: the speed of a machine drifts, and a
# process keeps the luck of its memory layout.
PROTOCOL = timing.Protocol(warmup=1, runs=5, reference_runs=3, rounds=5, width=1.0, most_rounds=5, spread_s=0.0, patience_s=0.0)
SESSIONS = 4
SAMPLES = 30
_PERCENTILES = (75.0, 90.0, 95.0, 99.0)
_EXPORT_SHARE = 0.4
_RESUME_WITHIN_S = 6 * 3600.0
# How much the prior's figure for the scatter of sessions counts, in sessions.
_PRIOR_SESSIONS = 2
_LOG = "calibration"
_SEARCH_S = 15.0


class CalibrationStore(Protocol):
    """Where readings are kept as they are taken; `nagsdk.store.Store` is one."""

    def add(self, device: str, architecture: str, payload: Mapping[str, Any]) -> None:
        """Keeps one payload under a key, durably."""

    def readings(self, device: str, architecture: str) -> list[dict[str, Any]]:
        """The payloads of a key, oldest first."""


@dataclass(frozen=True)
class Calibration:
    """What came out of a calibration.

    Attributes:
        model: The fitted cost model.
        codes: The measured architectures, shape (n, decisions).
        taken: All readings that it rests on, by session in the order of time.
        levelled: Their latencies at the quiet speed of the device.
        seconds: What it took, exports included.
        complete: Whether all readings were taken; False where time ran out.
    """

    model: CostModel
    codes: Codes
    taken: tuple[Taken, ...]
    levelled: Levelled
    seconds: float
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary; accuracy is that of left-out samples."""
        return {
            **self.model.accuracy,
            "samples": len(self.codes),
            "readings": len(self.taken),
            "sessions": len(self.levelled.sessions_ms),
            "contended_share": self.levelled.contended,
            "fastest_ms": min(self.levelled.p50_ms.values()),
            "slowest_ms": max(self.levelled.p50_ms.values()),
            "p90_over_p50": self.model.jitter.factor(90.0),
            "session_spread": self.model.jitter.sessions,
            "seconds": self.seconds,
            "complete": self.complete,
        }


def calibrate(
    space: MobileNetV3Space,
    device: Device,
    backend: Backend,
    *,
    prior: Prior | None = None,
    samples: int = SAMPLES,
    within_s: float | None = None,
    store: CalibrationStore | None = None,
    seed: int = 0,
    allowed: Allowed | None = None,
    protocol: timing.Protocol = PROTOCOL,
    sessions: int = SESSIONS,
    listener: Listener = ignore,
) -> Calibration:
    """Measures reference architectures with random weights and fits the cost model of a device.

    With a store, a calibration of the same device and settings that did not end within the last six hours
    goes on where it stopped. Hold `device_lock` around it.

    Args:
        space: Whose architectures are priced.
        device: Its description.
        backend: Reaches it.
        prior: Shape that the fit is pulled towards; none known where None.
        samples: Architectures to measure, at least 5.
        within_s: Stops measuring after so many seconds; at least one reading of every exported network is taken.
        store: Keeps every reading at once.
        seed: Of the choice, the weights' initialisation and the order of measuring.
        allowed: Choices that the device supports, shape (resolutions, decisions, most choices).
        protocol: How to time; its rounds are those of one session.
        sessions: Fresh connections to the device over which the rounds are repeated.
        listener: Told the progress.

    Raises:
        DeviceUnavailableError: The device is not there.
        MeasurementError: Time ran out before 5 networks were measured, or a run hung or died.
        UsageError: Fewer than 5 samples are asked for.
    """
    if samples < LEAST_SAMPLES:
        raise UsageError(f"{samples} measured architectures are too few to fit a cost model.", f"Ask for {LEAST_SAMPLES} or more.")
    begun = time.monotonic()
    presence = backend.presence(device)
    if not presence.available:
        raise DeviceUnavailableError(
            f"{device.title or device.id} cannot be measured on: {presence.reason}", "`nagsdk devices` shows what is there."
        )
    known = prior.for_threads(device.threads) if prior is not None else flat_prior(FeatureTable.of(space))
    architectures = space.decode(pick_references(space, known, samples, seed, allowed))
    reference = reference_architecture(space, allowed)
    log = _Log.open(store, presence.fingerprint, architectures, reference, protocol, sessions, seed)
    if log.taken:
        listener(Notice(f"Going on with a calibration that stopped after {len(log.taken)} readings."))
    deadline = None if within_s is None else begun + within_s
    with TemporaryDirectory(prefix="nagsdk-calibration-") as folder:
        limit = None if within_s is None else begun + _EXPORT_SHARE * within_s
        models = export_untrained(space, device, backend, [reference, *architectures], Path(folder), seed, limit, listener)
        base = models.pop(reference.text)
        complete = len(models) == len(architectures)
        alone: tuple[float, ...] = ()
        try:
            for number in range(sessions):
                for rounds, names in sorted(log.missing(number, list(models), protocol.rounds).items()):
                    with backend.open(device) as session:
                        measure(
                            session,
                            {name: models[name] for name in names},
                            base,
                            replace(protocol, rounds=rounds, most_rounds=rounds + protocol.most_rounds - protocol.rounds),
                            environment=presence.properties,
                            listener=listener,
                            on_reading=log.keeper(number, deadline, len(models)),
                            seed=seed + number,
                        )
            alone = _reference_alone(backend, device, base, log.taken, protocol, listener)
        except _OutOfTimeError:
            complete = False
    return _conclude(space, known, log, alone, presence.fingerprint, presence.properties, begun, complete, listener)


def _reference_alone(
    backend: Backend, device: Device, base: Path, taken: list[Taken], protocol: timing.Protocol, listener: Listener
) -> tuple[float, ...]:
    """Times of the reference in one more, longer session, where those before do not agree on its quiet level; else none."""
    levelled = level(taken, protocol.drift, protocol.contention)
    if 2 * len(levelled.quiet_sessions_ms) > len(levelled.sessions_ms):
        return ()
    listener(Notice(f"{device.id} changes its speed; looking for moments when nothing disturbs it."))
    patient = replace(protocol, rounds=1, most_rounds=1, spread_s=_SEARCH_S)
    with backend.open(device) as session:
        (found,) = measure(session, {"reference": base}, base, patient, listener=listener).values()
    return tuple(ms for reading in found.readings for ms in (reading.before_ms, reading.after_ms))


class _OutOfTimeError(Exception):
    """Ends a session at the deadline."""


def export_untrained(
    space: MobileNetV3Space,
    device: Device,
    backend: Backend,
    architectures: list[Architecture],
    folder: Path,
    seed: int,
    limit: float | None = None,
    listener: Listener = ignore,
) -> dict[str, Path]:
    """Exports networks with random weights, which cost as much time as trained ones.

    Args:
        space: Of the architectures.
        device: The target.
        backend: Exports and compiles for it.
        architectures: What to export.
        folder: Where to leave the files; made where missing.
        seed: Of the weights.
        limit: Value of `time.monotonic` after which no more than a few are exported.
        listener: Told the progress.

    Returns:
        Compiled artifacts by the text form of the architecture.
    """
    import torch

    from nagsdk.graph.trace import trace
    from nagsdk.supernet.extract import Subnet

    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    with stage(listener, "Exporting", len(architectures)) as progress, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, architecture in enumerate(architectures):
            if limit is not None and number > LEAST_SAMPLES and time.monotonic() > limit:
                break
            path = folder / f"{architecture.hash}{backend.suffix}"
            backend.export(trace(Subnet(space, architecture).eval(), architecture.resolution, device.batch), path, device)
            models[architecture.text] = backend.compile(path, device, folder)
            progress(number + 1, architecture.text)
    return models


@dataclass
class _Log:
    """The readings of one calibration, in memory and in the store."""

    store: CalibrationStore | None
    key: str
    run: str
    settings: dict[str, Any]
    taken: list[Taken]
    at: list[int]

    @classmethod
    def open(
        cls,
        store: CalibrationStore | None,
        device: str,
        architectures: list[Architecture],
        reference: Architecture,
        protocol: timing.Protocol,
        sessions: int,
        seed: int,
    ) -> _Log:
        """Goes on with the last calibration of the same settings if it did not end, or begins one."""
        names = [a.text for a in architectures]
        settings: dict[str, Any] = {
            "protocol": protocol.to_dict(),
            "sessions": sessions,
            "seed": seed,
            "reference": reference.text,
            "architectures": names,
        }
        key = f"{device}/calibration"
        if store is not None:
            runs = store.readings(key, _LOG)
            ended = {entry["run"] for entry in runs if entry["state"] == "ended"}
            for entry in reversed(runs):
                same = entry["state"] == "begun" and entry["run"] not in ended and entry["settings"] == settings
                if same and time.time() - entry["time"] < _RESUME_WITHIN_S:
                    found = [r for name in names for r in store.readings(key, name) if r["run"] == entry["run"]]
                    found.sort(key=lambda r: r["number"])
                    taken = [Taken(r["session"], r["name"], Reading.from_dict(r["reading"])) for r in found]
                    return cls(store, key, entry["run"], settings, taken, [r["at"] for r in found])
        log = cls(store, key, uuid.uuid4().hex, settings, [], [])
        log._note("begun", settings=settings)
        return log

    def _note(self, state: str, **more: Any) -> None:
        if self.store is not None:
            self.store.add(self.key, _LOG, {"run": self.run, "state": state, "time": time.time(), **more})

    def end(self) -> None:
        """Marks the calibration as ended: the next one begins anew."""
        self._note("ended")

    def missing(self, at: int, names: list[str], rounds: int) -> dict[int, list[str]]:
        """Networks that lack readings of a session, by the number lacking."""
        result: dict[int, list[str]] = {}
        for name in names:
            had = sum(1 for t, a in zip(self.taken, self.at, strict=True) if a == at and t.name == name)
            if had < rounds:
                result.setdefault(rounds - had, []).append(name)
        return result

    def keeper(self, at: int, deadline: float | None, networks: int) -> Any:
        """A function for `measure` that keeps every reading."""
        session = uuid.uuid4().hex

        def keep(name: str, reading: Reading) -> None:
            self.taken.append(Taken(session, name, reading))
            self.at.append(at)
            if self.store is not None:
                payload = {
                    "run": self.run,
                    "number": len(self.taken),
                    "session": session,
                    "at": at,
                    "name": name,
                    "reading": reading.to_dict(),
                }
                self.store.add(self.key, name, payload)
            if deadline is not None and time.monotonic() > deadline and len({t.name for t in self.taken}) == networks:
                raise _OutOfTimeError

        return keep


def _conclude(
    space: MobileNetV3Space,
    prior: Prior,
    log: _Log,
    alone: tuple[float, ...],
    fingerprint: str,
    properties: Mapping[str, str],
    begun: float,
    complete: bool,
    listener: Listener,
) -> Calibration:
    protocol = timing.Protocol(**log.settings["protocol"])
    levelled = level(log.taken, protocol.drift, protocol.contention, alone)
    if len(levelled.p50_ms) < LEAST_SAMPLES:
        raise MeasurementError(f"Only {len(levelled.p50_ms)} networks were measured.", "Allow more time (--within), or ask for no limit.")
    if levelled.disturbed:
        listener(
            Notice(
                f"Other processes took the processor away during {levelled.contended:.0%} of the readings: CPU times stand in for wall "
                "times, and the cost model is less accurate. Stop other work and calibrate again.",
                warning=True,
            )
        )
    codes = space.encode([space.parse(name) for name in levelled.p50_ms])
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": dict(properties),
        **{k: v for k, v in log.settings.items() if k != "architectures"},
        "readings": len(log.taken),
        "contended_share": levelled.contended,
        "sessions_reference_ms": list(levelled.sessions_ms),
        "reference_ms": levelled.reference_ms,
    }
    values = np.array(list(levelled.p50_ms.values()))
    model = CostModel.fit(
        space, prior, codes, values, device=fingerprint, jitter=measured_jitter(log.taken, levelled, prior.jitter, protocol), facts=facts
    )
    log.end()
    return Calibration(model, codes, tuple(log.taken), levelled, time.monotonic() - begun, complete)


def measured_jitter(taken: list[Taken], levelled: Levelled, known: Jitter, protocol: timing.Protocol) -> Jitter:
    """Percentiles of single runs over the median of their network and session, and the scatter of sessions, in quiet.

    Args:
        taken: Readings.
        levelled: `level` of them.
        known: From elsewhere; its scatter of sessions counts as that of two more sessions.
        protocol: How they were taken.
    """
    runs: dict[tuple[str, str], list[float]] = {}
    for one in taken:
        quiet = max(one.reading.before_ms, one.reading.after_ms) <= levelled.reference_ms * protocol.drift
        if quiet and one.reading.contention <= protocol.contention:
            runs.setdefault((one.session, one.name), []).extend(one.reading.burst.wall_ms)
    ratios = [np.array(v) / np.median(v) for v in runs.values() if len(v) >= 2 * protocol.runs]
    measured = {p: float(np.percentile(np.concatenate(ratios), p)) for p in _PERCENTILES} if ratios else dict(known.runs)
    levels = np.log(levelled.quiet_sessions_ms)
    variance = (_PRIOR_SESSIONS * known.sessions**2 + ((levels - levels.mean()) ** 2).sum()) / (_PRIOR_SESSIONS + len(levels) - 1)
    return Jitter(measured, float(np.sqrt(variance)))
