"""Calibration: measures reference architectures on a device and fits its cost model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nagsdk.calibration.drift import Levelled, Taken, level
from nagsdk.calibration.log import Log, OutOfTimeError
from nagsdk.calibration.references import Allowed, pick_references, reference_architecture
from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import LEAST_SAMPLES, SAMPLES, CostModel, accuracy
from nagsdk.cost.prior import Jitter, Prior, flat_prior
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError, UsageError
from nagsdk.events import Listener, Notice, ignore, stage
from nagsdk.families.space import NetworkSpace
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import OnReading, measure
from nagsdk.measuring.protocol import CALIBRATION_PROTOCOL, Protocol
from nagsdk.measuring.store import Store
from nagsdk.space.architecture import Architecture
from nagsdk.space.space import Codes

SESSIONS = 4
_PERCENTILES = (75.0, 90.0, 95.0, 99.0)
_EXPORT_SHARE = 0.4
# How much the prior's figure for the scatter of sessions counts, in sessions.
_PRIOR_SESSIONS = 2
_SEARCH_S = 15.0
# Networks that are exported while a device of its own measures those before.
_AHEAD = 5
# A calibration ends once the upper bound at this confidence lies so little above the mean, and two sessions agree.
_CONFIDENCE, NARROW = 0.9, 0.03
_LEAST_SESSIONS = 2


@dataclass(frozen=True)
class Calibration:
    """What came out of a calibration.

    Attributes:
        model: The fitted cost model.
        codes: The measured architectures, shape (n, decisions).
        taken: All readings that it rests on, by session in the order of time.
        levelled: Their latencies at the quiet speed of the device.
        seconds: What it took, exports included.
        complete: Whether all readings were taken, or enough for a narrow interval; False where time ran out.
        before: Accuracy of the prior on the measured architectures; empty where it says nothing of the scale.
    """

    model: CostModel
    codes: Codes
    taken: tuple[Taken, ...]
    levelled: Levelled
    seconds: float
    complete: bool
    before: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready summary; accuracy is that of left-out samples."""
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

    With a store, a calibration of the same device and settings that did not end within the last six hours
    goes on where it stopped. A device that is lost is connected to again, for as long as that yields readings. It ends early when
    the interval of its predictions is narrow. Hold `device_lock` around it.

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
        near: Architectures like those that will be generated, shape (n, decisions): some are measured.
        protocol: How to time; its rounds are those of one session.
        sessions: Fresh connections to the device over which the rounds are repeated.
        on_event: Told the progress.

    Raises:
        DeviceUnavailableError: The device is not there.
        MeasurementError: Time ran out before 5 networks were measured, or a run hung or died.
        UsageError: Fewer than 5 samples are asked for.
    """
    if samples < LEAST_SAMPLES:
        raise UsageError(
            f"{samples} measured architectures are too few to fit a cost model.", f"Ask for {LEAST_SAMPLES} or more."
        )
    begun = time.monotonic()
    presence = backend.presence(device)
    if not presence.available:
        raise DeviceUnavailableError(
            f"{device.title or device.id} cannot be measured on: {presence.reason}",
            "`nagsdk devices` shows what is there.",
        )
    known = prior.for_threads(device.threads) if prior is not None else flat_prior(FeatureTable.of(space))
    architectures = space.decode(pick_references(space, known, samples, seed, allowed, near))
    reference = reference_architecture(space, allowed)
    log = Log.open(
        store, MeasurementKey.of(device, presence, protocol), architectures, reference, protocol, sessions, seed
    )
    if log.taken:
        on_event(Notice(f"Going on with a calibration that stopped after {len(log.taken)} readings."))
    deadline = None if within_s is None else begun + within_s
    run = _Run(space, device, backend, known, presence, protocol, log, on_event)
    alone: tuple[float, ...] = ()
    with TemporaryDirectory(prefix="nagsdk-calibration-") as folder, ThreadPoolExecutor(1) as exporter:
        limit = None if within_s is None else begun + _EXPORT_SHARE * within_s

        def export(part: list[Architecture]) -> dict[str, Path]:
            return export_untrained(
                space, device, backend, part, Path(folder), seed, limit, ignore if backend.runs_elsewhere else on_event
            )

        # Exporting would disturb a device that is this machine.
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
    """What a calibration works with."""

    space: NetworkSpace
    device: Device
    backend: Backend
    prior: Prior
    presence: Presence
    protocol: Protocol
    log: Log
    on_event: Listener

    def measure(self, turn: int, models: Mapping[str, Path], base: Path, keeper: OnReading, seed: int) -> None:
        """Takes the readings that a session still lacks; connects again where the device is lost after it gave some."""
        while lacking := self.log.missing(turn, list(models), self.protocol.rounds):
            had = len(self.log.taken)
            try:
                for rounds, names in sorted(lacking.items()):
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
                if len(self.log.taken) == had:
                    raise
                self.on_event(
                    Notice(f"{error.message} Connecting again; {len(self.log.taken)} readings are kept.", warning=True)
                )

    def narrow(self) -> bool:
        """Whether the readings so far pin the latencies down."""
        levelled = level(self.log.taken, self.protocol.drift, self.protocol.contention)
        agree = len(levelled.quiet_sessions_ms) == len(levelled.sessions_ms) and not levelled.disturbed
        if not agree or len(levelled.p50_ms) < LEAST_SAMPLES:
            return False
        model = self.fit(levelled, {})
        return model.most_confidence >= _CONFIDENCE and model.margin(_CONFIDENCE) <= NARROW

    def fit(self, levelled: Levelled, facts: Mapping[str, Any]) -> CostModel:
        """The cost model of the readings so far."""
        codes = self.space.encode([self.space.parse(name) for name in levelled.p50_ms])
        jitter = measured_jitter(self.log.taken, levelled, self.prior.jitter, self.protocol)
        values = np.array(list(levelled.p50_ms.values()))
        return CostModel.fit(
            self.space, self.prior, codes, values, device=self.presence.fingerprint, jitter=jitter, facts=facts
        )


def _reference_alone(
    backend: Backend, device: Device, base: Path, taken: list[Taken], protocol: Protocol, on_event: Listener
) -> tuple[float, ...]:
    """Times of the reference in one more, longer session, where those before do not agree on its quiet level; else none."""
    levelled = level(taken, protocol.drift, protocol.contention)
    if 2 * len(levelled.quiet_sessions_ms) > len(levelled.sessions_ms):
        return ()
    on_event(Notice(f"{device.id} changes its speed; looking for moments when nothing disturbs it."))
    patient = replace(protocol, rounds=1, most_rounds=1, spread_s=_SEARCH_S)
    with backend.open(device) as session:
        (found,) = measure(session, {"reference": base}, base, patient, on_event=on_event).values()
    return tuple(ms for reading in found.readings for ms in (reading.before_ms, reading.after_ms))


def export_untrained(
    space: NetworkSpace,
    device: Device,
    backend: Backend,
    architectures: list[Architecture],
    folder: Path,
    seed: int,
    limit: float | None = None,
    on_event: Listener = ignore,
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
        on_event: Told the progress.

    Returns:
        Compiled artifacts by the text form of the architecture.
    """
    import torch

    from nagsdk.graph.trace import trace

    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    with stage(on_event, "Exporting", len(architectures)) as progress, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, architecture in enumerate(architectures):
            if limit is not None and number > LEAST_SAMPLES and time.monotonic() > limit:
                break
            path = folder / f"{architecture.hash}{backend.suffix}"
            backend.export(trace(space.build(architecture).eval(), architecture.resolution, device.batch), path, device)
            models[architecture.text] = backend.compile(path, device, folder)
            progress(number + 1, architecture.text)
    return models


def _conclude(run: _Run, alone: tuple[float, ...], begun: float, complete: bool) -> Calibration:
    log, protocol = run.log, run.protocol
    levelled = level(log.taken, protocol.drift, protocol.contention, alone)
    if len(levelled.p50_ms) < LEAST_SAMPLES:
        raise MeasurementError(
            f"Only {len(levelled.p50_ms)} networks were measured.", "Allow more time (--within), or ask for no limit."
        )
    if levelled.disturbed:
        run.on_event(
            Notice(
                f"Other processes took the processor away during {levelled.contended:.0%} of the readings: CPU times stand in for wall "
                "times, and the cost model is less accurate. Stop other work and calibrate again.",
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
    measured = (
        {p: float(np.percentile(np.concatenate(ratios), p)) for p in _PERCENTILES} if ratios else dict(known.runs)
    )
    levels = np.log(levelled.quiet_sessions_ms)
    variance = (_PRIOR_SESSIONS * known.sessions**2 + ((levels - levels.mean()) ** 2).sum()) / (
        _PRIOR_SESSIONS + len(levels) - 1
    )
    return Jitter(measured, float(np.sqrt(variance)))
