"""Calibration: measures reference architectures on a device and fits its cost model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.calibration.drift import Levelled, Taken, level
from nagsdk.calibration.export import export_untrained
from nagsdk.calibration.log import Log, OutOfTimeError
from nagsdk.calibration.references import Allowed, pick_references, reference_architecture
from nagsdk.common.temporary import temporary_folder
from nagsdk.common.wording import counted
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import LEAST_SAMPLES, SAMPLES, CostModel, accuracy
from nagsdk.cost.prior import Jitter, Prior, flat_prior
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.device.presence import presence_of
from nagsdk.device.reconnecting import MOST_LOST, reconnecting
from nagsdk.errors import ConnectionLostError, DeviceError, DeviceUnavailableError, MeasurementError, UsageError
from nagsdk.events import Listener, Notice, ignore
from nagsdk.families.space import NetworkSpace
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import OnReading, measure
from nagsdk.measuring.measurement import Measurement
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL, Protocol
from nagsdk.measuring.store import Store
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes

SESSIONS = 4
_PERCENTILES = (75.0, 90.0, 95.0, 99.0)
# Share of the time limit after which no further network is exported.
_EXPORT_SHARE = 0.4
# Weight of the prior's scatter between sessions, in sessions.
_PRIOR_SESSIONS = 2
# Seconds to search for quiet moments where the sessions disagree on the quiet level of the reference.
_SEARCH_S = 15.0
# Networks that are exported at a time while a device other than this machine measures the previous ones.
_AHEAD = 5
# A calibration ends early once the upper bound at this confidence lies at most this share above the mean and two
# sessions agree.
_CONFIDENCE, NARROW = 0.9, 0.03
_LEAST_SESSIONS = 2


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        model: The fitted cost model.
        codes: The measured architectures, shape (n, decisions).
        taken: All readings that the model is fitted to, by session in the order of time.
        levelled: The latencies from these readings, at the quiet speed of the device.
        seconds: Duration of the calibration, exports included.
        complete: Whether all readings were taken, or enough for a narrow interval; False if time ran out.
        before: Accuracy of the prior on the measured architectures; empty if the prior does not know the scale of
            the latencies.
    """

    model: CostModel
    codes: Codes
    taken: tuple[Taken, ...]
    levelled: Levelled
    seconds: float
    complete: bool
    before: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns a JSON-ready summary; the accuracy is cross-validated, on samples left out of the fit."""
        return {
            **self.model.accuracy,
            "before": dict(self.before) or None,
            "samples": len(self.codes),
            "interval": self.model.margin(_CONFIDENCE) if self.model.most_confidence >= _CONFIDENCE else None,
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
    space: NetworkSpace,
    device: Device,
    backend: Backend,
    *,
    prior: Prior | None = None,
    samples: int = SAMPLES,
    within_s: float | None = None,
    store: Store | None = None,
    seed: int = 0,
    allowed: Allowed | None = None,
    near: Codes | None = None,
    protocol: Protocol = CALIBRATION_PROTOCOL,
    sessions: int = SESSIONS,
    on_event: Listener = ignore,
) -> Calibration:
    """Measures reference architectures with random weights and fits the cost model of a device.

    With a store, the function resumes a calibration of the same device and settings that was begun within the last
    six hours and did not end. If the connection to the device is lost, it connects again, for as long as that yields
    readings. It ends early when the interval of the predictions is narrow. The caller must hold `device_lock`.

    Args:
        space: Search space whose architectures the cost model predicts.
        device: Description of the device.
        backend: Backend that reaches the device.
        prior: Prior that the fit is pulled towards; a flat prior if None.
        samples: Number of architectures to measure, at least 5.
        within_s: Seconds after which measuring stops; at least one reading of every exported network is taken.
        store: Stores every reading as soon as it is taken.
        seed: Seed of the choice of architectures, of the initial weights and of the order of measuring.
        allowed: Choices that the device supports, shape (resolutions, decisions, most choices).
        near: Architectures like those that will be generated, shape (n, decisions); some of them are measured.
        protocol: How to time; its rounds are those of one session.
        sessions: Number of fresh connections to the device over which the rounds are repeated.
        on_event: Receives the progress.

    Raises:
        DeviceUnavailableError: The device is not available.
        MeasurementError: Time ran out before 5 networks were measured, or a run timed out or crashed.
        UsageError: Fewer than 5 samples were requested.
    """
    if samples < LEAST_SAMPLES:
        raise UsageError(
            f"{samples} measured architectures are too few to fit a cost model.", f"Ask for {LEAST_SAMPLES} or more."
        )
    begun = time.monotonic()
    presence = presence_of(backend, device)
    if not presence.available:
        raise DeviceUnavailableError(
            f"Nothing can be measured on {device.title or device.id}: {presence.reason}",
            "`nagsdk devices` shows which devices are available.",
        )
    known = prior.for_threads(device.threads) if prior is not None else flat_prior(FeatureTable.of(space))
    architectures = space.decode(pick_references(space, known, samples, seed, allowed, near))
    reference = reference_architecture(space, allowed)
    log = Log.open(
        store,
        MeasurementKey.of(device, presence, protocol),
        architectures,
        reference,
        protocol,
        sessions,
        seed,
        space.fingerprint,
    )
    if log.taken:
        on_event(Notice(f"Resuming a calibration that stopped after {counted(len(log.taken), 'reading')}."))
    deadline = None if within_s is None else begun + within_s
    run = _Run(space, device, backend, known, presence, protocol, log, on_event)
    alone: tuple[float, ...] = ()
    with temporary_folder() as folder, ThreadPoolExecutor(1) as exporter:
        limit = None if within_s is None else begun + _EXPORT_SHARE * within_s

        def export(part: list[Architecture]) -> dict[str, Path]:
            return export_untrained(
                space, device, backend, part, folder, seed, limit, ignore if backend.runs_elsewhere else on_event
            )

        # Where the device is this machine, exporting would disturb the measuring: all exports come first.
        size = _AHEAD if backend.runs_elsewhere else samples
        parts = [architectures[i : i + size] for i in range(0, len(architectures), size)]
        first, *exports = [exporter.submit(export, part) for part in [[reference], *parts]]
        models: dict[str, Path] = {}
        base = first.result()[reference.text]
        try:
            for part in exports:
                models.update(part.result())
                run.measure(0, models, base, log.keeper(0, deadline, len(models)), seed)
            for number in range(1, sessions):
                if number >= _LEAST_SESSIONS and run.narrow():
                    on_event(
                        Notice(f"Predictions are certain to {NARROW:.0%}: {number} of {sessions} sessions were enough.")
                    )
                    break
                run.measure(number, models, base, log.keeper(number, deadline, len(models)), seed + number)
            alone = _reference_alone(backend, device, base, log.taken, protocol, on_event)
            complete = len(models) == len(architectures)
        except OutOfTimeError:
            complete = False
        finally:
            exporter.shutdown(cancel_futures=True)
    return _conclude(run, alone, begun, complete)


@dataclass
class _Run:
    """One running calibration: its inputs and the readings so far."""

    space: NetworkSpace
    device: Device
    backend: Backend
    prior: Prior
    presence: Presence
    protocol: Protocol
    log: Log
    on_event: Listener

    def measure(self, turn: int, models: Mapping[str, Path], base: Path, keeper: OnReading, seed: int) -> None:
        """Takes what a session is still missing, again after an error that followed a reading or says it may help."""
        fruitless = 0
        while missing := self.log.missing(turn, list(models), self.protocol.rounds):
            count_before = len(self.log.taken)
            try:
                for rounds, names in sorted(missing.items()):
                    with self.backend.open(self.device) as session:
                        measure(
                            session,
                            {name: models[name] for name in names},
                            base,
                            replace(
                                self.protocol,
                                rounds=rounds,
                                most_rounds=rounds + self.protocol.most_rounds - self.protocol.rounds,
                            ),
                            environment=self.presence.properties,
                            on_event=self.on_event,
                            on_reading=keeper,
                            seed=seed,
                        )
            except DeviceError as error:
                fruitless = fruitless + 1 if len(self.log.taken) == count_before else 0
                if fruitless >= (MOST_LOST if isinstance(error, ConnectionLostError) else 1):
                    raise
                self.on_event(
                    Notice(
                        f"{error.message} Connecting again; {counted(len(self.log.taken), 'reading')} so far stay.",
                        warning=True,
                    )
                )

    def narrow(self) -> bool:
        """Whether the readings so far determine the latencies precisely enough to end early."""
        levelled = level(self.log.taken, self.protocol.drift, self.protocol.contention)
        agree = len(levelled.quiet_sessions_ms) == len(levelled.sessions_ms) and not levelled.disturbed
        if not agree or len(levelled.p50_ms) < LEAST_SAMPLES:
            return False
        model = self.fit(levelled, {})
        return model.most_confidence >= _CONFIDENCE and model.margin(_CONFIDENCE) <= NARROW

    def fit(self, levelled: Levelled, facts: Mapping[str, Any]) -> CostModel:
        """Fits the cost model to the readings so far."""
        codes = self.space.encode([self.space.parse(name) for name in levelled.p50_ms])
        jitter = measured_jitter(self.log.taken, levelled, self.prior.jitter, self.protocol)
        values = np.array(list(levelled.p50_ms.values()))
        return CostModel.fit(
            self.space, self.prior, codes, values, device=self.presence.fingerprint, jitter=jitter, facts=facts
        )


def _reference_alone(
    backend: Backend, device: Device, base: Path, taken: list[Taken], protocol: Protocol, on_event: Listener
) -> tuple[float, ...]:
    """Times the reference network alone in one more, longer session, if the sessions disagree on its quiet level.

    Returns:
        The times in milliseconds; empty if the sessions agree.
    """
    levelled = level(taken, protocol.drift, protocol.contention)
    if 2 * len(levelled.quiet_sessions_ms) > len(levelled.sessions_ms):
        return ()
    on_event(Notice(f"The speed of {device.id} changes between sessions; searching for quiet moments."))
    patient = replace(protocol, rounds=1, most_rounds=1, spread_s=_SEARCH_S)

    def search() -> dict[str, Measurement]:
        with backend.open(device) as session:
            return measure(session, {"": base}, base, patient, on_event=on_event)

    readings = reconnecting(search, on_event)[""].readings
    return tuple(ms for reading in readings for ms in (reading.before_ms, reading.after_ms))


def _conclude(run: _Run, alone: tuple[float, ...], begun: float, complete: bool) -> Calibration:
    log, protocol = run.log, run.protocol
    levelled = level(log.taken, protocol.drift, protocol.contention, alone)
    if len(levelled.p50_ms) < LEAST_SAMPLES:
        raise MeasurementError(
            f"Only {counted(len(levelled.p50_ms), 'network')} could be measured; a cost model needs {LEAST_SAMPLES}.",
            "Allow more time with --within, or leave --within out.",
        )
    if levelled.disturbed:
        run.on_event(
            Notice(
                f"Other processes took the processor away during {levelled.contended:.0%} of the readings: CPU times "
                "are used in place of wall times, and the cost model is less accurate. "
                "Stop other work and calibrate again.",
                warning=True,
            )
        )
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": log.key.to_dict(),
        "environment": dict(run.presence.properties),
        **{k: v for k, v in log.settings.items() if k != "architectures"},
        "readings": len(log.taken),
        "contended_share": levelled.contended,
        "sessions_reference_ms": list(levelled.sessions_ms),
        "reference_ms": levelled.reference_ms,
    }
    model = run.fit(levelled, facts)
    log.end()
    codes, measured = model.calibrated.codes, model.calibrated.p50_ms
    known = CostModel.from_prior(run.space, run.prior).mean(codes) if math.isfinite(run.prior.spread) else None
    before = {} if known is None else accuracy(known, measured)
    return Calibration(model, codes, tuple(log.taken), levelled, time.monotonic() - begun, complete, before)


def measured_jitter(taken: list[Taken], levelled: Levelled, known: Jitter, protocol: Protocol) -> Jitter:
    """Estimates the jitter of the device from quiet readings.

    These are the percentiles of single runs relative to the median of their network and session, and the scatter
    between sessions.

    Args:
        taken: Readings of all sessions.
        levelled: Result of `level` for these readings.
        known: Jitter of the prior; its scatter between sessions counts as much as two further sessions.
        protocol: Protocol with which the readings were taken.
    """
    runs: dict[tuple[str, str], list[float]] = {}
    for one in taken:
        quiet = max(one.reading.before_ms, one.reading.after_ms) <= levelled.reference_ms * protocol.drift
        if quiet and one.reading.contention <= protocol.contention:
            runs.setdefault((one.session, one.name), []).extend(one.reading.burst.wall_ms)
    ratios = [np.array(v) / np.median(v) for v in runs.values() if len(v) >= 2 * protocol.runs]
    measured = (
        {p: float(np.percentile(np.concatenate(ratios), p)) for p in _PERCENTILES} if ratios else dict(known.runs)
    )
    squares = sum(shift**2 for shift in levelled.shifts)
    degrees = _PRIOR_SESSIONS + max(len(levelled.shifts) - 1, 0)
    variance = (_PRIOR_SESSIONS * known.sessions**2 + squares) / degrees
    return Jitter(measured, float(np.sqrt(variance)))
