"""Measures networks on a device in interleaved rounds, with the reference network before and after every reading."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nagsdk.device.backend import Session
from nagsdk.device.burst import Burst, Timing
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
_Entry = tuple[int, str]


@dataclass(frozen=True)
class Contest:
    """Networks that are timed on one session, beside one reference; several contests take turns.

    Attributes:
        session: Open session on the device; the caller must hold `device_lock`.
        models: Compiled artifacts by name.
        reference: Compiled artifact of the reference network, always the same one. A network of medium size slows
            down most like the others.
        reference_quiet_ms: Quiet level in earlier sessions on the same device (same fingerprint).
        environment: Properties that are recorded with every measurement.
        on_reading: Called with name and reading after every reading, so that no reading is lost.
    """

    session: Session
    models: Mapping[str, Path]
    reference: Path
    reference_quiet_ms: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    on_reading: OnReading | None = None


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
    """Measures compiled networks in turns, on one session; see `measure_together`.

    Args:
        session: See `Contest`.
        models: See `Contest`.
        reference: See `Contest`.
        protocol: Numbers of runs and rounds, and the rules for quiet readings.
        reference_quiet_ms: See `Contest`.
        environment: See `Contest`.
        on_event: Receives the progress.
        on_reading: See `Contest`.
        seed: Seed of the order within rounds.

    Raises:
        DeviceError: An artifact cannot be loaded.
        MeasurementError: A run timed out or crashed.
    """
    contest = Contest(session, models, reference, reference_quiet_ms, environment or {}, on_reading)
    return measure_together([contest], protocol, on_event=on_event, seed=seed)[0]


def measure_together(
    contests: Sequence[Contest], protocol: Protocol = DEFAULT, *, on_event: Listener = ignore, seed: int = 0
) -> list[dict[str, Measurement]]:
    """Measures compiled networks in turns.

    Every round times each network once, with the reference network of its contest before and after it. The order of
    contests, and of the networks of each, is random. Rounds are repeated for `Protocol.spread_s` seconds. After that,
    only networks with too few quiet readings, or whose readings scatter, are timed again, until `Protocol.patience_s`
    is over. The function never sleeps between runs: a core that slept is slow for some milliseconds, which is much
    longer than a tiny network runs.

    The quiet level of a reference is a low quantile of its times in this session. If this session never came near
    the level of earlier sessions, that level is used, because a machine that is busy all the time would otherwise
    look quiet.

    Args:
        contests: The networks of each session.
        protocol: Numbers of runs and rounds, and the rules for quiet readings.
        on_event: Receives the progress.
        seed: Seed of the order within rounds.

    Returns:
        For each contest, a measurement for each name. Where too few readings were quiet, `Measurement.latency` raises
        an error.

    Raises:
        DeviceError: An artifact cannot be loaded.
        MeasurementError: A run timed out or crashed.
    """
    rng = np.random.default_rng(seed)
    readings: dict[_Entry, list[Reading]] = {
        (index, name): [] for index, contest in enumerate(contests) for name in contest.models
    }
    reference_times: list[list[float]] = [[] for _ in contests]
    what = _MEASURING if len(readings) == 1 else f"{_MEASURING} {len(readings)} networks"

    def measurement(index: int, name: str) -> Measurement:
        contest = contests[index]
        level = quiet_level_ms(reference_times[index], contest.reference_quiet_ms, protocol.drift)
        taken = tuple(readings[index, name])
        return Measurement(taken, level, protocol, dict(contest.environment), contest.reference_quiet_ms)

    def of_reference(index: int, burst: Burst) -> float:
        reference_times[index].append(float(np.median(burst.wall_ms)))
        return reference_times[index][-1]

    with stage(on_event, _MEASURING, len(readings) * protocol.rounds) as progress:
        finished = 0
        for group in _groups(contests):
            wanted = len(group) * protocol.rounds
            bases, handles = _loaded(contests, group)
            begun = time.monotonic()
            for number in itertools.count():
                passed = time.monotonic() - begun
                repeated = number < protocol.rounds or passed < protocol.spread_s
                todo = [entry for entry in group if repeated or not measurement(*entry).sufficient]
                if not todo or (
                    number >= protocol.most_rounds and passed >= max(protocol.spread_s, protocol.patience_s)
                ):
                    break
                for index in rng.permutation(list(dict.fromkeys(index for index, _ in todo))).tolist():
                    contest, names = contests[index], [name for of, name in todo if of == index]
                    order = rng.permutation(np.array(names, object)).tolist()
                    bursts = contest.session.time_all(
                        _plan(bases[index], [handles[index, name] for name in order], protocol)
                    )
                    before = of_reference(index, next(bursts))
                    for name in order:
                        burst, after = next(bursts), of_reference(index, next(bursts))
                        readings[index, name].append(Reading(burst, before, after))
                        before = after
                        if contest.on_reading is not None:
                            contest.on_reading(name, readings[index, name][-1])
                        taken = sum(min(len(readings[entry]), protocol.rounds) for entry in group) / wanted
                        share = min(taken, passed / protocol.spread_s if protocol.spread_s else 1.0)
                        text = f"{_MEASURING}, until readings agree" if share >= 1 else what
                        progress(finished + wanted * min(share, _ALMOST_FULL), text)
            finished += wanted
            for index, handle in [*bases.items(), *((index, handle) for (index, _), handle in handles.items())]:
                contests[index].session.unload(handle)
    return [{name: measurement(index, name) for name in contest.models} for index, contest in enumerate(contests)]


def _loaded(contests: Sequence[Contest], group: Mapping[_Entry, Path]) -> tuple[dict[int, int], dict[_Entry, int]]:
    """Loads the networks of a group and the references beside them; returns the handles of both."""
    bases: dict[int, int] = {}
    handles: dict[_Entry, int] = {}
    for index in dict.fromkeys(index for index, _ in group):
        entries = [entry for entry in group if entry[0] == index]
        contest = contests[index]
        bases[index], *others = contest.session.load_all([contest.reference, *(group[entry] for entry in entries)])
        handles |= zip(entries, others, strict=True)
    return bases, handles


def _plan(base: int, handles: Sequence[int], protocol: Protocol) -> list[Timing]:
    """One round: each network once, with the reference before and after it."""
    reference = Timing(base, 1, protocol.reference_runs, protocol.timeout_s)
    networks = (Timing(handle, protocol.warmup, protocol.runs, protocol.timeout_s) for handle in handles)
    return [reference, *(timing for network in networks for timing in (network, reference))]


def _groups(contests: Sequence[Contest]) -> Iterator[dict[_Entry, Path]]:
    """Splits the networks into groups that fit into memory together."""
    group: dict[_Entry, Path] = {}
    size = 0
    for entry, path in [
        ((index, name), path) for index, contest in enumerate(contests) for name, path in contest.models.items()
    ]:
        try:
            bytes_ = path.stat().st_size
        except OSError as error:
            raise DeviceError(f"{path} cannot be read: {error}.", "Export it again.") from error
        if group and size + bytes_ > _MOST_LOADED_BYTES:
            yield group
            group, size = {}, 0
        group[entry] = path
        size += bytes_
    if group:
        yield group
