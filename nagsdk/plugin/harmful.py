"""Remembers plugins that hung or crashed while they registered, so that they do not cost that time in every command."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from pathlib import Path

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder
from nagsdk.common.reading import read_json
from nagsdk.errors import OutputError

_MOST_FILES = 5000
_MOST_KEPT_BYTES = 10**6
_FILE = "plugins.json"
_CODE = (".py", ".so", ".pyd", ".dylib", ".toml")


def known_harm(points: Iterable[EntryPoint]) -> dict[EntryPoint, str]:
    """The reasons why plugins are not started, by entry point; a plugin that has changed since is not among them.

    Args:
        points: Entry points of the plugins.
    """
    known = _read(cache_folder() / _FILE)
    return {point: reason for point in points if known and (reason := known.get(_state(point), ""))}


def remember(point: EntryPoint, reason: str) -> None:
    """Stores the reason why a plugin is not to be started again in its present state."""
    path = cache_folder() / _FILE
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
