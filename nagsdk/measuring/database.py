"""What the store needs of a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol


class Rows(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """Number of rows that the statement changed."""

    def fetchone(self) -> Any:
        """Returns the next row; None after the last one."""

    def fetchall(self) -> Sequence[Any]:
        """Returns all rows."""


class Connection(Protocol):
    """A connection; each statement is kept at once unless it is in a transaction."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Rows:
        """Runs a statement, in which each ``?`` stands for a value."""


class Database(ABC):
    """A database that several processes may use at once.

    Attributes:
        words: Types of columns whose names differ between databases.
        place: Where it is, for messages.
    """

    words: ClassVar[Mapping[str, str]]
    place: str

    @abstractmethod
    def connection(self) -> AbstractContextManager[Connection]:
        """Opens a connection for a block, whose errors become errors of nagsdk."""

    @abstractmethod
    def transaction(self, opened: Connection) -> AbstractContextManager[None]:
        """Keeps all changes of the block, or none after an error."""

    @abstractmethod
    def version(self, opened: Connection) -> int:
        """Format of the store in it; 0 if it holds nothing."""

    @abstractmethod
    def alone(self, opened: Connection) -> None:
        """Waits until no other process makes the tables; until the end of the transaction, none will."""

    @abstractmethod
    def mark(self, opened: Connection, version: int) -> None:
        """Records the format of the store."""

    @abstractmethod
    def check(self, opened: Connection) -> None:
        """Raises an error if it is damaged."""

    @abstractmethod
    def shrink(self, opened: Connection) -> None:
        """Gives back the room of what was deleted."""

    @abstractmethod
    def persistently(self, work: Callable[[], int]) -> int:
        """Does some work that may be done twice; again, where it fails for a reason that passes."""
