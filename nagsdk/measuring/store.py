"""The store of measurements: readings in an SQLite file, or for a lab in a PostgreSQL database."""

from __future__ import annotations

import json
import re
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.common.database_address import DatabaseAddress
from nagsdk.common.reading import json_of
from nagsdk.common.wording import counted
from nagsdk.errors import NagsdkError
from nagsdk.measuring.database import Connection, Database
from nagsdk.measuring.key import MeasurementKey
from nagsdk.measuring.measurement import Reading
from nagsdk.space.architecture import MOST_TEXT

# Name of the database file in the cache folder.
STORE = "measurements.sqlite"
_VERSION = 2
_TEXTS = {
    "uid": re.compile(r"[0-9a-f]{32}"),
    "session": re.compile(r"[\x20-\x7e]{0,64}"),
    "architecture": re.compile(rf"[\x20-\x7e]{{1,{MOST_TEXT}}}"),
    "run": re.compile(r"[\x20-\x7e]{0,64}"),
}
# What reading a row raises that is damaged.
_INVALID = (NagsdkError, ValueError, TypeError, AttributeError)
_SCHEMA = """
create table key (
    id {id},
    hash text not null unique,
    fields text not null
);
create table run (
    id text primary key,
    key integer not null references key (id),
    settings text not null,
    begun_at {real} not null,
    ended_at {real}
);
create table reading (
    id {id},
    uid text not null unique,
    key integer not null references key (id),
    architecture text not null,
    run text,
    turn integer not null,
    session text not null,
    taken_at {moment} not null,
    reading text not null
);
create index reading_by_key on reading (key, architecture);
create index reading_by_run on reading (run);
"""
# Rows that are read at once.
_PAGE = 5000
_COLUMNS = "uid, architecture, run, turn, session, taken_at, reading"


@dataclass(frozen=True)
class Kept:
    """One reading as it is stored.

    Attributes:
        key: Everything it depends on besides the architecture.
        architecture: Text form of the architecture, which contains active choices only.
        reading: The timings.
        session: Id of the session in which it was taken.
        run: Id of the calibration that it belongs to; None if it belongs to none.
        turn: Number of the session within the run.
        taken_at: Time in ISO 8601, UTC; filled in by the store if empty.
        uid: Id of the reading in every store that it is copied to; filled in by the store if empty.
    """

    key: MeasurementKey
    architecture: str
    reading: Reading
    session: str
    run: str | None = None
    turn: int = 0
    taken_at: str = ""
    uid: str = ""

    @classmethod
    def of(
        cls, key: Any, architecture: Any, reading: Any, session: Any, run: Any, turn: Any, taken_at: Any, uid: Any
    ) -> Kept:
        """A reading from values that a file or a database holds; see `MeasurementKey.from_dict`, `Reading.from_dict`.

        Raises:
            ValueError: A value is not valid.
            NagsdkError: Key or timings are not valid.
        """
        texts = {"uid": uid, "session": session, "architecture": architecture, "run": "" if run is None else run}
        wrong = [n for n, text in texts.items() if not (isinstance(text, str) and _TEXTS[n].fullmatch(text))]
        if type(turn) is not int or not 0 <= turn < 1 << 31:
            wrong.append("turn")
        if wrong:
            raise ValueError(f"{' and '.join(wrong)} in an invalid form")
        taken = datetime.fromisoformat(taken_at) if isinstance(taken_at, str) else None
        if taken is None or taken.tzinfo is None or not 2000 <= taken.year < 2200:
            raise ValueError("taken_at is not a time with its zone")
        return cls(
            MeasurementKey.from_dict(key), architecture, Reading.from_dict(reading), session, run, turn, taken_at, uid
        )


