"""Walks through folders of images with one subfolder for each class, and remembers what it passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nagsdk.common.files import by_name
from nagsdk.common.wording import counted
from nagsdk.images.entries import (
    FILE,
    FOLDER,
    NOWHERE,
    entries,
    is_image_name,
    is_system_name,
    kind,
    some,
    suffixes,
)


@dataclass
class ClassFolder:
    """What a class folder holds.

    Attributes:
        path: Path of the folder.
        images: Its images, with those in its subfolders, sorted.
        others: Number of files with another ending, for each ending.
        groups: Names of its subfolders if it holds no image itself.
    """

    path: Path
    images: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    groups: frozenset[str] = frozenset()


@dataclass
class Finder:
    """Walks through class folders.

    Attributes:
        outside: Images that are beside class folders, not in one.
        others: Number of files with another ending, for each ending.
        hidden: Number of hidden and system files and folders, for each name.
        special: Pipes, sockets and devices with names of images.
        loops: Symbolic links that lead nowhere or back.
    """

    outside: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    special: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)

    def folders(self, folder: Path) -> list[Path]:
        """Returns the subfolders that may be classes or parts, sorted; images beside them are remembered."""
        found = []
        for path, what in self._entries(folder):
            if what == FOLDER:
                found.append(path)
            elif what == FILE and is_image_name(path.name):
                self.outside.append(path)
            elif what == FILE:
                self.others[path.suffix.lower()] += 1
        return sorted(found, key=by_name)

    def classes(self, folders: Sequence[Path]) -> list[ClassFolder]:
        """Reads folders as classes."""
        return [self._class(path, frozenset({path.parent.resolve()})) for path in folders]

    def _class(self, path: Path, above: frozenset[Path]) -> ClassFolder:
        found = ClassFolder(path)
        found.images = sorted(self._images(path, above, found.others), key=by_name)
        self.others += found.others
        if all(image.parent != path for image in found.images):
            groups = {image.relative_to(path).parts[0] for image in found.images}
            found.groups = frozenset(groups)
        return found

    def _images(self, folder: Path, above: frozenset[Path], others: Counter[str]) -> Iterator[Path]:
        resolved = folder.resolve()
        if resolved in above:
            self.loops.append(folder)
            return
        for path, what in self._entries(folder):
            if what == FOLDER:
                yield from self._images(path, above | {resolved}, others)
            elif is_image_name(path.name):
                if what == FILE:
                    yield path
                else:
                    self.special.append(path)
            else:
                others[path.suffix.lower()] += 1

    def _entries(self, folder: Path) -> Iterator[tuple[Path, str]]:
        for path in entries(folder):
            if is_system_name(path.name):
                self.hidden[path.name] += 1
            elif (what := kind(path)) == NOWHERE:
                self.loops.append(path)
            else:
                yield path, what

    def notes(self) -> tuple[str, ...]:
        """Messages about what was passed over."""
        notes = []
        if self.loops:
            notes.append(
                f"Symbolic links that lead nowhere or back to a parent folder were not followed: {_listed(self.loops)}."
            )
        if self.others:
            skipped = counted(self.others.total(), "other file was", "other files were")
            notes.append(f"{skipped} skipped ({endings(self.others)}); images end in {', '.join(suffixes())}.")
        if self.outside:
            outside = counted(len(self.outside), "image is", "images are")
            notes.append(f"{outside} in no class folder and skipped: {_listed(self.outside)}.")
        if self.hidden:
            hidden = counted(
                self.hidden.total(), "hidden or system file or folder was", "hidden or system files and folders were"
            )
            names = [f"{name} ({count})" for name, count in _often(self.hidden)]
            notes.append(f"{hidden} skipped: {some(names)}.")
        if self.special:
            special = counted(len(self.special), "pipe, socket or device was", "pipes, sockets or devices were")
            notes.append(f"{special} not opened: {_listed(self.special)}.")
        return tuple(notes)


def endings(others: Counter[str]) -> str:
    """The endings of files that are no images, the most frequent first: ``6 .heic, 1 .txt``."""
    return some([f"{count} {ending or 'without an ending'}" for ending, count in _often(others)])


def _listed(paths: list[Path]) -> str:
    in_order: list[Path] = sorted(paths, key=by_name)
    return some(in_order)


def _often(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
