"""Calls into plugins that can do no harm: within a time limit, apart from standard output; a first look in a process of its own.

This guards against what is broken, slow or careless. It is no sandbox: a plugin is code that runs with the rights of the user
who installed it.
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
# Whose frames lie between ours and those of a plugin.
_LOADERS = ("nagsdk", "importlib", "pluggy", "contextlib")


class LateError(DeviceError):
    """Foreign code did not come back in time; the thread that it runs in goes on until the process ends."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What foreign code returned, and what it printed meanwhile."""

    value: T
    printed: str


def guarded(call: Callable[[], T], seconds: float, whose: str) -> Answer[T]:
    """Calls foreign code in a thread of its own; what it prints to `sys.stdout` is held back.

    Args:
        call: The code.
        seconds: How long to wait for it.
        whose: Who is to blame, for messages, such as ``The plugin board``.

    Raises:
        LateError: It did not come back in time.
        DeviceError: It raised something that is no `NagsdkError`; those pass.
    """
    told: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            told.append(call())
        except BaseException as error:  # SystemExit and the like too: nothing foreign may end this process
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        thread.start()
        thread.join(seconds)
    if thread.is_alive():
        raise LateError(
            f"{whose} did not answer within {seconds:g} s.", "Mend or remove it, or name it in NAGSDK_DISABLE_PLUGINS."
        )
    if raised:
        if isinstance(raised[0], NagsdkError):
            raise raised[0]
        raise DeviceError(
            f"{whose} failed: {described(raised[0])}.", "Mend or remove it, or name it in NAGSDK_DISABLE_PLUGINS."
        ) from raised[0]
    return Answer(told[0], shown(printed.getvalue()))


@contextlib.contextmanager
def blaming(whose: str) -> Iterator[None]:
    """Makes whatever foreign code raises in here an error of its plugin; for calls too many and too short for `guarded`.

    Args:
        whose: What failed, for messages, such as ``The metric energy``.

    Raises:
        DeviceError: It raised something that is no `NagsdkError`; those pass.
    """
    try:
        yield
    except NagsdkError:
        raise
    except Exception as error:
        raise DeviceError(f"{whose} failed: {described(error)}.", "Mend its plugin, or remove it.") from error


def described(error: BaseException) -> str:
    """An exception of foreign code in one line, with file and line of its innermost frame in the package that was called."""
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
