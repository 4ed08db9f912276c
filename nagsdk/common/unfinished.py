"""What this process must undo if it has to end at once: partial outputs and temporary folders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_UNDO: dict[object, Callable[[], object]] = {}


@contextlib.contextmanager
def undoing(undo: Callable[[], object]) -> Iterator[None]:
    """Undoes what the block does, when it ends or when the process has to end at once.

    Args:
        undo: Removes what the block made, which may be nothing yet. It may be called again, by another thread as well,
            if it was interrupted itself.
    """
    key = object()
    _UNDO[key] = undo
    try:
        yield
    finally:
        undo()
        del _UNDO[key]


def undo_all() -> None:
    """Undoes everything that is listed; only for a process that ends without running its blocks to their end."""
    for undo in tuple(_UNDO.values()):
        with contextlib.suppress(Exception):  # the others must be undone as well
            undo()
