"""Calls plugin code safely: with a timeout, with standard output captured, and with errors that name the plugin.

This protects against plugins that are broken, slow or careless. It is not a sandbox: a plugin is code that runs with
the rights of the user who installed it.
"""

from __future__ import annotations

import contextlib
import io
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from nagsdk.errors import DeviceError, NagsdkError

T = TypeVar("T")
_MOST_SHOWN = 200
_FIX = "Fix or remove it, or name it in NAGSDK_DISABLE_PLUGINS."
# Packages whose frames lie between our call and the code of a plugin.
_LOADERS = ("nagsdk", "importlib", "pluggy", "contextlib")


class LateError(DeviceError):
    """Foreign code exceeded its timeout; its thread continues until the process ends."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The result of foreign code.

    Attributes:
        value: What it returned.
        printed: The beginning of what it printed meanwhile.
    """

    value: T
    printed: str


def guarded(call: Callable[[], T], seconds: float, whose: str) -> Answer[T]:
    """Calls foreign code in a separate thread with a timeout; what it prints to `sys.stdout` is captured.

    Args:
        call: The code.
        seconds: Timeout.
        whose: The owner of the code, for messages, such as ``The plugin board``.

    Raises:
        LateError: It exceeded the timeout.
        DeviceError: It raised an exception that is not a `NagsdkError`; a `NagsdkError` is raised unchanged.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # includes SystemExit: foreign code must not end this process
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        thread.start()
        thread.join(seconds)
    if thread.is_alive():
        raise LateError(f"{whose} did not answer within {seconds:g} s.", _FIX)
    if raised:
        if isinstance(raised[0], NagsdkError):
            raise raised[0]
        raise DeviceError(f"{whose} failed: {described(raised[0])}.", _FIX) from raised[0]
    return Answer(returned[0], shown(printed.getvalue()))


@contextlib.contextmanager
def blaming(whose: str) -> Iterator[None]:
    """Turns exceptions of foreign code in this block into errors of its plugin.

    It is for calls that are too short and too frequent for `guarded`.

    Args:
        whose: The owner of the code, for messages, such as ``The metric energy``.

    Raises:
        DeviceError: It raised an exception that is not a `NagsdkError`; a `NagsdkError` is raised unchanged.
    """
    try:
        yield
    except NagsdkError:
        raise
    except Exception as error:
        raise DeviceError(f"{whose} failed: {described(error)}.", "Fix its plugin, or remove it.") from error


def described(error: BaseException) -> str:
    """An exception of foreign code in one line, with file and line of the innermost frame in the called package."""
    text = f"{type(error).__name__}: {error}".rstrip(": .")
    frames = [
        (frame.f_globals.get("__name__", "").partition(".")[0], frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    foreign = [found for found in frames if found[0] not in _LOADERS]
    own = [(frame.f_code.co_filename, line) for package, frame, line in foreign if package == foreign[0][0]]
    return f"{text} ({own[-1][0]}, line {own[-1][1]})" if own else text


def shown(text: str) -> str:
    """The beginning of what foreign code wrote, as one printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_SHOWN]).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"
