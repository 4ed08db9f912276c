"""A PostgreSQL database for the readings of a lab, through SQLAlchemy; the tables lie in the schema `nagsdk`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from nagsdk.common.database_address import DatabaseAddress
from nagsdk.common.pip import pip
from nagsdk.errors import NagsdkError, OutputError, UsageError
from nagsdk.measuring.database import Connection, Database, Rows

if TYPE_CHECKING:
    from sqlalchemy import Connection as SqlConnection
    from sqlalchemy import Engine
    from sqlalchemy.exc import SQLAlchemyError

_CONNECT_S = 10
# A server that restarts is back within seconds; work that may be done twice is tried for so long.
_PATIENCE_S, _PAUSE_S = 30.0, 0.1
# A number that no other program locks by chance.
_LOCK = 0x6E616773646B
# Classes and codes of errors: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = ("08", "40", "57P", "23503", "53300")
_FULL, _RIGHTS = ("53100", "54000"), ("42501", "28", "25006")


class _PassingError(NagsdkError):
    """An error that may not come again: a lost connection, a deadlock, a server that starts."""


class _Statements:
    """A connection that takes statements as SQLite takes them."""

    def __init__(self, opened: SqlConnection) -> None:
        self._opened = opened

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        """See `nagsdk.measuring.database.Connection`; no statement of the store has ? or % in its text."""
        return self._opened.exec_driver_sql(statement.replace("?", "%s"), tuple(values) or None)


class PostgreSql(Database):
    """A PostgreSQL database.

    Args:
        address: Its address.

    Raises:
        UsageError: SQLAlchemy or psycopg is not installed, or the address is not valid.
    """

    words: ClassVar[dict[str, str]] = {
        "id": "bigint generated always as identity primary key",
        "real": "double precision",
        "moment": 'text collate "C"',
    }

    def __init__(self, address: DatabaseAddress) -> None:
        try:
            import psycopg  # noqa: F401 — SQLAlchemy needs it
            from sqlalchemy import create_engine, make_url
            from sqlalchemy.exc import ArgumentError
        except ImportError as error:
            raise UsageError(
                f"The store {address} needs SQLAlchemy and psycopg.", f"Run: {pip('install', 'nagsdk[lab]')}"
            ) from error
        self.place = str(address)
        try:
            url = make_url(address.url).set(drivername="postgresql+psycopg")
            self._secret = url.password
            self._engine: Engine = create_engine(
                url,
                isolation_level="AUTOCOMMIT",
                pool_size=1,
                max_overflow=8,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": _CONNECT_S,
                    "application_name": "nagsdk",
                    "options": "-csearch_path=nagsdk",
                },
            )
        except (ArgumentError, ValueError, TypeError) as error:
            raise UsageError(
                f"The address of the store, {address}, is not valid.", "Write postgresql://USER@HOST:PORT/DATABASE."
            ) from error

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """See `Database`.

        Raises:
            NagsdkError: The server cannot be reached, or refuses.
            OutputError: It may not be written, or its disk is full.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect() as opened:
                yield _Statements(opened)
        except SQLAlchemyError as error:
            raise self._told(error) from error

    @contextmanager
    def transaction(self, opened: Connection) -> Iterator[None]:
        """See `Database`."""
        opened.execute("begin")
        try:
            yield
            opened.execute("commit")
        except BaseException:
            from sqlalchemy.exc import SQLAlchemyError

            with suppress(SQLAlchemyError):  # where the connection is lost, the transaction is lost with it
                opened.execute("rollback")
            raise

    def version(self, opened: Connection) -> int:
        """See `Database`."""
        tables = "select table_name from information_schema.tables where table_schema = 'nagsdk'"
        found = {row[0] for row in opened.execute(tables).fetchall()}
        if not found:
            return 0
        if "store" not in found:
            raise NagsdkError(
                f"{self.place} is not a store of measurements: its schema nagsdk holds {', '.join(sorted(found))}.",
                "Use another database (setting store).",
            )
        return int(opened.execute("select version from store").fetchone()[0])

    def alone(self, opened: Connection) -> None:
        """See `Database`."""
        opened.execute("select pg_advisory_xact_lock(?)", (_LOCK,))
        opened.execute("create schema if not exists nagsdk")

    def mark(self, opened: Connection, version: int) -> None:
        """See `Database`."""
        opened.execute("create table if not exists store (version integer not null)")
        opened.execute("delete from store")
        opened.execute("insert into store (version) values (?)", (version,))

    def check(self, opened: Connection) -> None:
        """See `Database`; a server checks its files itself."""

    def shrink(self, opened: Connection) -> None:
        """See `Database`; a server gives back room by itself."""

    def persistently(self, work: Callable[[], int]) -> int:
        """See `Database`."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return work()
            except _PassingError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)

    def _told(self, error: SQLAlchemyError) -> NagsdkError:
        origin = getattr(error, "orig", None) or error
        code = str(getattr(origin, "sqlstate", None) or "")
        reason = " ".join(str(origin).split())[:500]
        if self._secret:
            reason = reason.replace(str(self._secret), "***")
        store = f"The store of measurements {self.place}"
        if code.startswith(_FULL):
            return OutputError(f"{store} cannot be written: {reason}.", "Free some space on the disk of the server.")
        if code.startswith(_RIGHTS):
            return OutputError(
                f"{store} cannot be used: {reason}.",
                "Check user and password; the user needs the right to create the schema nagsdk in the database.",
            )
        if code.startswith(_PASSING) or getattr(error, "connection_invalidated", False) or not code:
            return _PassingError(
                f"{store} cannot be reached: {reason}.",
                "Check that the server runs and the address is right, and run the command again; the readings so far "
                "are kept.",
            )
        return NagsdkError(f"{store} cannot be used: {reason}.", "Run the command again; the readings so far are kept.")
