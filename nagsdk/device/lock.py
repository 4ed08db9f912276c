"""A lock for each device, so that only one process at a time measures on it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nagsdk.errors import DeviceBusyError, DeviceError
from nagsdk.events import Listener, Notice, ignore


@contextmanager
def device_lock(folder: Path, device: str, on_event: Listener = ignore, timeout_s: float = 600.0) -> Iterator[None]:
    """Reserves a device for this process, because two timings at once would disturb each other.

    The operating system releases the lock of a process that dies.

    Args:
        folder: Folder of the lock files, the same for every process; created if missing.
        device: A name that is safe in a file name.
        on_event: Receives one notice that names the process it is waiting for.
        timeout_s: Seconds to wait for the lock.

    Raises:
        DeviceBusyError: Another process held the lock all the time.
        DeviceError: The folder cannot be used.
    """
    lock, holder = FileLock(folder / f"{device}.lock"), folder / f"{device}.holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_event(Notice(f"Waiting for {_name(holder)}, which is measuring on {device}."))
            started = time.monotonic()
            try:
                lock.acquire(timeout=timeout_s)
            except Timeout:
                raise DeviceBusyError(
                    f"{device} was busy for {time.monotonic() - started:.0f} s: {_name(holder)} is measuring on it.",
                    "Wait until that process has ended, or end it, and start again.",
                ) from None
    except OSError as error:
        raise DeviceError(
            f"The lock {lock.lock_file} cannot be taken: {error}.",
            "Make the folder writable, or set another cache folder (NAGSDK_CACHE_DIR).",
        ) from error
    try:
        with suppress(OSError):  # it is for messages only; a full disk must not end a measurement
            holder.write_bytes(str(os.getpid()).encode())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _name(holder: Path) -> str:
    try:
        return f"process {int(holder.read_text('utf-8'))}"
    except (OSError, ValueError):
        return "another process"
