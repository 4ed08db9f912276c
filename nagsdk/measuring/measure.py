"""Measures networks on a device in interleaved rounds, with a reference network around every reading."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from nagsdk.device.backend import Session
from nagsdk.errors import DeviceError
from nagsdk.events import Listener, ignore, stage
from nagsdk.measuring.measurement import Measurement, Reading, quiet_level_ms
from nagsdk.measuring.protocol import Protocol

_MOST_LOADED_BYTES = 1 << 30
DEFAULT = Protocol()
_MEASURING = "Measuring"
# A bar that is full while work goes on looks as if it hung.
_NEARLY = 0.97
OnReading = Callable[[str, Reading], None]


def measure(
    session: Session,
    models: Mapping[str, Path],
    reference: Path,
    protocol: Protocol = DEFAULT,
    *,
    reference_quiet_ms: float | None = None,
    environment: Mapping[str, str] | None = None,
    on_event: Listener = ignore,
    on_reading: OnReading | None = None,
    seed: int = 0,
) -> dict[str, Measurement]:
    """Times compiled networks against each other.

    Every round times each network once, in random order, and the reference between any two of them. Rounds
    follow each other for as long as the protocol spreads them; after that, only networks that lack quiet
    readings, or whose readings scatter, are timed again, until the protocol's patience ends. Nothing sleeps: a core that slept is slow
    for milliseconds after, much longer than a tiny network runs. The quiet level of the reference is a low quantile of what it took in this session, or the
    level of earlier sessions where this one never came near it: a machine that is busy all the time looks
    quiet to a session that knows nothing else.

    Args:
        session: Open on the device; hold `device_lock` around it.
        models: Compiled artifacts by name.
        reference: Compiled artifact of the reference network, always the same one; it slows down most like the
            others where it is of middling size among them.
        protocol: Counts and rules.
        reference_quiet_ms: Quiet level of earlier sessions on the same device (same fingerprint).
        environment: Recorded with every measurement.
        on_event: Told the progress.
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
    seen: list[float] = []

    def measurement(name: str) -> Measurement:
        level = quiet_level_ms(seen, reference_quiet_ms, protocol.drift)
        return Measurement(tuple(readings[name]), level, protocol, dict(environment or {}), reference_quiet_ms)

    def lacking(group: Iterable[str]) -> list[str]:
        return [name for name in group if not measurement(name).sufficient]

    with stage(on_event, _MEASURING, len(models) * protocol.rounds) as progress:
        over = 0
        for group in _groups(models):
            wanted = len(group) * protocol.rounds
            base = session.load(reference)
            handles = {name: session.load(path) for name, path in group.items()}
            begun = time.monotonic()

            def time_reference(handle: int = base) -> float:
                seen.append(
                    float(np.median(session.time(handle, 1, protocol.reference_runs, protocol.timeout_s).wall_ms))
                )
                return seen[-1]

            for number in itertools.count():
                passed = time.monotonic() - begun
                todo = list(group) if number < protocol.rounds or passed < protocol.spread_s else lacking(group)
                if not todo or (
                    number >= protocol.most_rounds and passed >= max(protocol.spread_s, protocol.patience_s)
                ):
                    break
                before = time_reference()
                for index in rng.permutation(len(todo)):
                    name = todo[index]
                    burst = session.time(handles[name], protocol.warmup, protocol.runs, protocol.timeout_s)
                    after = time_reference()
                    readings[name].append(Reading(burst, before, after))
                    before = after
                    if on_reading is not None:
                        on_reading(name, readings[name][-1])
                    taken = sum(min(len(readings[n]), protocol.rounds) for n in group) / wanted
                    share = min(taken, passed / protocol.spread_s if protocol.spread_s else 1.0)
                    again = " again, until readings are quiet and agree" if share >= 1 else ""
                    progress(over + wanted * min(share, _NEARLY), (name if len(models) > 1 else _MEASURING) + again)
            over += wanted
            for handle in (base, *handles.values()):
                session.unload(handle)
    return {name: measurement(name) for name in models}


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