class Store:
    """Readings by device, settings and architecture; several processes may write at once.

    Args:
        place: The SQLite file, or the address of a PostgreSQL database; created if missing, and migrated if an older
            version wrote it.

    Raises:
        NagsdkError: It is damaged, not a store, or written by a newer version; or the database cannot be reached.
        OutputError: It cannot be written.
        UsageError: The packages for the database are not installed.
    """

    def __init__(self, place: Path | DatabaseAddress) -> None:
        self.database = _database(place)
        with self.database.connection() as opened:
            if self._version(opened) < _VERSION:
                with self.database.transaction(opened):
                    self._create(opened)

    @property
    def place(self) -> str:
        """Where the readings are, for messages."""
        return self.database.place

    def _version(self, opened: Connection) -> int:
        version = self.database.version(opened)
        if version > _VERSION:
            raise NagsdkError(
                f"{self.place} was written by a newer version of nagsdk (format {version}, known: {_VERSION}).",
                "Update nagsdk, or use another store (NAGSDK_STORE) to begin an empty one there.",
            )
        return version

    def _create(self, opened: Connection) -> None:
        """Makes the tables, unless another process has just done it, and takes over those of an older format."""
        self.database.alone(opened)
        version = self._version(opened)
        if version == _VERSION:
            return
        if version:
            opened.execute("drop index reading_by_key")
            opened.execute("alter table reading rename to reading_1")
        for statement in filter(str.strip, _SCHEMA.format(**self.database.words).split(";")):
            opened.execute(statement)
        if version:
            self._from_version_1(opened)
        self.database.mark(opened, _VERSION)

    @staticmethod
    def _key(opened: Connection, key: MeasurementKey) -> int:
        statement = "insert into key (hash, fields) values (?, ?) on conflict do nothing"
        opened.execute(statement, (key.hash, json.dumps(key.to_dict())))
        return int(opened.execute("select id from key where hash = ?", (key.hash,)).fetchone()[0])

    @classmethod
    def _insert(cls, opened: Connection, kept: Kept) -> int:
        """Stores a reading unless it is stored already; returns the number of added readings."""
        kept = _complete(kept)
        row = (
            kept.uid,
            cls._key(opened, kept.key),
            kept.architecture,
            kept.run,
            kept.turn,
            kept.session,
            kept.taken_at,
            json.dumps(kept.reading.to_dict()),
        )
        statement = (
            "insert into reading (uid, key, architecture, run, turn, session, taken_at, reading) "
            "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
        )
        return opened.execute(statement, row).rowcount

    def add(self, kept: Kept) -> None:
        """Stores one reading at once, so that it is not lost if the process dies."""
        # Where a connection breaks, nobody knows whether the reading was stored; by its uid it is not stored twice.
        complete = _complete(kept)
        self.database.persistently(lambda: self.add_all([complete]))

    def add_all(self, readings: Iterable[Kept]) -> int:
        """Stores the readings that are not stored yet and returns their number; stores none after an error."""
        with self.database.connection() as opened, self.database.transaction(opened):
            return sum(self._insert(opened, kept) for kept in readings)

    def readings(
        self, key: MeasurementKey | None = None, architecture: str | None = None, run: str | None = None
    ) -> Iterator[Kept]:
        """Yields the readings that match every given argument, in the order in which they were stored."""
        conditions = {"key.hash": key and key.hash, "architecture": architecture, "run": run}
        given = {name: value for name, value in conditions.items() if value is not None}
        where = " and ".join((*(f"{name} = ?" for name in given), "reading.id > ?"))
        query = (
            f"select reading.id, fields, {_COLUMNS} from reading join key on key.id = reading.key "  # noqa: S608 names
            f"where {where} order by reading.id limit {_PAGE}"
        )
        broken, last = 0, 0
        rows: Sequence[Any] = [()] * _PAGE
        while len(rows) == _PAGE:
            with self.database.connection() as opened:
                rows = opened.execute(query, (*given.values(), last)).fetchall()
            for row in rows:
                last, fields, uid, text, of_run, turn, session, taken_at, reading = row
                try:
                    yield Kept.of(json_of(fields), text, json_of(reading), session, of_run, turn, taken_at, uid)
                except _INVALID:
                    broken += 1
        self._warn(broken)

    def _warn(self, broken: int) -> None:
        if broken:
            warnings.warn(f"{counted(broken, 'damaged reading')} in {self.place} cannot be used.", stacklevel=3)

    def check(self) -> int:
        """Checks the whole store and returns the number of readings in it.

        Raises:
            NagsdkError: It is damaged.
        """
        with self.database.connection() as opened:
            self.database.check(opened)
            return int(opened.execute("select count(*) from reading").fetchone()[0])

    def begin(self, key: MeasurementKey, settings: Mapping[str, Any]) -> str:
        """Begins a run of measurements and returns its id."""
        run = uuid.uuid4().hex
        with self.database.connection() as opened, self.database.transaction(opened):
            row = (run, self._key(opened, key), json.dumps(settings, sort_keys=True), time.time())
            opened.execute("insert into run (id, key, settings, begun_at) values (?, ?, ?, ?)", row)
        return run

    def unfinished(self, key: MeasurementKey, settings: Mapping[str, Any], within_s: float) -> str | None:
        """Returns the latest unfinished run with this key and these settings that began within `within_s` seconds."""
        query = (
            "select run.id from run join key on key.id = run.key where key.hash = ? and settings = ? "
            "and ended_at is null and begun_at > ? order by begun_at desc"
        )
        with self.database.connection() as opened:
            row = opened.execute(
                query, (key.hash, json.dumps(settings, sort_keys=True), time.time() - within_s)
            ).fetchone()
        return None if row is None else str(row[0])

    def end(self, run: str) -> None:
        """Marks a run as ended, so that it is not resumed."""
        with self.database.connection() as opened:
            opened.execute("update run set ended_at = ? where id = ?", (time.time(), run))

    def ended(self) -> Iterator[tuple[str, MeasurementKey, Mapping[str, Any]]]:
        """Yields id, key and settings of the runs that ended, in the order in which they began."""
        query = (
            "select run.id, fields, settings from run join key on key.id = run.key where ended_at is not null "
            "order by begun_at"
        )
        with self.database.connection() as opened:
            rows = opened.execute(query).fetchall()
        for run, fields, settings in rows:
            yield str(run), MeasurementKey.from_dict(json_of(fields)), json_of(settings)

    def prune(self, before: datetime) -> int:
        """Deletes the readings taken before a moment, shrinks the file and returns the number of deleted readings."""
        with self.database.connection() as opened:
            with self.database.transaction(opened):
                count = opened.execute(
                    "delete from reading where taken_at < ?", (before.astimezone(UTC).isoformat(timespec="seconds"),)
                ).rowcount
                opened.execute("delete from run where begun_at < ?", (before.timestamp(),))
                opened.execute("delete from key where id not in (select key from reading union select key from run)")
            self.database.shrink(opened)
        return count

    def _from_version_1(self, opened: Connection) -> None:
        """Migrates the readings of format 1, under separate keys because that format did not record all fields."""
        broken = 0
        for device, architecture, taken_at, payload in opened.execute(
            "select device, architecture, taken_at, payload from reading_1 order by id"
        ).fetchall():
            key, uid = MeasurementKey(device, "", "", "", "", 0, 0, "format 1"), uuid.uuid4().hex
            try:
                content = json_of(payload)
                if "state" in content:
                    continue
                reading, session = content.get("reading", content), content.get("session", "")
                kept = Kept.of(key.to_dict(), architecture, reading, session, content.get("run"), 0, taken_at, uid)
            except _INVALID:
                broken += 1
            else:
                self._insert(opened, kept)
        self._warn(broken)
        opened.execute("drop table reading_1")


def _database(place: Path | DatabaseAddress) -> Database:
    # Not every verb that knows the store opens it, and drivers take time to load.
    if isinstance(place, Path):
        from nagsdk.measuring.sqlite import SqliteFile

        return SqliteFile(place)
    from nagsdk.measuring.postgresql import PostgreSql

    return PostgreSql(place)


def _complete(kept: Kept) -> Kept:
    """A reading with the uid and the time that the store fills in."""
    return replace(
        kept,
        uid=kept.uid or uuid.uuid4().hex,
        taken_at=kept.taken_at or datetime.now(UTC).isoformat(timespec="seconds"),
    )
