"""Progress events: the API tells, the command line (or any other listener) shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that happened in a long job."""

    text: str


@dataclass(frozen=True)
class Started(Event):
    """A stage of `total` steps began (None: length unknown)."""

    total: float | None = None


@dataclass(frozen=True)
class Advanced(Event):
    """The running stage advanced to `done` steps."""

    done: float = 0.0


@dataclass(frozen=True)
class Finished(Event):
    """The running stage ended."""


@dataclass(frozen=True)
class Notice(Event):
    """One line worth reading; `warning` marks what a user must not overlook."""

    warning: bool = False


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener for callers that want no progress."""


@contextmanager
def stage(on_event: Listener, text: str, total: float | None = None) -> Iterator[Callable[[float, str], None]]:
    """Wraps a stage of work and yields its progress function.

    Yields:
        A function of (steps done, text to show).
    """
    on_event(Started(text, total))
    try:
        yield lambda done, now: on_event(Advanced(now, done))
    finally:
        on_event(Finished(text))
