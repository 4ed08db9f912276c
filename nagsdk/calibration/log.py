"""The readings of one calibration, in memory and in the store, from which an interrupted calibration resumes."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from nagsdk.calibration.drift import Taken
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measure import OnReading
from nagsdk.measuring.measurement import Reading
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.store import Kept, Store
from nagsdk.space.architecture import Architecture

_RESUME_WITHIN_S = 6 * 3600.0


class OutOfTimeError(Exception):
    """Ends a calibration at its deadline."""


@dataclass
class Log:
    """The readings of one calibration.

    Attributes:
        store: Where they are stored; nowhere if None.
        key: Measurement key under which they are stored.
        run: Id of the calibration in the store.
        settings: Settings that must be equal for a later calibration to resume this one.
        taken: The readings.
        at: For each reading, the number of the session for which it was taken.
    """

    store: Store | None
    key: MeasurementKey
    run: str
    settings: dict[str, Any]
    taken: list[Taken]
    at: list[int]

    @classmethod
    def open(
        cls,
        store: Store | None,
        key: MeasurementKey,
        architectures: list[Architecture],
        reference: Architecture,
        protocol: Protocol,
        sessions: int,
        seed: int,
        space: str,
    ) -> Log:
        """Resumes the last calibration with the same settings if it did not end; begins a new one otherwise."""
        settings: dict[str, Any] = {
            "protocol": protocol.to_dict(),
            "sessions": sessions,
            "seed": seed,
            "space": space,
            "reference": reference.text,
            "architectures": [a.text for a in architectures],
        }
        if store is None:
            return cls(None, key, "", settings, [], [])
        run = store.unfinished(key, settings, _RESUME_WITHIN_S)
        if run is None:
            return cls(store, key, store.begin(key, settings), settings, [], [])
        found = list(store.readings(run=run))
        taken = [Taken(kept.session, kept.architecture, kept.reading) for kept in found]
        return cls(store, key, run, settings, taken, [kept.turn for kept in found])

    def end(self) -> None:
        """Marks the calibration as ended, so that the next one starts from the beginning."""
        if self.store is not None:
            self.store.end(self.run)

    def missing(self, at: int, names: list[str], rounds: int) -> dict[int, list[str]]:
        """Networks with missing readings in session number `at`, grouped by how many readings are missing."""
        result: dict[int, list[str]] = {}
        for name in names:
            count = sum(1 for t, a in zip(self.taken, self.at, strict=True) if a == at and t.name == name)
            if count < rounds:
                result.setdefault(rounds - count, []).append(name)
        return result

    def keeper(self, at: int, deadline: float | None, networks: int) -> OnReading:
        """Returns a function for `measure` that stores every reading of session number `at`.

        Once `deadline` (a value of `time.monotonic`) has passed and as many networks have readings as `networks`
        says, the function raises `OutOfTimeError`.
        """
        session = uuid.uuid4().hex

        def keep(name: str, reading: Reading) -> None:
            self.taken.append(Taken(session, name, reading))
            self.at.append(at)
            if self.store is not None:
                self.store.add(Kept(self.key, name, reading, session, self.run, at))
            if deadline is not None and time.monotonic() > deadline and len({t.name for t in self.taken}) >= networks:
                raise OutOfTimeError

        return keep
