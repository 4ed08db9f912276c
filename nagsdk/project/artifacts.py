"""Artifacts by the hash of their content: a cache on this machine, and mirrors elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nagsdk.common.files import PARTIAL, sha256, writing
from nagsdk.common.folders import cache_folder
from nagsdk.errors import BundleError, LockError
from nagsdk.events import Listener, Notice

CACHE, MIRROR = "cache", "mirror"


def keep(path: Path, digest: str) -> None:
    """Puts a file into the cache under its SHA-256.

    Raises:
        OutputError: The cache cannot be written.
    """
    _copy(path, _folder() / digest)


def take(record: Mapping[str, Any], target: Path, mirror: str | None, listener: Listener) -> str | None:
    """Brings a pinned file from the cache or a mirror.

    Args:
        record: Its `sha256` and `bytes`.
        target: Where to leave it.
        mirror: Folder or http(s) address where files lie under their SHA-256; None asks the cache only.
        listener: Receives progress, and why a mirror was of no use.

    Returns:
        ``cache`` or ``mirror``; None where neither has it.

    Raises:
        LockError: The mirror answered with something else.
    """
    digest = str(record["sha256"])
    cached = _folder() / digest
    if cached.is_file():
        if sha256(cached) == digest:
            _copy(cached, target)
            return CACHE
        listener(Notice(f"{cached} is damaged and is not used.", warning=True))
        with writing(cached):
            cached.unlink(missing_ok=True)
    if mirror is None or not _from_mirror(mirror, digest, int(record["bytes"]), target, listener):
        return None
    if sha256(target) != digest:
        target.unlink()
        raise LockError(
            f"{mirror} holds another file under {digest[:16]}…: it was refused.",
            "Put the pinned file there, or name another mirror.",
        )
    keep(target, digest)
    return MIRROR


def _from_mirror(mirror: str, digest: str, most_bytes: int, target: Path, listener: Listener) -> bool:
    if "://" not in mirror:
        source = Path(mirror) / digest
        if source.is_file():
            _copy(source, target)
        return source.is_file()
    from nagsdk.common.download import download

    try:
        download(f"{mirror.rstrip('/')}/{digest}", target, most_bytes, listener)
    except BundleError as error:
        target.unlink(missing_ok=True)
        listener(Notice(f"The mirror was of no use: {error.message}", warning=True))
        return False
    return True


def _folder() -> Path:
    return cache_folder() / "artifacts"


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all, for several processes may keep the same file."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{PARTIAL}{os.getpid()}-{target.name}")
        try:
            shutil.copyfile(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
