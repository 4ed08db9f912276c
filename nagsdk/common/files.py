"""Atomic writing of files and folders, hashes, and reading of TOML files."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from nagsdk.common.os_errors import named_path, unwritable
from nagsdk.common.processes import may_live
from nagsdk.errors import NagsdkError, OutputError

PARTIAL = ".nagsdk-partial-"
# Encoding of text that users write: Notepad and PowerShell begin UTF-8 with a byte order mark, which this skips.
TEXT = "utf-8-sig"
_MOST_TEXT = 64 * 10**6
# Staging takes minutes at most. Age is checked too, since process numbers do not cover other containers or other
# machines that write to a shared disk.
_ABANDONED_S = 3600.0


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def only_line_ends_differ(path: Path, digest: str) -> bool:
    """Whether a file had the given SHA-256 before something, such as git on a checkout, changed its line ends."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _MOST_TEXT else b""
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

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    with writing(path):
        with making(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)  # temporary files are private; this one is not
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def check_file(path: Path) -> None:
    """Raises an error before long work starts if `path` cannot be written as a file; see `replacing`.

    Raises:
        OutputError: It cannot.
    """
    with writing(path), making(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{path} is a folder.", "Name a file.")
        with tempfile.TemporaryFile(dir=path.parent, prefix=PARTIAL):
            pass


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file completely or not at all; see `replacing`.

    Raises:
        OutputError: The folder is not writable or the disk is full.
    """
    with replacing(path) as file:
        file.write(content)


def read_toml(path: Path, most_bytes: int, refuse: Callable[[str], NagsdkError]) -> dict[str, Any]:
    """The content of a TOML file written by the user: UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        most_bytes: A larger file is refused.
        refuse: Makes an error from its message.

    Raises:
        NagsdkError: The error of `refuse`, if the file cannot be read.
    """
    import tomllib

    try:
        if path.stat().st_size > most_bytes:
            raise refuse(f"{path} is larger than {most_bytes} bytes.")
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise refuse(f"{path} is in UTF-16, as PowerShell writes it; save it as UTF-8.")
        return tomllib.loads(content.decode(TEXT).replace("\r\n", "\n"))
    except FileNotFoundError as error:
        raise refuse(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise refuse(f"{path} is not a readable TOML file: {error}.") from error


def check_replaceable(folder: Path, marker: str, what: str = "a deployment") -> None:
    """Raises an error before long work starts if an output folder cannot be replaced.

    Args:
        folder: The output folder.
        marker: Name of a file that identifies the folder as an earlier output of the same kind.
        what: Name of that kind, for messages.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file.", "Name a folder with --output.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
        raise OutputError(f"{folder} holds files that are not {what}.", "Name an empty or new folder with --output.")
    with writing(folder), making(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PARTIAL):
            pass


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces `folder` if the block succeeds, and is removed otherwise.

    A killed process leaves at most a hidden folder beside it, which `sweep` removes later.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    with writing(folder):
        with making(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            # `tempfile.mkdtemp` would make a private folder, on Windows permanently.
            stage, old = (folder.with_name(f"{PARTIAL}{os.getpid()}-{os.urandom(8).hex()}") for _ in range(2))
            stage.mkdir()
        try:
            yield stage
            if folder.exists():
                folder.rename(old)  # Windows cannot replace a folder, not even an empty one
            try:
                stage.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Removes temporary folders of killed processes: older than an hour, and of processes that no longer run.

    If the system has given the process number to another process, the folder is kept until that process ends.

    Args:
        parent: The folder that holds them.
    """
    for left in parent.glob(f"{PARTIAL}*-*"):
        named = re.fullmatch(r"(\d{1,9})-.*", left.name.removeprefix(PARTIAL))
        with suppress(OSError):  # another process sweeps too
            if named and time.time() - left.stat().st_mtime > _ABANDONED_S and not may_live(int(named[1])):
                shutil.rmtree(left, ignore_errors=True)
