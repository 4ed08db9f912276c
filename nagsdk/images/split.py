"""Divides the images of a class by the hashes of their names: in exact shares, and later in the same way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError

# The shares of an image's hash below which it belongs to `val`, and below which to `test`.
Cut: TypeAlias = tuple[float, float]
_SHARE = 0.1


def divide(
    root: Path, paths: Sequence[Path], cut: Cut | None = None, *, train: bool = True
) -> tuple[Cut, list[Path], list[Path], list[Path]]:
    """Divides the images of one class into ``val``, ``test`` and ``train``.

    A tenth of the images, rounded, goes to each of the first two, in the order of the hashes of their names. The cuts
    between the parts, applied to more images later, leave every image in its part.

    Args:
        root: The data set; names are relative to it.
        paths: The images: five or more with `train`, else one or more.
        cut: The cuts of an earlier division; parts that would be empty get one image all the same.
        train: Whether there is a part ``train``; if not, half of the images go to ``val`` and half to ``test``.

    Returns:
        The cuts, and the images of ``val``, ``test`` and ``train``.
    """
    ranked = sorted((_share(root, path), path) for path in paths)
    if cut is None:
        few = max(1, round(_SHARE * len(ranked)))
        first, second = (few, 2 * few) if train else (-(-len(ranked) // 2), len(ranked))
        shares = [*(share for share, _ in ranked), 1.0]
        cut = shares[first], shares[second]
    val = [path for share, path in ranked if share < cut[0]]
    test = [path for share, path in ranked if cut[0] <= share < cut[1]]
    rest = [path for share, path in ranked if share >= cut[1]]
    for part, other in ((rest, max(val, test, key=len)), (val, test), (test, val)) if train else ():
        if not part:
            part.append((rest if len(rest) > 1 else other).pop(0))
    return cut, val, test, rest


def read_cuts(provenance: Mapping[str, Any]) -> dict[str, Cut]:
    """The cuts that a bundle recorded, by class; nothing if it recorded none.

    Args:
        provenance: The provenance of the bundle.

    Raises:
        DamagedBundleError: It is not a cut for each class.
    """
    from pydantic import Field, TypeAdapter

    images = provenance.get("images")
    record = images.get("cuts") if isinstance(images, dict) else None
    share = Annotated[float, Field(ge=0, le=1)]
    if record is None:
        return {}
    try:
        found: dict[str, Cut] = TypeAdapter(dict[str, tuple[share, share]]).validate_python(record)
    except ValueError as error:
        raise DamagedBundleError(
            f"The split of the images that the bundle recorded is not valid: {what_is_wrong(error)}.",
            "Train the bundle again.",
        ) from error
    return found


def name_of(root: Path, path: Path) -> bytes:
    """Name of an image, which does not depend on the place of its folder."""
    return os.fsencode(path.relative_to(root).as_posix())


def _share(root: Path, path: Path) -> float:
    """The hash of a name as a number from 0 to 1."""
    return int.from_bytes(hashlib.sha256(name_of(root, path)).digest()[:8]) / 2**64
