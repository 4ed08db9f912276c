"""What errors of the operating system mean to a user, and what the user can do about them."""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from nagsdk.errors import DataError, NagsdkError, OutputError

P = ParamSpec("P")
T = TypeVar("T")
_ELSEWHERE = "Name a folder that you may write to."
_AGAIN = "run the command again; what was stored so far is kept"
# Name of an error number -> what is the case, and what to do. By name, because no system has all numbers.
_MEANINGS = {
    "ENOSPC": ("the disk is full", f"Free some space, and {_AGAIN}."),
    "EDQUOT": ("your quota of disk space is used up", f"Free some space of yours, and {_AGAIN}."),
    "EFBIG": ("a file would become larger than the system allows", f"Raise the limit (ulimit -f), and {_AGAIN}."),
    "EROFS": ("the file system is read-only", _ELSEWHERE),
    "EACCES": ("Permission denied", "Change the permissions, or name a folder that you may use."),
    "EPERM": ("the system does not permit it", "Change the permissions, or name a folder that you may use."),
    "ENAMETOOLONG": ("the name is too long", "Name a shorter path."),
    "ELOOP": ("its symbolic links lead in a circle", "Fix the links, or name another path."),
    "EBUSY": (
        "it is in use, for example as the current folder or as a mount point",
        "Leave or close what uses it, or name another path.",
    ),
    "ETXTBSY": ("a running program uses it", f"Wait until that program has ended, and {_AGAIN}."),
    "EIO": ("the disk or its connection failed", "Look at the system's log, and save what matters on another disk."),
    "ESTALE": ("the network disk has lost it", f"Connect the network disk again, and {_AGAIN}."),
    "EMFILE": ("this process has too many open files", f"Raise the limit (ulimit -n), and {_AGAIN}."),
    "ENFILE": ("the system has too many open files", f"End other programs, and {_AGAIN}."),
    "ENOMEM": ("there is not enough memory", f"End other programs, and {_AGAIN}."),
    "ENOTDIR": ("a file exists where a folder is needed", "Name another path."),
    "EEXIST": ("a file or link exists where a folder is needed", "Name another path."),
    "EISDIR": ("it is a folder, and a file is needed", "Name another path."),
    "ENOENT": ("there is no such file or folder", "Check the path, and create what is missing."),
}
_WRITING = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ETXTBSY")
# Whatever the program does that is running.
_OF_MACHINE = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "EMFILE", "ENFILE", "ENOMEM")


def meaning(error: OSError) -> tuple[str, str]:
    """What an error of the operating system means, as part of a sentence, and the next step.

    Args:
        error: The error.
    """
    known = _MEANINGS.get(_name(error))
    return known or (error.strerror or str(error), "Check the path and its disk, or name another one.")


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error that says why a path cannot be written.

    Args:
        path: The path as the user knows it.
        error: The error of the operating system.
    """
    why, next_step = meaning(error)
    return OutputError(f"{path} cannot be written: {why}.", next_step)


def named(error: OSError) -> NagsdkError:
    """The error for one of the operating system that nothing else explained.

    Args:
        error: An error that has a number.
    """
    why, next_step = meaning(error)
    path = named_path(error)
    if path is None and error.errno == errno.ENOENT:
        if not _current_folder_exists():
            return DataError("The current folder cannot be read, or was removed.", "Change to another folder.")
        if "temporary" in str(error):  # tempfile gives it no path
            return OutputError("No folder for temporary files can be written to.", "Set TMPDIR to one.")
    what = "The output" if path is None else path
    if _name(error) in _WRITING:
        return OutputError(f"{what} cannot be written: {why}.", next_step)
    return DataError(f"{what} cannot be used: {why}." if path else f"The system refused: {why}.", next_step)


def out_of_memory(error: Exception) -> NagsdkError | None:
    """The error for one that says that memory does not suffice; None for any other.

    Torch has no class of its own for the memory of the machine: it raises RuntimeError, with these words.

    Args:
        error: Any error.
    """
    if not isinstance(error, MemoryError) and not re.search("allocate memory|out of memory", str(error)):
        return None
    return NagsdkError(
        "The memory of this machine does not suffice.",
        "End other programs, or choose smaller networks, a lower resolution or fewer images at once (--batch-size).",
    )


def named_path(error: OSError) -> str | None:
    """The path in an error of the operating system; None if it has none.

    Of the two paths of a copy, it is the second one if the error is about writing.
    """
    copied = error.filename2 is not None and _name(error) in _WRITING
    path = error.filename2 if copied else error.filename
    return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) and path else None


def of_machine(error: OSError) -> bool:
    """Whether an error is about what the machine lacks (space, memory, files), so that no program is to blame."""
    return _name(error) in _OF_MACHINE


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")


def _current_folder_exists() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def naming_os_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Makes a public function raise a `NagsdkError` where it would raise an error of the operating system."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.errno is None or isinstance(error, BrokenPipeError):
                raise  # not from the operating system, or about standard output
            raise named(error) from error

    return call
