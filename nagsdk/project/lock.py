"""nagsdk.lock: what was built from a nagsdk.toml, pinned so that another machine gets the same bytes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nagsdk.common.files import TEXT, write_atomically
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import LockError
from nagsdk.manifest.manifest import manifest_text
from nagsdk.manifest.schema import ManifestFile, Sha256

LOCK = "nagsdk.lock"
_MOST_BYTES = 256 * 10**6


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Inputs(_Strict):
    """Content hashes of everything that a deployment was built from."""

    options: dict[str, Any] = Field(description="The options in nagsdk.toml, without the output folder.")
    device: Sha256 = Field(description="Hash of those parts of the device's description that affect the artifact.")
    bundle: Sha256 | None = Field(description="Hash of bundle.json, which holds the hashes of the bundle's files.")
    weights: Sha256 | None = Field(description="Hash of weights that are not shipped with the bundle.")
    images: Sha256 | None = Field(description="Hash of the images in the declared folder.")


class Entry(_Strict):
    """One pinned deployment."""

    inputs: Inputs
    statistics: dict[str, str] = Field(
        description="Statistics of every batch normalisation by its name: means, then variances, as little-endian "
        "float32 in base64."
    )
    manifest: dict[str, Any] = Field(
        description="manifest.json of the deployment: architecture, hashes, versions, measurements."
    )

    def manifest_bytes(self) -> bytes:
        """The content of manifest.json."""
        return manifest_text(self.manifest)

    def statistics_bytes(self) -> dict[str, bytes]:
        """The statistics as `nagsdk.supernet.recalibrate.restore_statistics` takes them.

        Raises:
            LockError: They are not valid base64.
        """
        try:
            return {name: base64.b64decode(text, validate=True) for name, text in self.statistics.items()}
        except (binascii.Error, ValueError) as error:
            raise LockError(f"The statistics in {LOCK} cannot be read: {error}.", _FIX) from error


class LockFile(_Strict):
    """The content of nagsdk.lock."""

    format: Literal[1] = 1
    deployments: dict[Annotated[str, Field(max_length=64)], Entry] = {}


_FIX = f"Restore {LOCK} as it was checked in, or delete it and build again."


def entry_of(inputs: Inputs, manifest: Mapping[str, Any], statistics: Mapping[str, bytes]) -> Entry:
    """The entry that pins a deployment."""
    encoded = {name: base64.b64encode(content).decode() for name, content in statistics.items()}
    return Entry(inputs=inputs, statistics=encoded, manifest=dict(manifest))


def read_lock(path: Path) -> LockFile:
    """Reads nagsdk.lock; returns an empty lock if there is no file.

    Raises:
        LockError: The file is damaged, is something else, or has another format.
    """
    if not path.exists():
        return LockFile()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        lock = LockFile.model_validate_json(path.read_text(TEXT))
        for entry in lock.deployments.values():
            ManifestFile.model_validate(entry.manifest)
    except (OSError, ValueError) as error:
        raise LockError(f"{path} cannot be read: {what_is_wrong(error)}.", _FIX) from error
    return lock


def write_lock(path: Path, lock: LockFile) -> None:
    """Writes nagsdk.lock completely or not at all; deployments are sorted by name to keep differences small."""
    content = {
        "format": lock.format,
        "deployments": {name: lock.deployments[name].model_dump() for name in sorted(lock.deployments)},
    }
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
