"""Does work on a device again where the connection to it was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nagsdk.errors import ConnectionLostError
from nagsdk.events import Listener, Notice

T = TypeVar("T")
MOST_LOST = 4


def reconnecting(work: Callable[[], T], on_event: Listener) -> T:
    """Does work that opens its own session, again with a fresh one where the connection was lost.

    Args:
        work: The work; what it has measured before must not count twice.
        on_event: Receives a warning for each connection that was lost.

    Raises:
        ConnectionLostError: It was lost several times.
    """
    for _ in range(MOST_LOST - 1):
        try:
            return work()
        except ConnectionLostError as error:
            on_event(Notice(f"{error.message} Beginning this session again.", warning=True))
    return work()
