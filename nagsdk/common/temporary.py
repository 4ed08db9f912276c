"""Temporary files and folders: locked while their maker lives, and swept when it is dead.

Their names say that they are ours, and on which running system they were made. A lock of the system, which ends with
the process that holds it, says whether their maker lives; this works across containers. Where another system cannot see
the lock, as on some shared disks, the maker lives as long as it renews the time of its lock file.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from nagsdk.common.reading import read_json
from nagsdk.common.unfinished import undoing

PARTIAL, TEMPORARY = ".nagsdk-partial-", "nagsdk-"
# In a temporary folder: its lock, what is written, the folder that was replaced, and which one that is.
LOCK, CONTENT, OLD, RECORD = "lock", "content", "old", "record.json"
_NAMES = re.compile(rf"(?:{re.escape(PARTIAL)}|{TEMPORARY})([0-9a-f]{{12}})-[0-9a-f]{{16}}")
_BEAT_S, _SILENT_S = 60.0, 3600.0
_MOST_RECORD = 10**6
# Windows has neither of these, which keep an opened name from being a link or a pipe.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BYTES = getattr(os, "O_BINARY", 0)


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yields a private folder that is removed afterwards; those of dead processes beside it are removed first.

    Args:
        parent: The folder to make it in; the system's folder for temporary files if None.

    Raises:
        OSError: It cannot be made.
    """
    place, prefix = (Path(tempfile.gettempdir()), TEMPORARY) if parent is None else (parent, PARTIAL)
    sweep(place)
    with workspace(place, prefix, 0o700) as space:
        content = space / CONTENT
        content.mkdir()
        yield content


@contextmanager
def workspace(parent: Path, prefix: str = PARTIAL, mode: int = 0o777) -> Iterator[Path]:
    """Yields a new folder with a lock file in it, and removes it afterwards as `sweep` would.

    Args:
        parent: The folder to make it in.
        prefix: Beginning of its name.
        mode: Its rights, of which the umask takes some.

    Raises:
        OSError: It cannot be made.
    """
    with _claimed_folder(parent, prefix, mode) as folder:
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(_BEAT_S):
                with suppress(OSError):
                    os.utime(folder / LOCK)

        heart = threading.Thread(target=beat, name="nagsdk heartbeat", daemon=True)
        try:
            heart.start()
            yield folder
        finally:
            ended.set()


@contextmanager
def temporary_file(parent: Path) -> Iterator[tuple[Path, int]]:
    """Yields a new file and its descriptor, which must be closed in the block; the file is removed afterwards.

    Args:
        parent: The folder to make it in. What dead processes left there is removed first.

    Raises:
        OSError: It cannot be made.
    """
    sweep(parent)
    while True:
        path = parent / _fresh(PARTIAL)
        remove = partial(path.unlink, missing_ok=True)
        with undoing(remove):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BYTES, 0o666)
            # Windows cannot rename a locked file, but does not let others remove an open one either.
            if sys.platform == "win32" or _claim(descriptor, path):
                yield path, descriptor
                return
            os.close(descriptor)


def sweep(parent: Path) -> None:
    """Removes temporary files and folders of dead processes, and finishes or undoes the replacing of a folder.

    Args:
        parent: The folder that holds them. Only what this user owns is touched.
    """
    with suppress(OSError):
        for name in os.listdir(parent):  # noqa: PTH208  # a Path for each of a million names is slow
            if found := _NAMES.fullmatch(name):
                with suppress(OSError, ValueError):  # another process sweeps too
                    _sweep_one(Path(parent, name), found[1] == _system())


