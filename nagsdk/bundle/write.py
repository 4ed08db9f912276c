"""Bundles written whole: description, files and their hashes, in one folder that appears at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from nagsdk.bundle.bundle import DESCRIPTION, Bundle
from nagsdk.bundle.description import Description, FileRecord, Images, PreprocessingRecord, Sheet
from nagsdk.common.files import by_name, sha256, staged
from nagsdk.errors import UsageError
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import SearchSpace

LABELS, RECALIBRATION, TEST, TEST_LABELS = "labels.txt", "recalibration.webp", "test.webp", "test_labels.json"


@dataclass(frozen=True)
class Facts:
    """What a bundle says of itself.

    Attributes:
        name: Lower-case letters, digits, ``_``, ``-`` and ``.``, at most 64.
        title: For people.
        licence: Of weights and images.
        provenance: Where data and weights come from, and the figures reached.
        version: Of the bundle.
    """

    name: str
    title: str
    licence: str
    provenance: Mapping[str, Any]
    version: str = "1"


def check_name(name: str) -> None:
    """Refuses a name that a bundle cannot have.

    Raises:
        UsageError: With the legal form.
    """
    import re

    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise UsageError(
            f"{name!r} cannot be the name of a bundle, which is that of its folder.",
            "Use lower-case letters, digits, _, - and ., at most 64, with a letter or digit first.",
        )


def write_bundle(
    output: Path,
    facts: Facts,
    space: SearchSpace,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    files: Iterable[Path],
    sheets: tuple[int, int, int],
) -> None:
    """Writes a bundle whole or not at all.

    Args:
        output: Folder, replaced where it exists.
        facts: What it says of itself.
        space: The supernet's.
        preprocessing: How images become inputs.
        labels: Names of the classes.
        files: Copied under their own names; ``recalibration.webp``, ``test.webp`` and ``test_labels.json`` among them.
        sheets: Side of the pictures on both sheets in pixels, and how many there are for recalibration and for the test.
    """
    tile, recalibration, test = sheets
    with staged(output) as folder:
        for file in files:
            copyfile(file, folder / file.name)
        (folder / LABELS).write_bytes("".join(f"{label}\n" for label in labels).encode())
        description = Description(
            format=1,
            **asdict(facts),
            space=space.to_dict(),
            preprocessing=PreprocessingRecord(color="RGB", resize="bilinear-antialias", **asdict(preprocessing)),
            images=Images(
                tile=tile,
                recalibration=Sheet(file=RECALIBRATION, count=recalibration),
                test=Sheet(file=TEST, count=test, labels=TEST_LABELS),
            ),
            files=_records(folder),
        )
        _describe(folder, description)


def rewrite_bundle(bundle: Bundle, output: Path, files: Iterable[Path], without: Sequence[str] = ()) -> None:
    """Copies a bundle with files added or replaced.

    Args:
        bundle: What to copy.
        output: Folder, replaced where it exists; may be the bundle's own.
        files: Copied under their own names.
        without: Names of files to leave out.
    """
    with staged(output) as folder:
        for name in bundle.description.files:
            if name not in without:
                copyfile(bundle.folder / name, folder / name)
        for file in files:
            copyfile(file, folder / file.name)
        _describe(folder, bundle.description.model_copy(update={"files": _records(folder)}))


def _records(folder: Path) -> dict[str, FileRecord]:
    files = sorted(folder.iterdir(), key=by_name)
    return {file.name: FileRecord(sha256=sha256(file), bytes=file.stat().st_size) for file in files}


def _describe(folder: Path, description: Description) -> None:
    content = description.model_dump(mode="json", exclude_none=True)
    (folder / DESCRIPTION).write_bytes((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
