"""Reads files that users, other programs or strangers wrote: regular files of bounded size, and bounded numbers.

Every problem is an `OSError` or a `ValueError`, which a reader turns into an error of its own.
"""

from __future__ import annotations

import codecs
import errno
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nagsdk.errors import NagsdkError

# Encoding of text that users write: Notepad and PowerShell begin UTF-8 with a byte order mark, which this skips.
TEXT = "utf-8-sig"
_MOST_LARGE_NUMBER = 1 << 64
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def opened(path: Path) -> BufferedReader:
    """Opens a regular file for reading; a pipe would make a program wait, and a device may never end.

    Raises:
        OSError: It cannot be opened, or is something else.
    """
    try:
        _require_regular(path, path.stat().st_mode)
        # The file may have been replaced by a pipe since then; opening a pipe must not wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name cannot be that of a file", str(path)) from error
    try:
        _require_regular(path, os.fstat(handle).st_mode)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file", str(path))


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file.

    Args:
        path: The file.
        most_bytes: A larger file is refused. The content is counted, since the size that the system reports may be
            wrong.

    Raises:
        OSError: It cannot be read, is something else, or is larger.
    """
    with opened(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {_size(most_bytes)}", str(path))
    return content


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; see `read_bytes`.

    Raises:
        ValueError: It is not UTF-8.
    """
    return read_bytes(path, most_bytes).decode(TEXT)


def lines_of(path: Path, most_bytes: int, most_line: int) -> Iterator[bytes]:
    """The lines of a file that may be too large for the memory.

    Args:
        path: The file.
        most_bytes: A larger file is refused.
        most_line: Longer lines are cut into parts of this size.

    Raises:
        OSError: See `read_bytes`.
    """
    count = 0
    with opened(path) as file:
        while line := file.readline(most_line):
            count += len(line)
            if count > most_bytes:
                raise OSError(errno.EFBIG, f"it is larger than {_size(most_bytes)}", str(path))
            yield line


def json_of(content: str | bytes) -> Any:
    """The value of a JSON text, with everything refused that later work could not handle.

    Raises:
        ValueError: It is not JSON, is nested too deeply, or has a number that is not finite or has more than 64 bits,
            or text that is not Unicode.
    """
    try:
        text = content if isinstance(content, str) else content.decode(TEXT)
        value = json.loads(text, parse_constant=_refused, parse_float=_finite, parse_int=_whole)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # fails for half of a pair of surrogates
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeError as error:
        raise ValueError("it is not UTF-8") from error
    return value


def read_json(path: Path, most_bytes: int) -> Any:
    """The value of a JSON file; see `read_bytes` and `json_of`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not usable JSON.
    """
    return json_of(read_text(path, most_bytes))


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
        content = read_bytes(path, most_bytes)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise refuse(f"{path} is in UTF-16, as PowerShell writes it; save it as UTF-8.")
        values = tomllib.loads(content.decode(TEXT).replace("\r\n", "\n"))
        _check(values)
        return values
    except FileNotFoundError as error:
        raise refuse(f"There is no file {path}.") from error
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}.") from error
    except RecursionError as error:
        raise refuse(f"{path} is nested too deeply.") from error
    except ValueError as error:
        raise refuse(f"{path} is not a readable TOML file: {error}.") from error


def _check(value: object) -> None:
    """Refuses what TOML can say and later work could not handle."""
    if isinstance(value, dict):
        for name, entry in value.items():
            _check(name)
            _check(entry)
    elif isinstance(value, list):
        for entry in value:
            _check(entry)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number that it may have")
    elif isinstance(value, int) and abs(value) >= _MOST_LARGE_NUMBER:
        raise ValueError("a number is too large")
    elif isinstance(value, str) and "\0" in value:
        raise ValueError("a text has the character NUL")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {_shown(text)} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 21 or abs(number := int(text)) >= _MOST_LARGE_NUMBER:
        raise ValueError(f"the number {_shown(text)} is too large")
    return number


def _refused(text: str) -> float:
    raise ValueError(f"{text} is not a number that it may have")


def _shown(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}…"


def _size(count: int) -> str:
    return f"{count / 1e6:g} MB" if count >= 10**6 else f"{count / 1e3:g} kB"
