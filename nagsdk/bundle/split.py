"""How the images of a bundle were divided, as it recorded that."""

from __future__ import annotations

from pathlib import Path

from nagsdk.bundle.bundle import Bundle
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.common.reading import json_of
from nagsdk.images.split import SPLIT, Split

_MOST_SPLIT = 10**8


def recorded_split(bundle: Bundle) -> Split | None:
    """How the images of a bundle were divided; None if it did not record that.

    Raises:
        DamagedBundleError: The record is not valid.
    """
    if SPLIT in bundle.files:
        return bundle.files.parsed(SPLIT, _MOST_SPLIT, lambda content: Split.of(json_of(content)))
    images = bundle.description.provenance.get("images")
    # Version 0.1 recorded the cuts alone, here.
    cuts = images.get("cuts") if isinstance(images, dict) else None
    return None if cuts is None else Split.of({"cuts": cuts})


def split_beside(weights: str) -> Split | None:
    """The split of the bundle that a file of weights lies in, if it lies in one.

    A training that goes on from these weights must test on no image that they were trained on.

    Args:
        weights: Path of the file, or another source of weights.

    Raises:
        DamagedBundleError: The bundle is damaged.
    """
    folder = Path(weights).parent
    if Path(weights).is_file() and (folder / DESCRIPTION).is_file():
        return recorded_split(Bundle(folder))
    return None