def is_plain(path: Path, kind: Callable[[int], bool] = stat.S_ISREG) -> bool:
    """Whether a path is of a kind itself, rather than a link to something of that kind.

    Args:
        path: The path.
        kind: `stat.S_ISREG` for a file, `stat.S_ISDIR` for a folder.
    """
    try:
        return kind(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def remove_listed(folder: Path, names: Collection[str]) -> bool:
    """Removes those files of a folder that are listed, and then the folder; returns whether nothing else was in it."""
    for path in folder.iterdir():
        if path.name in names and is_plain(path):
            path.unlink(missing_ok=True)
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True


def beside(path: Path, target: Path, what: str) -> Path:
    """Moves a file or folder to a new name beside `target`, and returns that name."""
    kept = target.with_name(f"{target.name[:40]}.{what}-{os.urandom(4).hex()}")
    path.rename(kept)
    return kept


def _fresh(prefix: str) -> str:
    return f"{prefix}{_system()}-{os.urandom(8).hex()}"


@cache
def _system() -> str:
    """Hash of what names the running kernel, within which locks hold; containers share it."""
    try:
        named = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:
        named = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(named.encode()).hexdigest()[:12]


def _lock(descriptor: int) -> bool | None:
    """Takes the lock of an open file: False if another process holds it, None if the file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _claim(descriptor: int, path: Path) -> bool:
    """Locks a new file; False if another process swept it before it was locked."""
    if _lock(descriptor) is False:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def _claimed_folder(parent: Path, prefix: str, mode: int) -> Iterator[Path]:
    while True:
        folder = parent / _fresh(prefix)
        locks: list[int] = []

        def clear(folder: Path = folder, locks: list[int] = locks) -> None:
            if locks:
                _clear(folder, locks[0])
                locks.clear()
            else:
                _drop(folder)

        with undoing(clear):
            folder.mkdir(mode)
            try:
                locks.append(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BYTES, 0o600))
            except FileNotFoundError:
                continue  # swept before it was locked
            if _claim(locks[0], folder / LOCK):
                yield folder
                return


def _dead(descriptor: int, here: bool) -> bool:
    """Whether the maker of an open file is dead; `here` if it was made on this running system."""
    lock = _lock(descriptor)
    if lock is None or (lock and not here):
        return time.time() - os.fstat(descriptor).st_mtime > _SILENT_S
    return lock


def _sweep_one(path: Path, here: bool) -> None:
    found = path.lstat()
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        return
    if stat.S_ISDIR(found.st_mode):
        try:
            lock = os.open(path / LOCK, os.O_RDWR | _BYTES | _PLAIN)
        except FileNotFoundError:
            path.rmdir()  # its maker died before it was locked or after it was cleared, or finds out and makes another
            return
        if _dead(lock, here):
            _clear(path, lock)
        else:
            os.close(lock)
    elif stat.S_ISREG(found.st_mode):
        file = os.open(path, os.O_RDWR | _BYTES | _PLAIN)
        try:
            dead = _dead(file, here and sys.platform != "win32")
        finally:
            os.close(file)
        if dead:
            path.unlink()


def _clear(folder: Path, lock: int) -> None:
    """Removes a temporary folder whose lock this process holds; where that fails, a later sweep tries again."""
    try:
        with suppress(OSError, ValueError):
            _settle(folder)
            for path in folder.iterdir():
                if is_plain(path, stat.S_ISDIR):
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != LOCK:
                    path.unlink()
        if sys.platform != "win32":
            _drop(folder)  # before the lock is released, so that nobody else can take it and then lose its folder
    finally:
        os.close(lock)
    if sys.platform == "win32":
        _drop(folder)  # an open file cannot be removed there


def _drop(folder: Path) -> None:
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] in ([], [LOCK]):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _settle(space: Path) -> None:
    """Restores a folder that was moved away to be replaced and was not, and removes what was replaced.

    Only files that the record lists are removed, and only a folder of files is restored, since a stranger's folder may
    hold a forged record. A folder to which somebody has added a file is kept beside the new one.

    Raises:
        ValueError: The record is damaged.
        OSError: A folder cannot be moved.
    """
    record = space / RECORD
    if not os.path.lexists(record):
        return  # nothing but new content was ever here
    if not is_plain(record):
        raise ValueError
    match read_json(record, _MOST_RECORD):
        case {"target": str(name), "names": [*names]} if Path(name).name == name:
            target = space.with_name(name)
        case _:
            raise ValueError
    old, content = space / OLD, space / CONTENT
    if is_plain(old, stat.S_ISDIR) and not os.path.lexists(target) and all(map(is_plain, old.iterdir())):
        old.rename(target)
    for superseded in (old, content):
        if is_plain(superseded, stat.S_ISDIR) and not remove_listed(superseded, names):
            beside(superseded, target, "kept")
