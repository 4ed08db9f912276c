"""Lets builds of one project wait for each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nagsdk.common.files import writing
from nagsdk.common.folders import cache_folder
from nagsdk.errors import OutputError

_WAIT_S = 3600.0


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lets only one process at a time build a project, since build tools may start several."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    path = cache_folder() / "locks" / f"build-{name}.lock"
    lock = FileLock(path, timeout=_WAIT_S)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"Another process has been building {folder} for an hour.", "Wait until it ends, or stop it."
            ) from error
    try:
        yield
    finally:
        lock.release()
