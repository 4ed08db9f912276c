"""Connections to the SQLite file of the store: they wait for other processes, and say what is wrong with the file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

from nagsdk.common.files import making, writing
from nagsdk.errors import NagsdkError, OutputError
from nagsdk.measuring.database import Connection, Database

# The longest transaction of another process is the import of a large file.
_PATIENCE_S = 120.0
_PAUSE_S = 0.02
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class _Patient(sqlite3.Connection):
    """A connection that waits in Python while the file is locked, where Ctrl-C ends the wait.

    SQLite would wait inside one call, and not at all when it changes to the write-ahead log.
    """

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return super().execute(*arguments)
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that changes the file at once unless it is in a transaction; it may be used in several threads.

    Args:
        path: The file; created if missing.
    """
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, factory=_Patient)


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens a connection for a block, whose errors of SQLite become errors of nagsdk.

    Args:
        path: The file; created if missing.

    Raises:
        OutputError: The file cannot be opened or written.
        NagsdkError: It is damaged, not a store, or locked for long.
    """
    opened = None
    try:
        opened = connect(path)
        # With the write-ahead log a killed process loses nothing; a power cut may cost the last readings.
        opened.execute("pragma synchronous = normal")
        yield opened
    except sqlite3.Error as error:
        raise _told(path, error) from error
    except UnicodeDecodeError as error:  # damaged names in the file make SQLite's messages undecodable
        raise damaged(path, error) from error
    finally:
        if opened is not None:
            opened.close()


@contextmanager
def transaction(opened: sqlite3.Connection) -> Iterator[None]:
    """Keeps all changes of the block, or none after an error."""
    opened.execute("begin immediate")
    try:
        yield
        opened.execute("commit")
    except BaseException:
        if opened.in_transaction:  # SQLite itself rolls back where the disk is full
            opened.execute("rollback")
        raise


class SqliteFile(Database):
    """The SQLite file of a store; created if missing.

    Args:
        path: The file.

    Raises:
        NagsdkError: It is damaged, or no database.
        OutputError: It cannot be written.
    """

    words: ClassVar[dict[str, str]] = {"id": "integer primary key", "real": "real", "moment": "text"}

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, str(path)
        with writing(path), making(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with connection(path) as opened:
            if opened.execute("pragma journal_mode").fetchone()[0] != "wal":
                opened.execute("pragma journal_mode = wal")  # disks without shared memory keep the old journal
            # Closing the last connection waits until the write-ahead log is written back, so one idle connection stays
            # open.
            self._idle = connect(path)
            self._idle.execute("pragma user_version").fetchone()

    def connection(self) -> AbstractContextManager[Connection]:
        """See `Database`."""
        return connection(self.path)

    def transaction(self, opened: Connection) -> AbstractContextManager[None]:
        """See `Database`."""
        return transaction(cast(sqlite3.Connection, opened))

    def version(self, opened: Connection) -> int:
        """See `Database`."""
        return int(opened.execute("pragma user_version").fetchone()[0])

    def alone(self, opened: Connection) -> None:
        """See `Database`; a transaction keeps others out by itself."""

    def mark(self, opened: Connection, version: int) -> None:
        """See `Database`."""
        opened.execute(f"pragma user_version = {version:d}")

    def check(self, opened: Connection) -> None:
        """See `Database`."""
        result = opened.execute("pragma quick_check(1)").fetchone()[0]
        if result != "ok":
            raise damaged(self.path, result)

    def shrink(self, opened: Connection) -> None:
        """See `Database`."""
        opened.execute("vacuum")

    def persistently(self, work: Callable[[], int]) -> int:
        """See `Database`; every statement waits by itself while the file is locked."""
        return work()


def damaged(path: Path, detail: object) -> NagsdkError:
    """The error for a file whose content is damaged.

    Args:
        path: The file.
        detail: What SQLite found.
    """
    return NagsdkError(
        f"The store of measurements {path} is damaged: {detail}.",
        f"Keep it under another name: an empty store will be created in its place. What is readable in it, "
        f"`sqlite3 {path.name} .recover` writes as SQL.",
    )


def _code(error: sqlite3.Error) -> int:
    """The primary result code of SQLite; 0 if the error is not from there."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _told(path: Path, error: sqlite3.Error) -> NagsdkError:
    store, code = f"The store of measurements {path}", _code(error)
    if code in _BUSY:
        return NagsdkError(
            f"{store} has been locked by another process for {_PATIENCE_S:g} s.",
            "Wait until that process has ended, and run the command again.",
        )
    match code:
        case sqlite3.SQLITE_FULL:
            return OutputError(
                f"{store} cannot be written: the disk is full.",
                "Free some space and run the command again; the readings so far are kept.",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return OutputError(
                f"{store} cannot be opened for writing: {error}.",
                "Make the file and its folder writable, or set another cache folder (NAGSDK_CACHE_DIR).",
            )
        case sqlite3.SQLITE_IOERR:
            return OutputError(
                f"{store} cannot be read or written: {error} ({getattr(error, 'sqlite_errorname', '')}).",
                "Look at the free space, the limit on file sizes (ulimit -f) and the disk, and run the command again; "
                "the readings so far are kept.",
            )
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, error)
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            return NagsdkError(
                f"{path} is not a store of measurements: {error}.",
                "Move it to a safe place under another name, or set another cache folder (NAGSDK_CACHE_DIR).",
            )
    return NagsdkError(f"{store} cannot be used: {error}.", "Run the command again; the readings so far are kept.")
