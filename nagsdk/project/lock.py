"""nagsdk.lock: what was built from a nagsdk.toml, pinned so that another machine gets the same bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nagsdk.common.files import write_atomically
from nagsdk.common.reading import read_json
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import LockError
from nagsdk.graph.ranges import PREFIX
from nagsdk.manifest.fields import Sha256, Text
from nagsdk.manifest.manifest import manifest_text
from nagsdk.manifest.schema import check_manifest

LOCK = "nagsdk.lock"
_MOST_BYTES = 256 * 10**6


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _statistics(texts: dict[str, str]) -> dict[str, str]:
    for name, text in texts.items():
        try:
            values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
            variances = np.zeros(0) if name.startswith(PREFIX) else values.reshape(2, -1)[1]
        except ValueError as error:
            raise ValueError(f"{name} is not base64 of two rows of float32") from error
        if not (np.isfinite(values).all() and (variances >= 0).all()):
            raise ValueError(f"{name} must be finite, and variances not negative")
    return texts


def _manifest(content: dict[str, Any]) -> dict[str, Any]:
    check_manifest(content)
    return content


class Inputs(_Strict):
    """Content hashes of everything that a deployment was built from."""

    options: dict[str, Any] = Field(description="The options in nagsdk.toml, without the output folder.")
    device: Sha256 = Field(description="Hash of those parts of the device's description that affect the artifact.")
    bundle: Sha256 | None = Field(description="Hash of bundle.json, which holds the hashes of the bundle's files.")
    weights: Sha256 | None = Field(
        description="Hash of weights that are not shipped with the bundle, or of the file of a finished network."
    )
    images: Sha256 | None = Field(description="Hash of the images in the declared folder.")


class Entry(_Strict):
    """One pinned deployment."""

    inputs: Inputs
    statistics: Annotated[dict[Text, str], AfterValidator(_statistics)] = Field(
        max_length=10_000,
        description="Statistics of every batch normalisation by its name: means, then variances, as little-endian "
        f"float32 in base64. Names that begin with {PREFIX} are those of ranges and corrections for integers.",
    )
    manifest: Annotated[dict[str, Any], AfterValidator(_manifest)] = Field(
        description="manifest.json of the deployment: architecture, hashes, versions, measurements."
    )

    def manifest_bytes(self) -> bytes:
        """The content of manifest.json."""
        return manifest_text(self.manifest)

    def statistics_bytes(self) -> dict[str, bytes]:
        """The statistics as `nagsdk.supernet.recalibrate.restore_statistics` takes them."""
        return {name: base64.b64decode(text) for name, text in self.statistics.items()}


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
    try:
        return LockFile.model_validate(read_json(path, _MOST_BYTES))
    except FileNotFoundError:
        return LockFile()
    except (OSError, ValueError) as error:
        raise LockError(f"{path} cannot be read: {what_is_wrong(error)}.", _FIX) from error


def write_lock(path: Path, lock: LockFile) -> None:
    """Writes nagsdk.lock completely or not at all; deployments are sorted by name to keep differences small."""
    content = {
        "format": lock.format,
        "deployments": {name: lock.deployments[name].model_dump() for name in sorted(lock.deployments)},
    }
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
