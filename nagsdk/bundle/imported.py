"""Weights that the user brought for a bundle: where they are kept, and what was recorded when they were imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.folders import data_folder
from nagsdk.errors import DamagedBundleError

if TYPE_CHECKING:
    pass


def user_folder(name: str) -> Path:
    """Folder of the weights that the user fetched or imported for a bundle."""
    return data_folder() / "bundles" / name


def read_weights_record(folder: Path) -> dict[str, str]:
    """The record of the import of weights.

    Args:
        folder: See `user_folder`.

    Returns:
        The keys source, checkpoint_sha256, sha256 and imported_at.

    Raises:
        DamagedBundleError: The record cannot be read.
    """
    path = folder / "weights.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        return {key: str(record[key]) for key in ("source", "checkpoint_sha256", "sha256", "imported_at")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedBundleError(
            f"{path} cannot be read: {error}.", f"Delete {folder} and import the weights again."
        ) from error
