"""Atomic writing of files, and hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from nagsdk.common.os_errors import named_path, unwritable
from nagsdk.common.reading import opened, read_bytes
from nagsdk.common.temporary import PARTIAL, temporary_file
from nagsdk.errors import OutputError

_MOST_TEXT = 64 * 10**6


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def only_line_ends_differ(path: Path, digest: str) -> bool:
    """Whether a file had the given SHA-256 before something, such as git on a checkout, changed its line ends."""
    try:
        content = read_bytes(path, _MOST_TEXT)
    except OSError:
        return False
    lines = content.replace(b"\r\n", b"\n")
    forms = {lines, lines.replace(b"\n", b"\r\n")} - {content}
    return any(hashlib.sha256(form).hexdigest() == digest for form in forms)


def line_ends_advice(folder: Path, names: Sequence[str]) -> str:
    """What to do where git changed the line ends of files.

    Args:
        folder: The folder of the files.
        names: Their names.
    """
    plural = "s" if len(names) == 1 else ""
    return (
        f"{', '.join(names)} differ{plural} only in line ends, which git changed (core.autocrlf): put the line "
        f"`**/{folder.resolve().name}/** -text` into .gitattributes, and check the folder out again"
    )


def by_name(path: PurePath) -> tuple[str, ...]:
    """Sort key that orders paths equally on all systems; Windows compares paths themselves without regard to case."""
    return path.parts


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns errors of the operating system about writing to `path` into an `OutputError`.

    Errors that name a file elsewhere, and missing files, pass: they are about what is read meanwhile.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (None, errno.ENOENT) or not _concerns(path, named_path(error)):
            raise
        raise unwritable(path, error) from error


def _concerns(path: Path, named: str | None) -> bool:
    """Whether an error about the file `named` is about `path`: its folders, its content, or what replaces it."""
    if named is None:
        return True
    try:
        own, other = path.absolute(), Path(named).absolute()
    except OSError:
        return False  # the current folder was removed
    partial = other.relative_to(own.parent).parts[:1] if other.is_relative_to(own.parent) else ()
    return own.is_relative_to(other) or other.is_relative_to(own) or "".join(partial).startswith(PARTIAL)


@contextmanager
def making(path: Path) -> Iterator[None]:
    """Turns the error that `path` cannot be created into an `OutputError`: its folder was removed, or is special."""
    try:
        yield
    except FileNotFoundError as error:
        raise OutputError(
            f"{path} cannot be created: {error.strerror}.", "Name a folder that exists and that you may write to."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yields a file that replaces `path` if the block succeeds; readers see the old or the new content, never a part.

    A new file gets the rights that the umask leaves, and a replaced one keeps its own. Only a file is replaced: a link,
    a folder or a device is refused, so that nothing changes elsewhere.

    Raises:
        OutputError: The folder is not writable, the disk is full, or `path` is not a file.
    """
    with writing(path):
        with making(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        mode = _replaced_mode(path)
        with making(path), temporary_file(path.parent) as (partial, descriptor):
            with os.fdopen(descriptor, "wb") as file:
                if mode is not None:
                    partial.chmod(mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if sys.platform != "win32":
                    partial.replace(path)  # while it is still locked, so that no other process sweeps it
            if sys.platform == "win32":
                partial.replace(path)  # an open file cannot be renamed there


def check_file(path: Path) -> None:
    """Raises an error before long work starts if `path` cannot be written as a file; see `replacing`.

    Raises:
        OutputError: It cannot.
    """
    with writing(path), making(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replaced_mode(path)
        with temporary_file(path.parent) as (_, descriptor):
            os.close(descriptor)


def _replaced_mode(path: Path) -> int | None:
    """The rights of the file that is to be replaced; None if there is none.

    Raises:
        OutputError: It is no file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        what = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise OutputError(f"{path} is {what} and is not replaced by a file.", "Name another file.")
    return stat.S_IMODE(mode)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file completely or not at all; see `replacing`.

    Raises:
        OutputError: The folder is not writable, the disk is full, or `path` is not a file.
    """
    with replacing(path) as file:
        file.write(content)
