"""Calls plugin code in this process: with a time limit, and with errors that name the plugin.

This protects against plugins that are broken, slow or careless. It is not a sandbox: a plugin is code that runs with
the rights of the user who installed it. Nothing here changes the state of the process, such as `sys.stdout`: other
threads may be using it.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

from nagsdk.common.os_errors import named, of_machine
from nagsdk.errors import DeviceError, NagsdkError

T = TypeVar("T")
_MOST_SHOWN = 200
FIX = "Fix its plugin, or remove it, or name it in NAGSDK_DISABLE_PLUGINS."
# Packages whose frames lie between our call and the code of a plugin.
_LOADERS = ("nagsdk", "importlib", "pluggy", "contextlib")


class LateError(DeviceError):
    """Foreign code exceeded its time limit; its thread continues until the process ends."""


def guarded(call: Callable[[], T], seconds: float, whose: str) -> T:
    """Calls foreign code in a separate thread with a time limit.

    Args:
        call: The code.
        seconds: Time limit.
        whose: The owner of the code, for messages, such as ``The plugin board``.

    Raises:
        LateError: It exceeded the time limit.
        DeviceError: It raised an exception that is not a `NagsdkError`; a `NagsdkError` is raised unchanged.
    """
    returned: list[T] = []
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            returned.append(context.run(call))
        except BaseException as error:  # includes SystemExit: foreign code must not end this process
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise LateError(f"{whose} did not answer within {seconds:g} s.", FIX)
    if raised:
        if isinstance(raised[0], NagsdkError):
            raise raised[0]
        raise failure(whose, raised[0]) from raised[0]
    return returned[0]


@contextlib.contextmanager
def blaming(whose: str, method: str = "") -> Iterator[None]:
    """Turns exceptions of foreign code in this block into errors of its plugin.

    It is for calls that are too short and too frequent for `guarded`.

    Args:
        whose: The owner of the code, for messages, such as ``The metric energy``.
        method: Name of the method that is called, for messages.

    Raises:
        DeviceError: It raised an exception that is not a `NagsdkError`; a `NagsdkError` is raised unchanged.
    """
    try:
        yield
    except (NagsdkError, KeyboardInterrupt):  # in this process, only the user interrupts
        raise
    except BaseException as error:
        raise failure(whose, error, method) from error


def failure(whose: str, error: BaseException, method: str = "") -> NagsdkError:
    """The error that names the plugin whose code raised an exception, the method, and file and line.

    A full disk and other lacks of the machine are named as such.
    """
    if isinstance(error, OSError) and of_machine(error):
        return named(error)
    return DeviceError(f"{whose} failed: {described(error, method)}.", FIX)


def described(error: BaseException, method: str = "") -> str:
    """An exception of foreign code in one line, with file and line of the innermost frame in the called package.

    Args:
        error: The exception.
        method: Name of the method that was called, if any.
    """
    try:
        text = f"{type(error).__name__}: {error}".rstrip(": .")
    except Exception:  # its text is foreign code too
        text = type(error).__name__
    frames = [
        (frame.f_globals.get("__name__", "").partition(".")[0], frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    foreign = [found for found in frames if found[0] not in _LOADERS]
    own = [(frame.f_code.co_filename, line) for package, frame, line in foreign if package == foreign[0][0]]
    where = [*([f"{own[-1][0]}, line {own[-1][1]}"] if own else []), *([f"in {method}"] if method else [])]
    return f"{shown(text)} ({', '.join(where)})" if where else shown(text)


def shown(text: str) -> str:
    """The beginning of what foreign code wrote, as one printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_SHOWN]).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"
