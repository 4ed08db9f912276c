"""The files that a worker got from clients, by their hash: sent once, and removed when they were not used for long."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import uuid
from pathlib import Path

from nagsdk.errors import ConnectionLostError, DeviceError, UsageError

MOST_FILE_BYTES = 1 << 30
_NAME = re.compile(r"[0-9a-f]{64}(\.[A-Za-z0-9_-]{1,16}){1,4}")
_PARTIAL = re.compile(r"[0-9a-f]{32}")


class Files:
    """A folder of files whose names are their SHA-256 and suffix.

    Args:
        folder: The folder; created if missing.
        most_bytes: What all files together may take; those that were not used for longest go first.
        where: Name of the worker, for messages.
    """

    def __init__(self, folder: Path, most_bytes: int, where: str) -> None:
        self.folder, self.most_bytes, self.where = folder, most_bytes, where
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in folder.glob("*.partial"):  # of a worker that was killed; a lab has one worker for each folder
            path.unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """The file with this name, which counts as used now.

        Raises:
            ConnectionLostError: It is not here any more; a fresh session sends it again.
        """
        path = self.folder / _checked(name)
        try:
            os.utime(path)
        except OSError as error:
            raise ConnectionLostError(
                f"{self.where} does not hold the file {name[:12]}… any more.",
                "Run the command again. If it happens often, allow the worker a larger cache (--cache).",
            ) from error
        return path

    def missing(self, names: list[str]) -> list[str]:
        """The names of which there is no file; the others count as used now."""
        found = []
        for name in names:
            try:
                os.utime(self.folder / _checked(name))
            except OSError:
                found.append(name)
        return found

    def add(self, name: str, offset: int, size: int, content: bytes, sender: str) -> int:
        """Takes in a part of a file; once all is here, its hash is checked.

        Args:
            name: SHA-256 and suffix.
            offset: Where the part begins.
            size: Length of the whole file.
            content: The part.
            sender: Hexadecimal id of the upload.

        Returns:
            How much of the file is here.

        Raises:
            UsageError: The file is too large, or is not what its name says.
            ConnectionLostError: There is no room for it here; another worker may have room.
        """
        if not 0 <= offset <= offset + len(content) <= size <= min(MOST_FILE_BYTES, self.most_bytes):
            raise UsageError(
                f"A file of {size / 1e6:.0f} MB is too large for {self.where}.",
                f"Allow its cache more than {self.most_bytes / 1e6:.0f} MB (nagsdk lab worker --cache).",
            )
        if not _PARTIAL.fullmatch(sender):
            raise DeviceError("The id of an upload is not legal.", "Install the same version of nagsdk on both sides.")
        path, partial = self.folder / _checked(name), self.folder / f"{sender}.partial"
        with self._lock:
            try:
                here = self._append(partial, offset, content, size)
            except OSError as error:
                partial.unlink(missing_ok=True)
                raise ConnectionLostError(
                    f"{self.where} cannot keep a file of {size / 1e6:.1f} MB: {error.strerror or error}.",
                    f"Free space in {self.folder} on that host, or name another cache folder there (NAGSDK_CACHE_DIR).",
                ) from error
            if here == size:
                with partial.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != path.name[:64]:
                    partial.unlink()
                    raise UsageError(f"A file changed while it was sent to {self.where}.", "Run the command again.")
                partial.replace(path)
                self._evict(keep=path)
            return here

    def keep(self, source: Path, suffix: str) -> str:
        """Moves a file that was made on this host into the folder, and returns its name."""
        with source.open("rb") as file:
            name = _checked(hashlib.file_digest(file, "sha256").hexdigest() + suffix)
        partial = self.folder / f"{uuid.uuid4().hex}.partial"
        with self._lock:
            partial.write_bytes(source.read_bytes())
            partial.replace(self.folder / name)
            self._evict(keep=self.folder / name)
        return name

    def _append(self, partial: Path, offset: int, content: bytes, size: int) -> int:
        here = partial.stat().st_size if partial.exists() else 0
        if offset > here:
            return here  # a part was lost with a connection: the sender goes on from here
        try:
            return self._write(partial, offset, content)
        except OSError:
            if not self._evict(needed=size):
                raise
            return self._write(partial, offset, content)

    @staticmethod
    def _write(partial: Path, offset: int, content: bytes) -> int:
        with partial.open("r+b" if partial.exists() else "wb") as file:
            file.seek(offset)
            file.write(content)
        return offset + len(content)

    def _evict(self, keep: Path | None = None, needed: int = 0) -> int:
        """Removes the files that were not used for longest, until the others fit; returns how many."""
        found = sorted(
            ((stat.st_mtime, stat.st_size, path) for path in self.folder.glob("*.*") if (stat := _stat(path))),
            key=lambda one: one[:2],
        )
        room, removed = self.most_bytes - needed, 0
        total = sum(size for _, size, _ in found)
        if needed and total:
            room = min(room, total - needed)  # the disk is full: as much as the file needs has to go
        for _, size, path in found:
            if total <= room:
                break
            if path != keep and path.suffix != ".partial":
                path.unlink(missing_ok=True)
                total -= size
                removed += 1
        return removed


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _checked(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeviceError(
            f"{name!r:.80} is not the name of a file in a lab.", "Install the same version of nagsdk on both sides."
        )
    return name
