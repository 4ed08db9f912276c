"""Writes bundles: description, files and their hashes, in one folder that appears completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from nagsdk.bundle.bundle import LABELS, Bundle
from nagsdk.bundle.description import Description, FileRecord, Footing, Images, PreprocessingRecord, Sheet
from nagsdk.bundle.names import DESCRIPTION
from nagsdk.bundle.ownership import BUNDLE
from nagsdk.common.files import by_name, sha256
from nagsdk.common.outputs import staged
from nagsdk.errors import UsageError
from nagsdk.images.preprocessing import Preprocessing
from nagsdk.space.space import SearchSpace

RECALIBRATION, TEST, TEST_LABELS = "recalibration.webp", "test.webp", "test_labels.json"


@dataclass(frozen=True)
class Facts:
    """Facts about a bundle in its description.

    Attributes:
        name: Name of the bundle: at most 64 lower-case letters, digits, ``_``, ``-`` and ``.``.
        title: Title to show.
        licence: Licence of weights and images.
        provenance: Where data and weights come from, and which accuracy was reached.
        version: Version of the bundle.
    """

    name: str
    title: str
    licence: str
    provenance: Mapping[str, Any]
    version: str = "1"


def check_name(name: str) -> None:
    """Raises an error if a name is not valid for a bundle.

    Raises:
        UsageError: It is not valid; the error explains the valid form.
    """
    import re

    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise UsageError(
            f"{name!r} cannot be the name of a bundle, which is the name of its folder.",
            "Use at most 64 lower-case letters, digits, _, - and ., starting with a letter or digit.",
        )


def write_bundle(
    output: Path,
    facts: Facts,
    space: SearchSpace,
    preprocessing: Preprocessing,
    labels: Sequence[str],
    files: Iterable[Path],
    sheets: tuple[int, int, int],
    footing: Footing | None = None,
) -> None:
    """Writes a bundle completely or not at all.

    Args:
        output: Folder of the bundle; it is replaced if it exists.
        facts: Facts for the description.
        space: Search space of the supernet.
        preprocessing: How images become inputs.
        labels: Names of the classes.
        files: Files to copy under their own names; they include ``recalibration.webp``, ``test.webp`` and
            ``test_labels.json``.
        sheets: Side length of the images on both sheets in pixels, number of recalibration images, number of test
            images.
        footing: The images that predicted and measured top-1 are about, if there is a predictor.

    Raises:
        OutputError: The folder cannot be written.
    """
    tile, recalibration, test = sheets
    with staged(output, BUNDLE) as folder:
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
            footing=footing,
            files=_records(folder),
        )
        _describe(folder, description)


def rewrite_bundle(
    bundle: Bundle, output: Path, files: Iterable[Path], without: Sequence[str] = (), footing: Footing | None = None
) -> None:
    """Copies a bundle, with some files added or replaced.

    Args:
        bundle: The bundle to copy.
        output: Folder of the copy, which may be the bundle's own folder; it is replaced if it exists.
        files: Files to add or replace, under their own names.
        without: Names of files to leave out.
        footing: The footing of a predictor among the files; None keeps that of the bundle.

    Raises:
        OutputError: The folder cannot be written.
    """
    with staged(output, BUNDLE) as folder:
        for name in bundle.description.files:
            if name not in without:
                (folder / name).write_bytes(bundle.files.read(name))
        for file in files:
            copyfile(file, folder / file.name)
        known = footing or bundle.description.footing
        _describe(folder, bundle.description.model_copy(update={"files": _records(folder), "footing": known}))


def _records(folder: Path) -> dict[str, FileRecord]:
    files = sorted(folder.iterdir(), key=by_name)
    return {file.name: FileRecord(sha256=sha256(file), bytes=file.stat().st_size) for file in files}


def _describe(folder: Path, description: Description) -> None:
    content = description.model_dump(mode="json", exclude_none=True)
    (folder / DESCRIPTION).write_bytes((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
