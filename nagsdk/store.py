"""Measurements kept between runs, in SQLite behind a narrow interface."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nagsdk.errors import NagsdkError
from nagsdk.files import writing

_VERSION = 1
_SCHEMA = """
create table reading (
    id integer primary key,
    device text not null,
    architecture text not null,
    taken_at text not null,
    payload text not null
);
create index reading_by_key on reading (device, architecture);
"""


class Store:
    """Readings by device and architecture; several processes may write at once.

    Args:
        path: The database file, made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("begin immediate")
            version = connection.execute("pragma user_version").fetchone()[0]
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_VERSION}")
            elif version != _VERSION:
                raise NagsdkError(
                    f"{path} was written by another version of nagsdk (format {version}, known: {_VERSION}).",
                    "Update nagsdk, or move the file away to start anew.",
                )
            connection.execute("commit")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            # With the write-ahead log a killed process loses nothing; a power cut may cost the last readings.
            connection.execute("pragma synchronous = normal")
            yield connection
        except sqlite3.DatabaseError as error:
            raise NagsdkError(
                f"The store of measurements {self._path} cannot be used: {error}.",
                "Move the file away; it will be made anew, without its readings.",
            ) from error
        finally:
            if connection is not None:
                connection.close()

    def add(self, device: str, architecture: str, payload: Mapping[str, Any]) -> None:
        """Keeps one reading; it survives the death of the process.

        Args:
            device: Key of the device, its runtime and its settings.
            architecture: Key of the measured network.
            payload: JSON-ready content.
        """
        row = (device, architecture, datetime.now(UTC).isoformat(timespec="seconds"), json.dumps(payload))
        with self._connection() as connection:
            connection.execute("insert into reading (device, architecture, taken_at, payload) values (?, ?, ?, ?)", row)

    def readings(self, device: str, architecture: str) -> list[dict[str, Any]]:
        """The readings of one network on one device, oldest first."""
        query = "select payload from reading where device = ? and architecture = ? order by id"
        with self._connection() as connection:
            return [json.loads(payload) for (payload,) in connection.execute(query, (device, architecture))]
