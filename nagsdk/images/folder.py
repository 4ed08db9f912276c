"""Reads folders of images with one subfolder for each class, and reports problems before training starts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from nagsdk.common.files import by_name
from nagsdk.errors import DataError
from nagsdk.images.classes import differing, labels, matched, problems, refuse, without_classes, without_images
from nagsdk.images.entries import composed, one_line, some
from nagsdk.images.finder import ClassFolder, Finder
from nagsdk.images.parts import LAYOUT, PARTS, find_parts

_SHARE, _FEWEST = 0.1, 5


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
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, Part]
    split: str
    notes: tuple[str, ...] = ()

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
        return replace(self, classes=tuple(names), parts=parts)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 over names, labels, sizes and modification times of all files."""
        digest = hashlib.sha256()
        for name, part in self.parts.items():
            for path, label in zip(part.paths, part.labels, strict=True):
                facts = path.stat()
                digest.update(
                    f"{name} {label} ".encode()
                    + _name(self.root, path)
                    + f" {facts.st_size} {facts.st_mtime_ns}\n".encode()
                )
        return digest.hexdigest()[:16]


def scan(root: Path) -> ImageFolder:
    """Lists the images of a folder; `nagsdk.images.decoded.decode` decodes the files.

    If there are subfolders ``train`` and ``val`` (and ``test``), they are the parts; other names that people give to
    parts, such as ``Training`` and ``test_set``, are understood. If only ``test`` is missing, half of ``val`` is used
    for it. Otherwise the class folders are in the folder itself, about a tenth of every class goes to ``val`` and
    another tenth to ``test``. The part of an image follows from its path in the folder, so that no later command tests
    on images of the training, even if images were added since.

    Args:
        root: Path of the folder.

    Raises:
        DataError: The folder cannot be used for training; the message names the class folders with problems.
    """
    if not root.is_dir():
        raise DataError(f"{one_line(root)} is not a folder.", LAYOUT)
    finder = Finder()
    folders = finder.folders(root)
    parts, notes = find_parts(root, folders)
    if parts:
        classes, given, more = _given(root, parts, finder)
    else:
        classes, given, more = _automatic(root, finder.classes(folders), len(finder.outside))
    return ImageFolder(
        root,
        classes,
        {name: _part(classes, given[name]) for name in PARTS},
        "folders" if parts else "automatic",
        (*notes, *more, *differing(classes), *finder.notes()),
    )


_Found = tuple[tuple[str, ...], dict[str, dict[str, list[Path]]], tuple[str, ...]]


def _given(root: Path, parts: dict[str, Path], finder: Finder) -> _Found:
    """Reads the classes and parts of a data set that is already split, with messages about it."""
    train = parts["train"]
    found = _classes(finder, train)
    refuse(problems(train, *found))
    classes = tuple(labels(found[0]))
    given = {"train": dict(zip(classes, (of_class.images for of_class in found[0]), strict=True))}
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
    rng = np.random.default_rng(0)
    if "test" not in given:
        shuffled = {name: [paths[i] for i in rng.permutation(len(paths))] for name, paths in given["val"].items()}
        given["test"] = {name: paths[: len(paths) // 2] for name, paths in shuffled.items()}
        given["val"] = {name: paths[len(paths) // 2 :] for name, paths in shuffled.items()}
    elif not any(given["test"].values()):
        raise DataError(
            f"{one_line(parts['test'])} has no image.",
            "Add images, or remove the folder: half of val is then used for the test.",
        )
    if not any(given["test"].values()):
        raise DataError(
            f"{one_line(root)} has too few images in val to set some aside for the test.",
            "Put two images of each class into val, or add a folder test.",
        )
    return classes, given, tuple(notes)


def _classes(finder: Finder, folder: Path) -> tuple[list[ClassFolder], int]:
    """The class folders of a part, and the number of images beside them."""
    before = len(finder.outside)
    folders = finder.folders(folder)
    return finder.classes(folders), len(finder.outside) - before


def _automatic(root: Path, found: list[ClassFolder], outside: int) -> _Found:
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
    parts: dict[str, dict[str, list[Path]]] = {name: {} for name in PARTS}
    for name, of_class in zip(labels(found), found, strict=True):
        parts["val"][name], parts["test"][name], parts["train"][name] = _split(root, of_class.images)
    return tuple(labels(found)), parts, ()


def _split(root: Path, paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Splits the images of a class into ``val``, ``test`` and ``train``, with at least one image in each.

    When images are added later, none moves out of ``train``, unless it was the only image there.
    """
    ranked = sorted((int.from_bytes(hashlib.sha256(_name(root, path)).digest()[:8]) / 2**64, path) for path in paths)
    val, test, train = (
        [path for share, path in ranked if low <= share < high] for low, high in pairwise((0, _SHARE, 2 * _SHARE, 1))
    )
    for part, other in ((train, max(val, test, key=len)), (val, test), (test, val)):
        if not part:
            part.append((train if len(train) > 1 else other).pop(0))
    return val, test, train


def _name(root: Path, path: Path) -> bytes:
    """Name of an image, which does not depend on the place of its folder."""
    return os.fsencode(path.relative_to(root).as_posix())


def _part(classes: Sequence[str], found: dict[str, list[Path]]) -> Part:
    pairs = [(path, label) for label, name in enumerate(classes) for path in sorted(found.get(name, []), key=by_name)]
    return Part(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))
