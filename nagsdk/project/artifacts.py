"""Artifacts by the hash of their content: a cache on this machine, and mirrors on other machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nagsdk.common.files import replacing, writing
from nagsdk.common.folders import cache_folder
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import BundleError, LockError, OutputError
from nagsdk.events import Listener, Notice

CACHE, MIRROR = "cache", "mirror"
_PART = 1 << 20


def keep(path: Path, digest: str) -> None:
    """Stores a file in the cache under its SHA-256.

    Args:
        path: The file.
        digest: SHA-256 of its content, in hexadecimal.

    Raises:
        OutputError: The cache cannot be written.
        LockError: The file has another content.
    """
    _copy(path, _folder() / digest, digest, path.stat().st_size)


def take(record: Mapping[str, Any], target: Path, mirror: str | None, listener: Listener) -> str | None:
    """Copies a pinned file from the cache, or else from a mirror.

    Args:
        record: The file's `sha256` and `bytes`.
        target: Path to write the file to. It appears only when its length and hash are the pinned ones.
        mirror: Folder or http(s) address that holds files under their SHA-256; None uses the cache only.
        listener: Receives progress, and the reason if cache or mirror cannot be used.

    Returns:
        ``cache`` or ``mirror``; None if neither has the file.

    Raises:
        LockError: The mirror's file has another hash.
    """
    digest, size = str(record["sha256"]), int(record["bytes"])
    cached = _folder() / digest
    try:
        if cached.exists():
            _copy(cached, target, digest, size)
            return CACHE
    except LockError:
        listener(Notice(f"{cached} is damaged and is not used.", warning=True))
        with writing(cached):
            cached.unlink(missing_ok=True)
    except OSError as error:
        listener(Notice(f"The cache is not used: {error}.", warning=True))
    if mirror is None or not _from_mirror(mirror, digest, size, target, listener):
        return None
    try:
        keep(target, digest)
    except OutputError as error:
        listener(Notice(f"{target.name} is not kept in the cache: {error.message}", warning=True))
    return MIRROR


def _from_mirror(mirror: str, digest: str, size: int, target: Path, listener: Listener) -> bool:
    if "://" not in mirror:
        source = Path(mirror) / digest
        try:
            if there := source.exists():
                _copy(source, target, digest, size)
        except OSError as error:
            listener(Notice(f"The mirror is not used: {error}.", warning=True))
            return False
        return there
    from nagsdk.common.download import download

    with temporary_folder() as work:
        received = work / digest
        try:
            download(f"{mirror.rstrip('/')}/{digest}", received, size, listener, hash_known=True)
        except BundleError as error:
            listener(Notice(f"The mirror is not used: {error.message}", warning=True))
            return False
        _copy(received, target, digest, size)
    return True


def _folder() -> Path:
    return cache_folder() / "artifacts"


def _copy(source: Path, target: Path, digest: str, size: int) -> None:
    """Copies a file completely or not at all, and only if it is one of this length and hash.

    Raises:
        LockError: It is not.
        OutputError: The target cannot be written.
    """
    other = LockError(
        f"{source.parent} holds something else under {source.name[:16]}… than the file with this hash: it was refused.",
        "Put the pinned file there, or name another mirror.",
    )
    # What is no file may be endless or wait for ever. Its length is known before a byte is copied.
    if not source.is_file() or source.stat().st_size != size:
        raise other
    with source.open("rb") as file, replacing(target) as copy:
        actual = hashlib.sha256()
        while part := file.read(_PART):
            copy.write(part)
            actual.update(part)
        if actual.hexdigest() != digest:
            raise other
