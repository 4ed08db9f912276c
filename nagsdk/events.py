"""Progress events: the API sends them, the command line (or any other listener) shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
class Remaining(Event):
    """The whole job, of which the running stage is a part, will take so many seconds more.

    Attributes:
        seconds: An estimate, which is corrected while the job runs.
    """

    seconds: float = 0.0


@dataclass(frozen=True)
class Notice(Event):
    """One line of information.

    Attributes:
        warning: Whether the user should not overlook it.
    """

    warning: bool = False


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that ignores all events."""


@contextmanager
def stage(on_event: Listener, text: str, total: float | None = None) -> Iterator[Callable[[float, str], None]]:
    """Sends the events of one stage of work, and yields a function that reports its progress.

    Args:
        on_event: Receives the events.
        text: Name of the stage.
        total: Number of steps, if known.

    Yields:
        A function that takes the number of steps done and a text to show.
    """
    on_event(Started(text, total))
    try:
        yield lambda done, now: on_event(Advanced(now, done))
    finally:
        on_event(Finished(text))


_listener: ContextVar[Listener] = ContextVar("listener", default=ignore)


@contextmanager
def heard_by(on_event: Listener) -> Iterator[None]:
    """Makes a listener the one that `send` sends to in this block.

    Args:
        on_event: Receives the events; `ignore` leaves the listener of the block around this one in place.
    """
    token = _listener.set(_listener.get() if on_event is ignore else on_event)
    try:
        yield
    finally:
        _listener.reset(token)


def send(event: Event) -> None:
    """Sends an event to the listener of the innermost `heard_by`.

    It is for work that no listener can be handed to, such as what a property computes when it is first read.
    """
    _listener.get()(event)
