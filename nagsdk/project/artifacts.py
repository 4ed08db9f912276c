"""Artifacts by the hash of their content: a cache on this machine, and mirrors on other machines."""

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
    """Stores a file in the cache under its SHA-256.

    Args:
        path: The file.
        digest: SHA-256 of its content, in hexadecimal.

    Raises:
        OutputError: The cache cannot be written.
    """
    _copy(path, _folder() / digest)


def take(record: Mapping[str, Any], target: Path, mirror: str | None, listener: Listener) -> str | None:
    """Copies a pinned file from the cache, or else from a mirror.

    Args:
        record: The file's `sha256` and `bytes`.
        target: Path to write the file to.
        mirror: Folder or http(s) address that holds files under their SHA-256; None uses the cache only.
        listener: Receives progress, and the reason if a mirror cannot be used.

    Returns:
        ``cache`` or ``mirror``; None if neither has the file.

    Raises:
        LockError: The mirror's file has another hash.
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
            f"{mirror} holds a file with another hash under {digest[:16]}…: it was refused.",
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
        download(f"{mirror.rstrip('/')}/{digest}", target, most_bytes, listener, hash_known=True)
    except BundleError as error:
        target.unlink(missing_ok=True)
        listener(Notice(f"The mirror is not used: {error.message}", warning=True))
        return False
    return True


def _folder() -> Path:
    return cache_folder() / "artifacts"


def _copy(source: Path, target: Path) -> None:
    """Copies a file completely or not at all, since several processes may store the same file."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{PARTIAL}{os.getpid()}-{target.name}")
        try:
            shutil.copyfile(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
