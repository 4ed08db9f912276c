"""What is known about a division of images into parts, and what each image is divided by: the hash of its name."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError

# The shares of an image's hash below which it belongs to `val`, and below which to `test`.
Cut: TypeAlias = tuple[float, float]
SPLIT = "split.json"  # in a bundle
SHARE = 0.1
# Names are recorded as so many bytes of their hashes: of a million names, two have the same in one of 500 cases.
_KEY = 6


@dataclass(frozen=True)
class Split:
    """What a bundle records about a division, so that later ones leave every image where it was.

    Attributes:
        cuts: The cuts of every class, by which images are divided that are added later.
        held: The part of every image or group that was divided, by `key_of` its name.
        group_by: The pattern by which images were grouped; None if they were not.
    """

    cuts: Mapping[str, Cut] = field(default_factory=dict)
    held: Mapping[bytes, str] = field(default_factory=dict)
    group_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``split.json``."""
        packed = {
            part: b64encode(b"".join(sorted(key for key, of in self.held.items() if of == part))).decode()
            for part in sorted(set(self.held.values()))
        }
        return {"group_by": self.group_by, "cuts": dict(self.cuts), "held": packed}

    @classmethod
    def of(cls, record: Any) -> Split:
        """Reads what `to_dict` returned, or the cuts alone, which earlier versions recorded.

        Raises:
            DamagedBundleError: It is not valid.
        """
        from pydantic import Field, TypeAdapter

        share = Annotated[float, Field(ge=0, le=1)]
        part = Annotated[str, Field(pattern="^(train|val|test)$")]
        pattern = Annotated[str, Field(max_length=1000)]
        try:
            record = TypeAdapter(dict[str, Any]).validate_python(record)
            held = TypeAdapter(dict[part, str]).validate_python(record.get("held", {}))
            return cls(
                TypeAdapter(dict[str, tuple[share, share]]).validate_python(record.get("cuts")),
                {key: name for name, packed in held.items() for key in _unpacked(packed)},
                TypeAdapter(pattern | None).validate_python(record.get("group_by")),
            )
        except ValueError as error:
            raise DamagedBundleError(
                f"The split of the images that the bundle recorded is not valid: {what_is_wrong(error)}.",
                "Train the bundle again.",
            ) from error


@dataclass(frozen=True)
class Item:
    """An image that is to be divided.

    Attributes:
        path: The file.
        label: Its class, an index.
        digest: SHA-256 of its name, or of the name of its group.
        group: The name of its group, if it has one.
    """

    path: Path
    label: int
    digest: bytes
    group: str | None = None

    @classmethod
    def of(cls, root: Path, path: Path, label: int, group: str | None = None) -> Item:
        """An item of a data set."""
        name = name_of(root, path) if group is None else b"\0group\0" + os.fsencode(group)
        return cls(path, label, hashlib.sha256(name).digest(), group)

    @property
    def key(self) -> bytes:
        """By which it is recorded."""
        return self.digest[:_KEY]

    @property
    def share(self) -> float:
        """Its hash as a number from 0 to 1."""
        return int.from_bytes(self.digest[:8]) / 2**64


def cut_of(shares: Sequence[float], train: bool) -> Cut:
    """The cuts that divide images with these shares of hashes in exact parts."""
    first, second = targets(len(shares), train)
    ranked = [*sorted(shares), 1.0]
    return ranked[first], ranked[min(first + second, len(shares))]


def targets(count: int, train: bool) -> tuple[int, int]:
    """How many images of a class should be in ``val`` and in ``test``."""
    few = max(1, round(SHARE * count))
    return (few, few) if train else (-(-count // 2), count // 2)


def name_of(root: Path, path: Path) -> bytes:
    """Name of an image, which does not depend on the place of its folder."""
    return os.fsencode(path.relative_to(root).as_posix())


def _unpacked(packed: str) -> Iterator[bytes]:
    content = b64decode(packed, validate=True)
    if len(content) % _KEY:
        raise ValueError("a list of images does not have a whole number of entries")
    return (content[start : start + _KEY] for start in range(0, len(content), _KEY))
