"""Weights that the user brought for a bundle: where they are kept, and what was recorded when they were imported."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import data_folder
from nagsdk.common.reading import json_of, read_bytes
from nagsdk.common.validation import SHA256, what_is_wrong
from nagsdk.common.wording import command
from nagsdk.errors import DamagedBundleError, WeightsMissingError
from nagsdk.families.space import MOST_BYTES, NetworkSpace
from nagsdk.space.space import extremes

SUPERNET_WEIGHTS, WEIGHTS_RECORD = "supernet.safetensors", "weights.json"
_MOST_RECORD = 64 * 1024


def imported_folder(key: str) -> Path:
    """Folder of the weights that the user fetched or imported for a bundle.

    Args:
        key: Name of a shipped bundle, or the hash of another one; see `Bundle.weights_folder`.
    """
    return data_folder() / "bundles" / key


def no_weights(name: str, argument: str, space: NetworkSpace) -> WeightsMissingError:
    """The error for a bundle whose weights are not on this machine.

    Args:
        name: Name of the bundle.
        argument: How the bundle is named on the command line.
        space: Its space; the parameters of its largest network tell about how large the weights are.
    """
    pull = command("nagsdk", "bundle", "pull", argument)
    (largest,) = space.decode(extremes(space)[1:])
    size = f"about {4 * space.parameters(largest) / 1e6:.0f} MB"
    return WeightsMissingError(
        f"Bundle {name} has no supernet weights on this machine.",
        f"Fetch them ({size}) with '{pull}', or from a file with '{pull} --from FILE' or 'nagsdk bundle import-ofa "
        "CHECKPOINT'; without weights, 'nagsdk generate' predicts, and 'nagsdk deploy --timing-only' writes one for "
        "timing.",
    )


def read_weights_record(folder: Path) -> dict[str, str]:
    """The record of the import of weights.

    Args:
        folder: See `imported_folder`.

    Returns:
        The keys source, checkpoint_sha256, sha256 and imported_at.

    Raises:
        DamagedBundleError: The record cannot be read.
    """
    path = folder / WEIGHTS_RECORD
    return _read(path, ("source", "checkpoint_sha256", "sha256", "imported_at"), f"Delete {folder} and import again.")


def read_weights(path: Path, digest: str, again: str) -> bytes:
    """The imported weights.

    Args:
        path: Their file.
        digest: Their recorded SHA-256.
        again: Command that imports them again, for messages.

    Raises:
        DamagedBundleError: The file cannot be read, or has another hash.
    """
    try:
        content = read_bytes(path, MOST_BYTES)
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedBundleError(
            f"{path} does not have the hash recorded when it was imported.", f"Import it again: {again}."
        )
    return content


def first_hash(address: str) -> str | None:
    """SHA-256 of what was first downloaded from an address; None if nothing was.

    Args:
        address: An address without credentials, query and fragment.

    Raises:
        DamagedBundleError: The record cannot be read.
    """
    path = hash_file(address)
    if not path.exists():
        return None
    return _read(path, ("address", "sha256"), f"Delete {path}; the next download is then trusted.")["sha256"]


def record_first_hash(address: str, digest: str) -> None:
    """Records the SHA-256 that every later download from an address must have.

    Raises:
        OutputError: The record cannot be written.
    """
    content = {"address": address, "sha256": digest}
    write_atomically(hash_file(address), json.dumps(content, indent=2).encode())


def hash_file(address: str) -> Path:
    """The file that records what was first downloaded from an address."""
    return data_folder() / "downloads" / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.json"


def _read(path: Path, keys: tuple[str, ...], next_step: str) -> dict[str, str]:
    try:
        record: Any = json_of(read_bytes(path, _MOST_RECORD))
        if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in keys):
            raise ValueError(f"it does not hold texts for {', '.join(keys)}")
        if wrong := [key for key in keys if key.endswith("sha256") and not re.fullmatch(SHA256, record[key])]:
            raise ValueError(f"{wrong[0]} is no SHA-256")
    except (OSError, ValueError) as error:
        raise DamagedBundleError(f"{path} cannot be read: {what_is_wrong(error)}.", next_step) from error
    return {key: record[key] for key in keys}
