"""Measures networks on a device in interleaved rounds, with the reference network before and after every reading."""

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
# While readings are repeated, the progress bar stays below full: a full bar would look as if the program hung.
_ALMOST_FULL = 0.97
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
    """Measures compiled networks in turns.

    Every round times each network once, in random order, and the reference network between any two of them. Rounds
    are repeated for `Protocol.spread_s` seconds. After that, only networks with too few quiet readings, or whose
    readings scatter, are timed again, until `Protocol.patience_s` is over. The function never sleeps between runs: a
    core that slept is slow for some milliseconds, which is much longer than a tiny network runs.

    The quiet level of the reference is a low quantile of its times in this session. If this session never came near
    the level of earlier sessions, that level is used, because a machine that is busy all the time would otherwise
    look quiet.

    Args:
        session: Open session on the device; the caller must hold `device_lock`.
        models: Compiled artifacts by name.
        reference: Compiled artifact of the reference network, always the same one. A network of medium size slows
            down most like the others.
        protocol: Numbers of runs and rounds, and the rules for quiet readings.
        reference_quiet_ms: Quiet level in earlier sessions on the same device (same fingerprint).
        environment: Properties that are recorded with every measurement.
        on_event: Receives the progress.
        on_reading: Called with name and reading after every reading, so that no reading is lost.
        seed: Seed of the order within rounds.

    Returns:
        A measurement for each name. Where too few readings were quiet, `Measurement.latency` raises an error.

    Raises:
        DeviceError: An artifact cannot be loaded.
        MeasurementError: A run timed out or crashed.
    """
    rng = np.random.default_rng(seed)
    readings: dict[str, list[Reading]] = {name: [] for name in models}
    reference_times: list[float] = []
    what = _MEASURING if len(models) == 1 else f"{_MEASURING} {len(models)} networks"

    def measurement(name: str) -> Measurement:
        level = quiet_level_ms(reference_times, reference_quiet_ms, protocol.drift)
        return Measurement(tuple(readings[name]), level, protocol, dict(environment or {}), reference_quiet_ms)

    def insufficient(group: Iterable[str]) -> list[str]:
        return [name for name in group if not measurement(name).sufficient]

    with stage(on_event, _MEASURING, len(models) * protocol.rounds) as progress:
        finished = 0
        for group in _groups(models):
            wanted = len(group) * protocol.rounds
            base = session.load(reference)
            handles = {name: session.load(path) for name, path in group.items()}
            begun = time.monotonic()

            def time_reference(handle: int = base) -> float:
                reference_times.append(
                    float(np.median(session.time(handle, 1, protocol.reference_runs, protocol.timeout_s).wall_ms))
                )
                return reference_times[-1]

            for number in itertools.count():
                passed = time.monotonic() - begun
                todo = list(group) if number < protocol.rounds or passed < protocol.spread_s else insufficient(group)
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
                    text = f"{_MEASURING}, until readings agree" if share >= 1 else what
                    progress(finished + wanted * min(share, _ALMOST_FULL), text)
            finished += wanted
            for handle in (base, *handles.values()):
                session.unload(handle)
    return {name: measurement(name) for name in models}


def _groups(models: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Splits the models into groups that fit into memory together."""
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
