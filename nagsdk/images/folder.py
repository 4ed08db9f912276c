"""Folders of images, one subfolder for each class: what is in them, and what would spoil a training, told before it starts."""

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
from nagsdk.images.preprocessing import SUFFIXES

PARTS = ("train", "val", "test")
_OTHER_NAMES = {"val": ("val", "valid", "validation"), "train": ("train",), "test": ("test",)}
_SHARE, _FEWEST = 0.1, 5
_SHOWN = 5


@dataclass(frozen=True)
class Part:
    """The images of one part.

    Attributes:
        paths: Of the files.
        labels: Class of each, an index into `ImageFolder.classes`.
    """

    paths: tuple[Path, ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageFolder:
    """What a folder of images holds.

    Attributes:
        root: The folder.
        classes: Names of the class folders, sorted; the place of a name is its label.
        parts: ``train``, ``val`` and ``test``.
        split: ``folders`` where the folder tells the parts, else ``automatic``.
        notes: What was passed over: other files, links that lead back.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, Part]
    split: str
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, list[int]]:
        """Images of every class, for each part."""
        return {
            name: np.bincount(part.labels, minlength=len(self.classes)).tolist() for name, part in self.parts.items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 over names, labels, lengths and times of all files."""
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
    """Walks class folders and remembers what it passed over."""

    others: int = 0
    loops: list[Path] = field(default_factory=list)

    def classes(self, folder: Path) -> dict[str, list[Path]]:
        """Image files of every subfolder, sorted by their paths."""
        folders = sorted((p for p in _entries(folder) if p.is_dir() and not p.name.startswith(".")), key=by_name)
        self.others += sum(p.is_file() for p in _entries(folder))
        return {p.name: sorted(self._images(p, frozenset({folder.resolve()})), key=by_name) for p in folders}

    def _images(self, folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        here = folder.resolve()
        if here in above:
            self.loops.append(folder)
            return
        for path in _entries(folder):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                yield from self._images(path, above | {here})
            elif path.is_symlink() and not path.exists():
                self.loops.append(path)
            elif path.suffix.lower() in SUFFIXES:
                yield path
            else:
                self.others += 1

    def notes(self) -> tuple[str, ...]:
        """For people."""
        loops = (
            f"Symbolic links that lead nowhere, or back to a folder above them, were not followed: {some(self.loops)}."
            if self.loops
            else ""
        )
        passed = counted(self.others, "other file was", "other files were")
        others = f"{passed} passed over; images end in {', '.join(SUFFIXES)}." if self.others else ""
        return tuple(note for note in (loops, others) if note)


def scan(root: Path) -> ImageFolder:
    """Reads the names below a folder of images; the files themselves are decoded by `nagsdk.images.decoded.decode`.

    With subfolders ``train`` and ``val`` (and ``test``) these are the parts, else the class folders lie in the folder itself and about a
    tenth of every class goes to ``val``, another to ``test``. Where only ``test`` lacks, half of ``val`` is taken for it. An image's part
    follows from its path in the folder: what a training saw is never what a later command tests on, even when images were added since.

    Args:
        root: The folder.

    Raises:
        DataError: Nothing can be trained on it; the message names the folders at fault.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder.", _LAYOUT)
    finder = _Finder()
    found = {part: next((root / n for n in names if (root / n).is_dir()), None) for part, names in _OTHER_NAMES.items()}
    given = {part: finder.classes(folder) for part, folder in found.items() if folder is not None}
    if "train" not in given or "val" not in given:
        if "train" in given:
            raise DataError(f"{root} has a folder train, but none named val.", _LAYOUT)
        finder = _Finder()
        return _automatic(root, finder.classes(root), finder)
    classes = tuple(given["train"])
    _refuse(_problems(root, given["train"]))
    for part in ("val", "test"):
        foreign = sorted(given.get(part, {}).keys() - set(classes))
        if foreign:
            raise DataError(
                f"Classes of {root / part} that {root / 'train'} does not have: {some(foreign)}.",
                "Add them there, or remove them.",
            )
    empty = [name for name in classes if not given["val"].get(name)]
    if empty:
        raise DataError(
            f"Classes without an image in val: {some(empty)}.", "Move some of their images from train to val."
        )
    rng = np.random.default_rng(0)
    if "test" not in given:
        shuffled = {name: [paths[i] for i in rng.permutation(len(paths))] for name, paths in given["val"].items()}
        given["test"] = {name: paths[: len(paths) // 2] for name, paths in shuffled.items()}
        given["val"] = {name: paths[len(paths) // 2 :] for name, paths in shuffled.items()}
    if not any(given["test"].values()):
        raise DataError(
            f"{root} has too few images in val to set some aside for the test.",
            "Give two of each class, or a folder test.",
        )
    return ImageFolder(root, classes, {name: _part(classes, given[name]) for name in PARTS}, "folders", finder.notes())


def _automatic(root: Path, found: dict[str, list[Path]], finder: _Finder) -> ImageFolder:
    problems = _problems(root, found)
    small = [f"{name} ({len(paths)})" for name, paths in found.items() if 0 < len(paths) < _FEWEST]
    if small:
        problems.append(
            (
                f"Classes with fewer than {_FEWEST} images cannot be split: {some(small)}.",
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
    """Images of a class for ``val``, ``test`` and ``train``, at least one for each.

    Another image that is added moves none out of ``train``, unless that was all there is of it.
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
    """Of an image, the same wherever its folder lies."""
    return os.fsencode(path.relative_to(root).as_posix())


def _problems(root: Path, found: dict[str, list[Path]]) -> list[tuple[str, str]]:
    """What is wrong with class folders, each with what to do about it."""
    problems = []
    if len(found) < 2:
        what = f"only the class folder {next(iter(found))}" if found else "no class folders"
        problems.append((f"{root} has {what}; telling apart needs two classes.", _LAYOUT))
    empty = [name for name, paths in found.items() if not paths]
    if empty:
        problems.append(
            (f"Class folders of {root} without an image: {some(empty)}.", "Put images there, or remove the folders.")
        )
    odd = [name for name in found if not name.isprintable()]
    if odd:
        problems.append(
            (f"Class folders with names that cannot be printed: {some([repr(name) for name in odd])}.", "Rename them.")
        )
    return problems


def _refuse(problems: Sequence[tuple[str, str]]) -> None:
    """All at once: a user mends a folder once."""
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
        raise DataError(f"{folder} cannot be read: {error.strerror}.", "Check its rights, or remove it.") from error


def some(names: Sequence[object]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


_LAYOUT = (
    "Give a folder with one subfolder of images for each class, or with such folders train and val (and test) in it."
)
