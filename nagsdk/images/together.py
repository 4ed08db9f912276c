"""Which images of a folder must be in one part: those of one group, and those that look nearly the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nagsdk.common.wording import counted
from nagsdk.errors import DataError
from nagsdk.events import Listener
from nagsdk.images.alike import near_duplicates, sets_of
from nagsdk.images.dividing import UndividedError, divide
from nagsdk.images.entries import one_line, some
from nagsdk.images.groups import OPTION, groups_of
from nagsdk.images.split import Item, Split

_Images = Mapping[str, Mapping[str, Sequence[Path]]]


@dataclass(frozen=True)
class Alike:
    """Images that look nearly the same.

    Attributes:
        images: Number of images that look like another one.
        sets: Number of sets of such images.
        two_labels: Pairs with different classes: names of the files, relative to the folder.
        across_parts: Number of images of ``val`` and ``test`` that look like one of ``train``.
    """

    images: int = 0
    sets: int = 0
    two_labels: tuple[tuple[str, str], ...] = ()
    across_parts: int = 0

    def to_dict(self) -> dict[str, int]:
        """Returns the numbers."""
        return {
            "images": self.images,
            "sets": self.sets,
            "two_labels": len(self.two_labels),
            "across_parts": self.across_parts,
        }


@dataclass
class Together:
    """Images of a folder before they are divided.

    Attributes:
        classes: Names of the classes.
        given: The part that the folder gives to each image; empty if it gives none.
        items: The images.
        pairs: Places of the images that look nearly the same.
        alike: What was found about them.
    """

    classes: tuple[str, ...]
    given: list[str]
    items: list[Item]
    pairs: list[tuple[int, int]]
    alike: Alike

    def divided(
        self, known: Split, parts: Collection[str]
    ) -> tuple[dict[str, dict[str, list[Path]]], Split, tuple[str, ...]]:
        """Divides the images that the folder gives no part, or the half of ``val`` if it has no ``test``.

        Args:
            known: How an earlier scan divided them.
            parts: The parts that the folder has.

        Returns:
            The images by part and class, what to record, and messages.

        Raises:
            DataError: Groups cannot be divided, or are divided by the folder.
        """
        self._refuse_split_groups(parts)
        mine = "val" if parts else ""
        places = [place for place, part in enumerate(self.given) if part == mine and "test" not in parts]
        at = {place: number for number, place in enumerate(places)}
        try:
            division, found, loose = known, list[str](), list[int]()
            if places:
                division, found, loose = divide(
                    [self.items[place] for place in places],
                    [(at[a], at[b]) for a, b in self.pairs if a in at and b in at],
                    known,
                    self.classes,
                    train=not parts,
                )
        except UndividedError as error:
            few = [f"{one_line(self.classes[label])} ({count})" for label, count in error.classes.items()]
            raise DataError(
                f"These classes have too few groups to have images in train, val and test: {some(few)}.",
                f"Add images of other groups, three at least for a class, or give {OPTION} a pattern that makes more "
                "groups.",
            ) from error
        part_of = dict(zip(places, found, strict=True))
        divided: dict[str, dict[str, list[Path]]] = {part: defaultdict(list) for part in ("train", "val", "test")}
        final = [part_of.get(place, part) for place, part in enumerate(self.given)]
        for item, part in zip(self.items, final, strict=True):
            divided[part][self.classes[item.label]].append(item.path)
        across = {
            a if final[b] == "train" else b for a, b in self.pairs if (final[a] == "train") != (final[b] == "train")
        }
        self.alike = replace(self.alike, across_parts=len(across))
        return divided, division, tuple(self._notes([self.classes[label] for label in loose], sorted(across)))

    def _notes(self, loose: Sequence[str], across: Sequence[int]) -> Iterable[str]:
        found = self.alike
        if found.images:
            sets = counted(found.sets, "set")
            yield f"{found.images} images look nearly the same as others, in {sets}; a set is kept in one part."
        if found.two_labels:
            pairs = [f"{a} and {b}" for a, b in found.two_labels]
            yield (
                f"{counted(len(pairs), 'pair')} of images that look nearly the same, but have different classes: "
                f"{some(pairs)}. One class of each pair is wrong, or no network can tell them apart."
            )
        if loose:
            yield (
                "Too many images of these classes look nearly the same to keep them in one part, so that accuracies "
                f"may be flattered: {some(loose)}. If they show few things, group them with {OPTION}."
            )
        if across:
            names = [self.items[place].path.name for place in across]
            yield (
                f"{counted(len(across), 'image')} of val and test look nearly the same as some of train, so that "
                f"accuracies are flattered: {some(names)}."
            )

    def _refuse_split_groups(self, parts: Collection[str]) -> None:
        """Refuses groups of which the folder has images in several parts."""
        sides = defaultdict(set)
        for item, part in zip(self.items, self.given, strict=True):
            if item.group is not None:
                sides[item.group].add(part)
        torn = [one_line(group.replace("\0", " ")) for group, of_group in sides.items() if len(of_group) > 1]
        if parts and torn:
            raise DataError(
                f"The folders of the parts divide {counted(len(torn), 'group')}: {some(torn)}.",
                f"Move all images of a group to one part, or leave out {OPTION}.",
            )


def find_together(
    root: Path,
    classes: tuple[str, ...],
    given: _Images,
    inside: Mapping[Path, Path],
    group_by: str | None,
    new: bool,
    on_event: Listener,
) -> Together:
    """Groups images, and looks for those that look nearly the same.

    Args:
        root: The data set.
        classes: Names of the classes.
        given: The images by part and class.
        inside: The class folder of each image.
        group_by: See `nagsdk.images.folder.scan`.
        new: Whether nothing was divided by the pattern before, so that it must be found in some name.
        on_event: Receives progress.

    Raises:
        UsageError: See `groups_of`.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    found = [(path, label_of[name], part) for part, images in given.items() for name in images for path in images[name]]
    paths = [path for path, _, _ in found]
    groups: list[str | None] = [None] * len(paths)
    if group_by is not None:
        groups = groups_of(group_by, [path.relative_to(inside[path]).as_posix() for path in paths], required=new)
    items = [Item.of(root, path, label, group) for (path, label, _), group in zip(found, groups, strict=True)]
    pairs = [(int(a), int(b)) for a, b in near_duplicates(paths, on_event)]
    return Together(classes, [part for *_, part in found], items, pairs, _alike(root, items, pairs))


def _alike(root: Path, items: Sequence[Item], pairs: Sequence[tuple[int, int]]) -> Alike:
    often = Counter(sets_of(len(items), np.array(pairs, np.intp).reshape(-1, 2)).tolist()).values()
    names = [
        (one_line(items[a].path.relative_to(root).as_posix()), one_line(items[b].path.relative_to(root).as_posix()))
        for a, b in pairs
        if items[a].label != items[b].label
    ]
    sizes = [size for size in often if size > 1]
    return Alike(sum(sizes), len(sizes), tuple(names))
