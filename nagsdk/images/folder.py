"""Reads folders of images with one subfolder for each class, and reports problems before training starts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from nagsdk.common.files import by_name
from nagsdk.common.wording import counted
from nagsdk.errors import DataError
from nagsdk.images.entries import SUFFIXES

PARTS = ("train", "val", "test")
_OTHER_NAMES = {"val": ("val", "valid", "validation"), "train": ("train",), "test": ("test",)}
_SHARE, _FEWEST = 0.1, 5
_SHOWN = 5


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
        notes: Messages about skipped entries: other files, and symbolic links that lead back.
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


@dataclass
class _Finder:
    """Walks through class folders and remembers what it skipped."""

    others: int = 0
    loops: list[Path] = field(default_factory=list)

    def classes(self, folder: Path) -> dict[str, list[Path]]:
        """Returns the image files of every subfolder, sorted by path."""
        folders = sorted((p for p in _entries(folder) if p.is_dir() and not p.name.startswith(".")), key=by_name)
        self.others += sum(p.is_file() for p in _entries(folder))
        return {p.name: sorted(self._images(p, frozenset({folder.resolve()})), key=by_name) for p in folders}

    def _images(self, folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        resolved = folder.resolve()
        if resolved in above:
            self.loops.append(folder)
            return
        for path in _entries(folder):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                yield from self._images(path, above | {resolved})
            elif path.is_symlink() and not path.exists():
                self.loops.append(path)
            elif path.suffix.lower() in SUFFIXES:
                yield path
            else:
                self.others += 1

    def notes(self) -> tuple[str, ...]:
        """Messages about what was skipped."""
        loops = (
            f"Symbolic links that lead nowhere or back to a parent folder were not followed: {some(self.loops)}."
            if self.loops
            else ""
        )
        skipped = counted(self.others, "other file was", "other files were")
        others = f"{skipped} skipped; images end in {', '.join(SUFFIXES)}." if self.others else ""
        return tuple(note for note in (loops, others) if note)


def scan(root: Path) -> ImageFolder:
    """Lists the images of a folder; `nagsdk.images.decoded.decode` decodes the files.

    If there are subfolders ``train`` and ``val`` (and ``test``), they are the parts. If only ``test`` is missing, half
    of ``val`` is used for it. Otherwise the class folders are in the folder itself, about a tenth of every class goes
    to ``val`` and another tenth to ``test``. The part of an image follows from its path in the folder, so that no later
    command tests on images of the training, even if images were added since.

    Args:
        root: Path of the folder.

    Raises:
        DataError: The folder cannot be used for training; the message names the class folders with problems.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", _LAYOUT)
    finder = _Finder()
    found = {part: next((root / n for n in names if (root / n).is_dir()), None) for part, names in _OTHER_NAMES.items()}
    given = {part: finder.classes(folder) for part, folder in found.items() if folder is not None}
    if "train" not in given or "val" not in given:
        if "train" in given:
            raise DataError(f"{root} has a folder train, but no folder val.", _LAYOUT)
        finder = _Finder()
        return _automatic(root, finder.classes(root), finder)
    classes = tuple(given["train"])
    _refuse(_problems(root, given["train"]))
    for part in ("val", "test"):
        unknown = sorted(given.get(part, {}).keys() - set(classes))
        if unknown:
            raise DataError(
                f"{root / part} has classes that {root / 'train'} does not have: {some(unknown)}.",
                "Add them to train, or remove them.",
            )
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
    if not any(given["test"].values()):
        raise DataError(
            f"{root} has too few images in val to set some aside for the test.",
            "Put two images of each class into val, or add a folder test.",
        )
    return ImageFolder(root, classes, {name: _part(classes, given[name]) for name in PARTS}, "folders", finder.notes())


def _automatic(root: Path, found: dict[str, list[Path]], finder: _Finder) -> ImageFolder:
    problems = _problems(root, found)
    small = [f"{name} ({len(paths)})" for name, paths in found.items() if 0 < len(paths) < _FEWEST]
    if small:
        problems.append(
            (
                f"These classes have fewer than {_FEWEST} images and cannot be split: {some(small)}.",
                "Add images, or remove the folders.",
            )
        )
    _refuse(problems)
    parts: dict[str, dict[str, list[Path]]] = {name: {} for name in PARTS}
    for name, paths in found.items():
        parts["val"][name], parts["test"][name], parts["train"][name] = _split(root, paths)
    classes = tuple(found)
    return ImageFolder(
        root, classes, {name: _part(classes, parts[name]) for name in PARTS}, "automatic", finder.notes()
    )


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


def _problems(root: Path, found: dict[str, list[Path]]) -> list[tuple[str, str]]:
    """Returns the problems of class folders, each with its next step."""
    problems = []
    if len(found) < 2:
        what = f"only the class folder {next(iter(found))}" if found else "no class folders"
        problems.append((f"{root} has {what}, but training needs at least two classes.", _LAYOUT))
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        problems.append(
            (f"These class folders of {root} have no image: {some(empty)}.", "Add images, or remove the folders.")
        )
    odd = [name for name in found if not name.isprintable()]
    if odd:
        problems.append(
            (
                f"The names of these class folders cannot be printed: {some([repr(name) for name in odd])}.",
                "Rename them.",
            )
        )
    return problems


def _refuse(problems: Sequence[tuple[str, str]]) -> None:
    """Raises one error for all problems, so that a user can fix the folder in one go."""
    if problems:
        messages, steps = zip(*problems, strict=True)
        raise DataError(" ".join(messages), " ".join(dict.fromkeys(steps)))


def _part(classes: Sequence[str], found: dict[str, list[Path]]) -> Part:
    pairs = [(path, label) for label, name in enumerate(classes) for path in sorted(found.get(name, []), key=by_name)]
    return Part(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / entry.name for entry in os.scandir(folder)]
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read: {error.strerror}.", "Check its permissions, or remove it."
        ) from error


def some(names: Sequence[object]) -> str:
    """Lists the first names and says how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


_LAYOUT = (
    "Give a folder with one subfolder of images for each class, or with such subfolders in folders train and val "
    "(and test)."
)
