"""The files that a bundle lists: each is read whole, compared with its record, and then validated in full."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nagsdk.common.files import line_ends_advice, only_line_ends_differ
from nagsdk.common.reading import json_of, read_bytes
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DamagedBundleError

FIX = "Install nagsdk again, or get the bundle again from its source."
_MOST_LABEL = 200
T = TypeVar("T")


class BundleFiles:
    """The files of a bundle by name.

    Args:
        folder: Folder of the bundle.
        records: Length and SHA-256 of each file, as bundle.json lists them.
    """

    def __init__(self, folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder, self._records = folder, records

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def sha256(self, name: str) -> str | None:
        """The recorded hash of a file; None if there is no such file."""
        return self._records[name]["sha256"] if name in self else None

    def read(self, name: str) -> bytes:
        """The content of a file, which has its recorded length and hash.

        Raises:
            DamagedBundleError: It is not listed, missing, or another one.
        """
        record, path = self._records.get(name), self.folder / name
        if record is None or Path(name).name != name:
            raise DamagedBundleError(f"The bundle in {self.folder} does not list {name}.", FIX)
        try:
            content, why = read_bytes(path, 2 * record["bytes"]), ""  # other line ends may double it
        except OSError as error:
            content, why = b"", f" ({what_is_wrong(error)})"
        if why or len(content) != record["bytes"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
            if not why and only_line_ends_differ(path, record["sha256"]):
                raise DamagedBundleError(f"{line_ends_advice(self.folder, [name])}.", FIX)
            raise DamagedBundleError(f"{path} is missing or does not have the recorded hash{why}.", FIX)
        return content

    def parsed(self, name: str, most_bytes: int, parse: Callable[[bytes], T]) -> T:
        """What a parser makes of a file.

        Args:
            name: Name of the file.
            most_bytes: A larger file is refused.
            parse: Makes a value of its content; raises ValueError if that is not valid.

        Raises:
            DamagedBundleError: See `read`, or the content is not valid.
        """
        content = self.read(name)
        try:
            if len(content) > most_bytes:
                raise ValueError(f"it is larger than {most_bytes} bytes")
            return parse(content)
        except ValueError as error:
            raise DamagedBundleError(
                f"{self.folder / name} has the recorded hash, but cannot be used: {what_is_wrong(error)}.", FIX
            ) from error


def class_names(content: bytes, classes: int) -> tuple[str, ...]:
    """The names in a labels.txt.

    Args:
        content: The bytes of the file.
        classes: Number of classes.

    Raises:
        ValueError: It is not UTF-8, or does not hold one printable, unique name in each of `classes` lines.
    """
    names = content.decode("utf-8").replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(names) != classes:
        raise ValueError(f"it holds {len(names)} names, and there are {classes} classes")
    for number, name in enumerate(names, 1):
        if not name.strip() or len(name) > _MOST_LABEL or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
            raise ValueError(f"line {number} is not a name of 1 to {_MOST_LABEL} characters without control characters")
    if len(set(names)) != classes:
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two classes have the name {twice!r}")
    return tuple(names)


def class_indices(content: bytes, count: int, classes: int) -> list[int]:
    """The numbers in a file of test labels.

    Args:
        content: The bytes of the file.
        count: Number of images.
        classes: Number of classes.

    Raises:
        ValueError: It is not a JSON list of `count` whole numbers from 0 to `classes` - 1.
    """
    labels = json_of(content)
    if not isinstance(labels, list) or len(labels) != count:
        raise ValueError(f"it is not a list of {count} labels")
    for number, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < classes:
            raise ValueError(f"label {number} is not a whole number from 0 to {classes - 1}")
    return labels
