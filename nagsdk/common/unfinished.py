"""What this process must undo if it has to end at once: partial outputs and temporary folders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_UNDO: dict[object, Callable[[], object]] = {}


@contextlib.contextmanager
def unfinished(undo: Callable[[], object]) -> Iterator[None]:
    """Lists what to undo while the block runs; the block itself undoes it, unless the process has to end at once.

    Args:
        undo: Removes what the block made; called by another thread, perhaps while the block does the same.
    """
    key = object()
    _UNDO[key] = undo
    try:
        yield
    finally:
        del _UNDO[key]


def undo_all() -> None:
    """Undoes everything that is listed; only for a process that ends without running its blocks to their end."""
    for undo in tuple(_UNDO.values()):
        with contextlib.suppress(Exception):  # the others must be undone as well
            undo()
