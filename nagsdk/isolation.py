"""Calls into plugins that can do no harm: within a time limit, apart from standard output; a first look in a process of its own.

This guards against what is broken, slow or careless. It is no sandbox: a plugin is code that runs with the rights of the user
who installed it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Generic, TypeVar

from nagsdk.errors import DeviceError, NagsdkError, OutputError
from nagsdk.files import write_atomically
from nagsdk.processes import end
from nagsdk.resources import cache_folder

T = TypeVar("T")
_MOST_SHOWN = 200
_MOST_FILES = 5000
_MOST_KEPT_BYTES = 10**6
# What the interpreter and the first look itself take, besides the plugin.
_START_S = 20.0
# Whose frames lie between ours and those of a plugin.
_LOADERS = ("nagsdk", "importlib", "pluggy", "contextlib")
_CODE = (".py", ".so", ".pyd", ".dylib", ".toml")


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
        raise LateError(f"{whose} did not answer within {seconds:g} s.", "Mend or remove it, or name it in NAGSDK_DISABLE_PLUGINS.")
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
        (frame.f_globals.get("__name__", "").partition(".")[0], frame, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    foreign = [found for found in frames if found[0] not in _LOADERS]
    own = [(frame.f_code.co_filename, line) for package, frame, line in foreign if package == foreign[0][0]]
    return f"{text} ({own[-1][0]}, line {own[-1][1]})" if own else text


def shown(text: str) -> str:
    """The beginning of what foreign code wrote, as one printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_SHOWN]).split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"


def first_look(points: Iterable[EntryPoint], seconds: float, *, again: bool = False) -> dict[EntryPoint, str]:
    """Loads plugins that were never seen in this state in processes of their own, which may hang, crash or exit.

    What was found is kept by the content's state (version, sizes and times of the files), so that a known plugin costs nothing.

    Args:
        points: Entry points with their distributions.
        seconds: How long each may take to register.
        again: Also looks at what is known.

    Returns:
        Why a plugin must not be loaded here; those that may be loaded are left out.
    """
    path = cache_folder() / "plugins.json"
    known = _read(path)
    states = {point: _state(point) for point in points}
    running = {state: _start(point, seconds) for point, state in states.items() if again or state not in known}
    if running:
        known |= {state: _end(process, seconds) for state, process in running.items()}
        _keep(path, known)
    return {point: known[state] for point, state in states.items() if known[state]}


def remember(point: EntryPoint, reason: str) -> None:
    """Keeps what a plugin that had passed the first look did wrong later."""
    path = cache_folder() / "plugins.json"
    _keep(path, _read(path) | {_state(point): reason})


def _state(point: EntryPoint) -> str:
    """A digest of what would be loaded."""
    parts: list[object] = [sys.version, point.name, point.value, *((point.dist.name, point.dist.version) if point.dist else ())]
    with contextlib.suppress(ImportError, ValueError):
        # A top-level name is looked up without importing anything.
        spec = importlib.util.find_spec(point.module.partition(".")[0])
        folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
        files = [file for folder in folders for file in folder.rglob("*") if file.suffix in _CODE][:_MOST_FILES]
        if spec and spec.origin and not folders:
            files = [Path(spec.origin)]
        for file in sorted(files):
            with contextlib.suppress(OSError):
                stat = file.stat()
                parts.append((str(file), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_KEPT_BYTES else None
    except (OSError, ValueError):
        return {}  # a first look costs less than a complaint
    fits = isinstance(content, dict) and all(isinstance(v, str) for v in content.values())
    return content if fits else {}


def _keep(path: Path, known: dict[str, str]) -> None:
    with contextlib.suppress(OutputError):  # without a cache every look is the first
        write_atomically(path, json.dumps(known, indent=2).encode())


def _start(point: EntryPoint, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 — this interpreter and a module of ours
        [sys.executable, "-P", "-m", "nagsdk.probe", point.name, point.value, str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _end(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Why the plugin must not be loaded here; empty where it may be."""
    try:
        said, _ = process.communicate(timeout=seconds + _START_S)
    except subprocess.TimeoutExpired:
        said = b""
    finally:
        end(process)
    try:
        told = json.loads(said)
        return str(told["reason"])
    except (ValueError, KeyError, TypeError):
        status = process.returncode
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        return f"It ended the process that loaded it ({how})."
