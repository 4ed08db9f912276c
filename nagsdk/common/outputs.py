"""Output folders: which ones may be replaced, and how a complete new one takes the place of the old one."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nagsdk.common.files import making, writing
from nagsdk.common.swapping import swap
from nagsdk.common.temporary import CONTENT, OLD, PARTIAL, RECORD, beside, is_plain, sweep, workspace
from nagsdk.errors import OutputError

_ELSEWHERE = "Name an empty or new folder with --output."
# File managers leave these in every folder that is looked at; they never hold data of the user.
_DROPPINGS = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")
_NAMED, _LONGEST = 5, "preprocessing.json"


@dataclass(frozen=True)
class Kind:
    """A kind of output folders.

    Attributes:
        what: Its name in messages, such as ``a deployment``.
        files: Names of the files that an earlier output in a folder consists of, by the description in it. Raises an
            error if the folder has no valid description of this kind.
    """

    what: str
    files: Callable[[Path], Collection[str]]


def check_replaceable(folder: Path, kind: Kind) -> None:
    """Raises an error before long work starts if an output folder cannot be written, or is not ours to replace.

    Ours is a folder that is new or empty, or that holds an earlier output of the same kind and no other file.

    Args:
        folder: The output folder.
        kind: What is to be written.

    Raises:
        OutputError: The folder holds something else (the message names it), is needed by the system, or cannot be
            written.
    """
    with writing(folder), making(folder):
        _replaceable(folder, kind)
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        with workspace(folder.parent) as space:
            (space / CONTENT).mkdir()


@contextmanager
def staged(folder: Path, kind: Kind) -> Iterator[Path]:
    """Yields a temporary folder that replaces `folder` if the block succeeds, and is removed otherwise.

    The old folder is there until the new one takes its place, in one step where the file system has one; else a process
    that is killed between two steps leaves a folder beside it from which `sweep` restores the old one.

    Raises:
        OutputError: The folder cannot be written, the disk is full, or somebody has put files into the folder since
            `check_replaceable`; then the new folder is kept beside it.
    """
    with writing(folder), ExitStack() as stack:
        with making(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            stage = stack.enter_context(workspace(folder.parent)) / CONTENT
            stage.mkdir()
        yield stage
        _flush(stage)
        try:
            _publish(stage, folder, kind)
        except (OSError, OutputError) as error:
            why = error.message if isinstance(error, OutputError) else f"{folder} cannot be replaced: {error}."
            kept = beside(stage, folder, "new")
            raise OutputError(
                f"{why} The new result is in {kept} instead.", "Move it to where you want it, or remove it."
            ) from error


def require_only(folder: Path, what: str, ours: Callable[[Path], bool]) -> None:
    """Raises an error if a folder in which files are written one by one holds anything else.

    Args:
        folder: The folder, which may be missing.
        what: What it holds, for messages.
        ours: Whether an entry is ours.

    Raises:
        OutputError: It holds other files.
    """
    if not folder.exists():
        return
    sweep(folder)
    others = [
        path.name
        for path in folder.iterdir()
        if not ours(path) and path.name not in _DROPPINGS and not path.name.startswith(PARTIAL)
    ]
    if others:
        raise _foreign(folder, what, others)


def _publish(stage: Path, folder: Path, kind: Kind) -> None:
    """Gives a complete folder the name of the old one, which then lies in the workspace and is removed with it."""
    names = _replaceable(folder, kind)
    if folder.exists():
        stage.chmod(stat.S_IMODE(folder.stat().st_mode))
    if not names:
        if sys.platform == "win32" and folder.exists():
            folder.rmdir()  # Windows cannot replace a folder, not even an empty one
        stage.rename(folder)
        return
    space = stage.parent
    written = sorted({*names, *(path.name for path in stage.iterdir())})
    record = space / f"{RECORD}.new"
    record.write_bytes(json.dumps({"target": folder.name, "names": written}).encode())
    _flush(space)
    record.replace(space / RECORD)
    # The files are listed again after the move: before it, somebody may still have put one into the folder.
    if swap(stage, folder):
        if others := _others(stage, names):
            swap(stage, folder)
            raise _foreign(folder, kind.what, others)
        return
    old = space / OLD
    folder.rename(old)
    try:
        if others := _others(old, names):
            raise _foreign(folder, kind.what, others)
        stage.rename(folder)
    except (OSError, OutputError):
        old.rename(folder)
        raise


def _replaceable(folder: Path, kind: Kind) -> frozenset[str]:
    """Names of the files of the earlier output in a folder; none if the folder is new or empty.

    Raises:
        OutputError: The folder must not be replaced.
    """
    if folder.name == "..":
        raise OutputError(f"{folder} does not end in the name of a folder.", _ELSEWHERE)
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            (folder / _LONGEST).lstat()  # a path that is too long shows here, and not after the work
        return frozenset()
    if stat.S_ISLNK(mode):
        raise OutputError(f"{folder} is a link to {folder.readlink()}.", "Name the folder itself with --output.")
    if not stat.S_ISDIR(mode):
        raise OutputError(f"{folder} is a file.", "Name a folder with --output.")
    _refuse_needed(folder)
    if not any(folder.iterdir()):
        return frozenset()
    try:
        names = frozenset((*kind.files(folder), *_DROPPINGS))
    except Exception as error:  # whatever is wrong with the description, it does not show that the folder is ours
        raise _foreign(folder, kind.what, [path.name for path in folder.iterdir()]) from error
    if others := _others(folder, names):
        raise _foreign(folder, kind.what, others)
    return names


def _refuse_needed(folder: Path) -> None:
    """Refuses a folder that cannot be replaced because of what it is, and one whose replacing the system would refuse.

    Raises:
        OutputError: It is one.
    """
    full = folder.resolve()
    for place, what in ((Path.cwd, "current"), (Path.home, "home")):
        # The current folder may be gone, and some accounts have no home folder.
        with suppress(FileNotFoundError, RuntimeError):
            if place().resolve().is_relative_to(full):
                raise OutputError(
                    f"{folder} is the {what} folder or holds it, and cannot be replaced.",
                    "Name a new folder in it with --output.",
                )
    if os.path.ismount(full):
        raise OutputError(
            f"{folder} is where a disk is mounted, and cannot be replaced.", "Name a new folder in it with --output."
        )
    above, own = full.parent.stat(), full.stat()
    allowed = os.access(full, os.R_OK | os.W_OK | os.X_OK)
    if sys.platform != "win32" and above.st_mode & stat.S_ISVTX:  # such as /tmp: only owners may rename
        allowed = allowed and os.geteuid() in (0, own.st_uid, above.st_uid)
    if not allowed:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _others(folder: Path, names: Collection[str]) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in names or not is_plain(path)]


def _foreign(folder: Path, what: str, others: Collection[str]) -> OutputError:
    named = sorted(others)
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return OutputError(
        f"{folder} holds files that are not {what} of nagsdk: {', '.join(named[:_NAMED])}{more}.",
        f"Move them elsewhere. {_ELSEWHERE}",
    )


def _flush(folder: Path) -> None:
    """Makes sure that files and names in a folder are on the disk before it takes the place of another one."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and sys.platform == "win32":
            continue  # Windows cannot flush folders
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
