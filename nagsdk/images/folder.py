"""Reads folders of images with one subfolder for each class, and reports problems before training starts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from nagsdk.common.files import by_name
from nagsdk.errors import DataError, UsageError
from nagsdk.events import Listener, ignore
from nagsdk.images.classes import differing, labels, matched, problems, refuse, without_classes, without_images
from nagsdk.images.entries import composed, one_line, some
from nagsdk.images.finder import ClassFolder, Finder
from nagsdk.images.groups import OPTION, check_pattern
from nagsdk.images.parts import LAYOUT, PARTS, find_parts
from nagsdk.images.split import Split, name_of
from nagsdk.images.together import Alike, find_together

_FEWEST = 5


@dataclass(frozen=True)
class Part:
    """The images of one part.

    Attributes:
        paths: Paths of the image files.
        labels: Class of each image, an index into `ImageFolder.classes`.
    """

    paths: tuple[Path, ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageFolder:
    """Content of a folder of images.

    Attributes:
        root: Path of the folder.
        classes: Names of the class folders, sorted; the index of a name is its label.
        parts: The parts ``train``, ``val`` and ``test``.
        split: ``folders`` if the folder has a subfolder for each part, otherwise ``automatic``.
        notes: Messages about what was skipped, such as other files and system files, and about how names were read.
        division: How the images were divided; with it, images that are added later move no other one.
        alike: What was found about images that look nearly the same.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, Part]
    split: str
    notes: tuple[str, ...] = ()
    division: Split = field(default_factory=Split)
    alike: Alike = field(default_factory=Alike)

    def counts(self) -> dict[str, list[int]]:
        """Number of images of every class, for each part."""
        return {
            name: np.bincount(part.labels, minlength=len(self.classes)).tolist() for name, part in self.parts.items()
        }

    def with_classes(self, names: Sequence[str]) -> ImageFolder:
        """Returns the same images with the classes as another data set names and orders them.

        macOS writes accents apart from their letters, so that names that look the same may be sorted differently.

        Args:
            names: The classes of the other data set; if they are not the same, the folder is returned as it is.
        """
        places = {composed(name): place for place, name in enumerate(names)}
        if len(names) != len(self.classes) or places.keys() != set(map(composed, self.classes)):
            return self
        order = [places[composed(name)] for name in self.classes]
        parts = {name: Part(part.paths, tuple(order[i] for i in part.labels)) for name, part in self.parts.items()}
        known = {name: names[place] for name, place in zip(self.classes, order, strict=True)}
        cuts = {known.get(name, name): cut for name, cut in self.division.cuts.items()}
        return replace(self, classes=tuple(names), parts=parts, division=replace(self.division, cuts=cuts))

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 over names, labels, sizes and modification times of all files."""
        digest = hashlib.sha256()
        for name, part in self.parts.items():
            for path, label in zip(part.paths, part.labels, strict=True):
                facts = path.stat()
                digest.update(
                    f"{name} {label} ".encode()
                    + name_of(self.root, path)
                    + f" {facts.st_size} {facts.st_mtime_ns}\n".encode()
                )
        return digest.hexdigest()[:16]


def scan(
    root: Path, known: Split | None = None, group_by: str | None = None, on_event: Listener = ignore
) -> ImageFolder:
    """Lists the images of a folder; `nagsdk.images.decoded.decode` decodes the files.

    If there are subfolders ``train`` and ``val`` (and ``test``), they are the parts; other names that people give to
    parts, such as ``Training`` and ``test_set``, are understood. If only ``test`` is missing, half of ``val`` is used
    for it. Otherwise the class folders are in the folder itself, a tenth of every class goes to ``val`` and another
    tenth to ``test``. Images that look nearly the same go to one part. With what an earlier scan recorded, which a
    bundle keeps, no later command tests on images of the training, even if images were added since.

    Args:
        root: Path of the folder.
        known: How an earlier scan divided the images; its pattern for groups is used again.
        group_by: A pattern that is searched in the path of every image inside its class folder; images in which it
            finds the same go to one part.
        on_event: Receives progress.

    Raises:
        DataError: The folder cannot be used for training; the message names the class folders with problems.
        UsageError: The pattern is not valid, or is found in no name.
    """
    check_pattern(group_by)
    if known is not None:
        if group_by not in (None, known.group_by):
            pattern = "no pattern" if known.group_by is None else f"the pattern {known.group_by!r}"
            raise UsageError(
                f"The images were divided before with {pattern}, and images would move to other parts with another.",
                f"Leave out {OPTION}, or start without the weights of that training.",
            )
        group_by = known.group_by
    if not root.is_dir():
        raise DataError(f"{one_line(root)} is not a folder.", LAYOUT)
    finder = Finder()
    folders = finder.folders(root)
    parts, notes = find_parts(root, folders)
    if parts:
        classes, given, inside, more = _given(root, parts, finder)
    else:
        classes, given, inside = _automatic(root, finder.classes(folders), len(finder.outside))
        more = ()
    together = find_together(root, classes, given, inside, group_by, known is None, on_event)
    divided, division, told = together.divided(replace(_renamed(known, classes), group_by=group_by), parts)
    if not any(divided["test"].values()) and not parts:
        raise DataError(
            f"{one_line(root)} has no image for the test: the bundle was trained on all images of these names.",
            "Give the folder that it was trained on, or images with other names.",
        )
    if not any(divided["test"].values()):
        raise DataError(
            f"{one_line(root)} has too few images in val to set some aside for the test.",
            "Put two images of each class into val, or add a folder test.",
        )
    return ImageFolder(
        root,
        classes,
        {name: _part(classes, divided[name]) for name in PARTS},
        "folders" if parts else "automatic",
        (*notes, *more, *differing(classes), *finder.notes(), *told),
        division,
        together.alike,
    )


Given = dict[str, dict[str, list[Path]]]


def _renamed(known: Split | None, classes: Sequence[str]) -> Split:
    """An earlier division, with the names of classes as this system writes their accents."""
    if known is None:
        return Split()
    names = {composed(name): name for name in classes}
    return replace(known, cuts={names.get(composed(name), name): cut for name, cut in known.cuts.items()})


def _given(
    root: Path, parts: dict[str, Path], finder: Finder
) -> tuple[tuple[str, ...], Given, dict[Path, Path], tuple[str, ...]]:
    """Reads the classes and parts of a data set that is already split, with messages about it."""
    train = parts["train"]
    found = _classes(finder, train)
    refuse(problems(train, *found))
    classes = tuple(labels(found[0]))
    given = {"train": dict(zip(classes, (of_class.images for of_class in found[0]), strict=True))}
    inside = _inside(found[0])
    notes: list[str] = []
    for part in ("val", "test"):
        if part not in parts:
            continue
        found = _classes(finder, parts[part])
        refuse(without_classes(parts[part], found[0], train, found[1]))
        names = labels(found[0])
        meant = matched(classes, names)
        unknown = [name for name in names if name not in meant]
        if unknown:
            raise DataError(
                f"{one_line(parts[part])} has classes that {one_line(train)} does not have: {some(unknown)}.",
                "Add them to train, or remove them.",
            )
        given[part] = {meant[name]: of_class.images for name, of_class in zip(names, found[0], strict=True)}
        inside |= _inside(found[0])
        otherwise = [f"{name} as {known}" for name, known in meant.items() if composed(name) != composed(known)]
        if otherwise:
            notes.append(f"Class folders of {part} whose capitals differ from those of train: {some(otherwise)}.")
        if part == "val":
            refuse(without_images(parts[part], [of_class for of_class in found[0] if of_class.others]))
    empty = [name for name in classes if not given["val"].get(name)]
    if empty:
        raise DataError(
            f"These classes have no image in val: {some(empty)}.", "Move some of their images from train to val."
        )
    if "test" in given and not any(given["test"].values()):
        raise DataError(
            f"{one_line(parts['test'])} has no image.",
            "Add images, or remove the folder: half of val is then used for the test.",
        )
    return classes, given, inside, tuple(notes)


def _inside(found: Sequence[ClassFolder]) -> dict[Path, Path]:
    """The class folder of each image."""
    return {path: of_class.path for of_class in found for path in of_class.images}


def _classes(finder: Finder, folder: Path) -> tuple[list[ClassFolder], int]:
    """The class folders of a part, and the number of images beside them."""
    before = len(finder.outside)
    folders = finder.folders(folder)
    return finder.classes(folders), len(finder.outside) - before


def _automatic(root: Path, found: list[ClassFolder], outside: int) -> tuple[tuple[str, ...], Given, dict[Path, Path]]:
    faults = problems(root, found, outside)
    small = [f"{c.path.name} ({len(c.images)})" for c in found if 0 < len(c.images) < _FEWEST]
    if small:
        faults.append(
            (
                f"These classes have fewer than {_FEWEST} images and cannot be split: {some(small)}.",
                "Add images, or remove the folders.",
            )
        )
    refuse(faults)
    classes = tuple(labels(found))
    given = {"": dict(zip(classes, (of_class.images for of_class in found), strict=True))}
    return classes, given, _inside(found)


def _part(classes: Sequence[str], found: dict[str, list[Path]]) -> Part:
    pairs = [(path, label) for label, name in enumerate(classes) for path in sorted(found.get(name, []), key=by_name)]
    return Part(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))
