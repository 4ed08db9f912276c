"""First look: unknown plugins are imported in a subprocess first, where a hang or a crash does no harm."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder
from nagsdk.common.processes import end
from nagsdk.common.reading import read_json
from nagsdk.errors import OutputError

_MOST_FILES = 5000
_MOST_KEPT_BYTES = 10**6
# Time that the interpreter and the first look itself take, in addition to the plugin.
_START_S = 20.0
_CODE = (".py", ".so", ".pyd", ".dylib", ".toml")


def first_look(points: Iterable[EntryPoint], seconds: float, *, again: bool = False) -> dict[EntryPoint, str]:
    """Loads each new or changed plugin in its own subprocess, which may hang, crash or exit.

    The result is stored by the plugin's state (its version, and the sizes and times of its files), so that a known
    plugin costs nothing.

    Args:
        points: Entry points with their distributions.
        seconds: Timeout for each plugin to register.
        again: Whether known plugins are checked as well.

    Returns:
        The reasons why plugins must not be loaded in this process, by entry point; safe plugins are not in it.
    """
    path = cache_folder() / "plugins.json"
    known = _read(path)
    states = {point: _state(point) for point in points}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for point, state in states.items():
            if again or state not in known:
                running[state] = _start(point, seconds)
        known |= {state: _reason(process, seconds) for state, process in running.items()}
    finally:
        for process in running.values():
            end(process)
    if running:
        _keep(path, known)
    return {point: known[state] for point, state in states.items() if known[state]}


def remember(point: EntryPoint, reason: str) -> None:
    """Stores the reason why a plugin that had passed the first look must not be loaded any more."""
    path = cache_folder() / "plugins.json"
    _keep(path, _read(path) | {_state(point): reason})


def _state(point: EntryPoint) -> str:
    """A hash of everything that would be loaded."""
    parts: list[object] = [
        sys.version,
        point.name,
        point.value,
        *((point.dist.name, point.dist.version) if point.dist else ()),
    ]
    with contextlib.suppress(ImportError, ValueError):
        # Looking up a top-level name imports nothing.
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
        content = read_json(path, _MOST_KEPT_BYTES)
    except (OSError, ValueError):
        return {}  # another first look costs less than an error
    fits = isinstance(content, dict) and all(isinstance(v, str) for v in content.values())
    return content if fits else {}


def _keep(path: Path, known: dict[str, str]) -> None:
    with contextlib.suppress(OutputError):  # without a cache, every plugin is checked each time
        write_atomically(path, json.dumps(known, indent=2).encode())


def _start(point: EntryPoint, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 — this interpreter and our own module
        [sys.executable, "-P", "-m", "nagsdk.plugin.probe", point.name, point.value, str(seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def _reason(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Ends a first look: the reason why the plugin must not be loaded in this process; empty if it is safe."""
    try:
        output, _ = process.communicate(timeout=seconds + _START_S)
    except subprocess.TimeoutExpired:
        output = b""
    finally:
        end(process)
    try:
        return str(json.loads(output)["reason"])
    except (ValueError, KeyError, TypeError):
        status = process.returncode
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"
        return f"It ended the process that loaded it ({how})."
