"""Measures networks on a device in interleaved rounds, with a reference network around every reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from nagsdk.device.backend import Session
from nagsdk.device.measurement import Measurement, Reading
from nagsdk.device.protocol import Protocol
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore, stage

_MOST_LOADED_BYTES = 1 << 30
_QUIET_QUANTILE = 0.1
DEFAULT = Protocol()
OnReading = Callable[[str, Reading], None]


def measure(
    session: Session,
    models: Mapping[str, Path],
    reference: Path,
    protocol: Protocol = DEFAULT,
    *,
    reference_quiet_ms: float | None = None,
    environment: Mapping[str, str] | None = None,
    listener: Listener = ignore,
    on_reading: OnReading | None = None,
    seed: int = 0,
) -> dict[str, Measurement]:
    """Times compiled networks against each other.

    Every round times each network that still lacks quiet readings once, in random order, and the
    reference between any two of them. The quiet level of the reference is a low quantile of what it took
    in this session, or the level of earlier sessions where that is lower.

    Args:
        session: Open on the device; hold `device_lock` around it.
        models: Compiled artifacts by name.
        reference: Compiled artifact of the reference network: small (a few ms) and always the same one.
        protocol: Counts and rules.
        reference_quiet_ms: Quiet level of earlier sessions on the same device (same fingerprint).
        environment: Recorded with every measurement.
        listener: Told the progress.
        on_reading: Called with name and reading after every reading, so that nothing measured is lost.
        seed: Of the order within rounds.

    Returns:
        A measurement per name, also where too few readings were quiet: `Measurement.latency` then raises.

    Raises:
        DeviceError: An artifact cannot be loaded.
        MeasurementError: A run hung or died.
    """
    rng = np.random.default_rng(seed)
    readings: dict[str, list[Reading]] = {name: [] for name in models}
    levels: list[float] = []

    def measurement(name: str) -> Measurement:
        quiet = float(np.quantile(levels, _QUIET_QUANTILE))
        level = min(quiet, reference_quiet_ms) if reference_quiet_ms else quiet
        return Measurement(tuple(readings[name]), level, protocol, dict(environment or {}))

    with stage(listener, "Measuring", len(models) * protocol.rounds) as progress:
        for group in _groups(models):
            base = session.load(reference)
            handles = {name: session.load(path) for name, path in group.items()}
            for _ in range(protocol.most_rounds):
                todo = [name for name in group if not readings[name] or len(measurement(name).quiet) < protocol.rounds]
                if not todo:
                    break
                before = _reference(session, base, protocol)
                levels.append(before)
                for index in rng.permutation(len(todo)):
                    name = todo[index]
                    burst = session.time(handles[name], protocol.warmup, protocol.runs, protocol.timeout_s)
                    after = _reference(session, base, protocol)
                    levels.append(after)
                    readings[name].append(Reading(burst, before, after))
                    before = after
                    if on_reading is not None:
                        on_reading(name, readings[name][-1])
                    progress(sum(min(len(r), protocol.rounds) for r in readings.values()), name)
            for handle in (base, *handles.values()):
                session.unload(handle)
    return {name: measurement(name) for name in models}


def _reference(session: Session, handle: int, protocol: Protocol) -> float:
    return float(np.median(session.time(handle, protocol.warmup, protocol.reference_runs, protocol.timeout_s).wall_ms))


def _groups(models: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Parts that fit into memory together."""
    group: dict[str, Path] = {}
    size = 0
    for name, path in models.items():
        try:
            bytes_ = path.stat().st_size
        except OSError as error:
            raise DeviceError(f"{path} cannot be read: {error}.", "Export it again.") from error
        if group and size + bytes_ > _MOST_LOADED_BYTES:
            yield group
            group, size = {}, 0
        group[name] = path
        size += bytes_
    if group:
        yield group
