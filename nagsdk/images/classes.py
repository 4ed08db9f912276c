"""Names and problems of class folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nagsdk.common.pip import pip
from nagsdk.common.wording import counted
from nagsdk.errors import DataError
from nagsdk.images.entries import HEIF_SUFFIXES, composed, one_line, some
from nagsdk.images.finder import ClassFolder, endings
from nagsdk.images.parts import LAYOUT, is_part_name

Problem = tuple[str, str]


def labels(found: Sequence[ClassFolder]) -> list[str]:
    """The labels of class folders: their names, in which bytes that are not UTF-8 are shown as escapes."""
    return ["".join(one_line(c) if "\ud800" <= c <= "\udfff" else c for c in of.path.name) for of in found]


def matched(known: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Finds the class that each name means: the same, the same composed in another way, or in other capitals.

    Args:
        known: The classes.
        names: Names of other folders.

    Returns:
        The class of each name; names that are none, or could be several, are missing.
    """
    found: dict[str, str] = {}
    for key in (str, composed, _folded):
        taken, often = set(found.values()), Counter(map(key, known))
        free = {key(name): name for name in known if name not in taken and often[key(name)] == 1}
        for name in names:
            if name not in found and (known_as := free.pop(key(name), None)) is not None:
                found[name] = known_as
    return found


def differing(known: Sequence[str]) -> tuple[str, ...]:
    """A message about classes whose names differ in capitals only."""
    often = Counter(map(_folded, known))
    alike = [name for name in known if often[_folded(name)] > 1]
    return (f"Classes whose names differ in capitals only are different classes: {some(alike)}.",) if alike else ()


def problems(root: Path, found: Sequence[ClassFolder], outside: int) -> list[Problem]:
    """Returns the problems of class folders, each with its next step.

    Args:
        root: The folder that holds them.
        found: The class folders.
        outside: Number of images beside them.
    """
    faults = [*_too_few(root, found, outside), *_nested(root, found), *without_images(root, found)]
    odd = [repr(name) for name in labels(found) if not name.isprintable()]
    if odd:
        faults.append((f"The names of these class folders cannot be printed: {some(odd)}.", "Rename them."))
    often = Counter(map(composed, labels(found)))
    alike = [name for name in labels(found) if often[composed(name)] > 1]
    if alike:
        faults.append(
            (
                f"Class folders of {one_line(root)} have names that look the same, but have other bytes: "
                f"{some([ascii(name) for name in alike])}.",
                "Put their images into one folder.",
            )
        )
    return faults


def _too_few(root: Path, found: Sequence[ClassFolder], outside: int) -> list[Problem]:
    if len(found) > 1:
        return []
    if not found and outside:
        return [(f"{one_line(root)} holds {counted(outside, 'image')} and no class folders.", LAYOUT)]
    what = f"only the class folder {one_line(found[0].path.name)}" if found else "no class folders"
    inside = f"If the classes are in {one_line(found[0].path)}, give that folder. " if found and found[0].groups else ""
    return [(f"{one_line(root)} has {what}, but training needs at least two classes.", inside + LAYOUT)]


def _nested(root: Path, found: Sequence[ClassFolder]) -> list[Problem]:
    """Refuses class folders that all hold the same subfolders and no images: parts, years or cameras, not classes."""
    filled = [of_class for of_class in found if of_class.images]
    if len(filled) < 2 or not all(of_class.groups for of_class in filled):
        return []
    common = sorted(frozenset.intersection(*(frozenset(map(_folded, of_class.groups)) for of_class in filled)))
    if len(common) < 2:
        return []
    names, first = some(labels(filled)), one_line(filled[0].path.name)
    if all(map(is_part_name, common)):
        return [
            (
                f"The class folders of {one_line(root)} ({names}) hold the parts: {some(common)}.",
                f"Put the class folders into folders for the parts, as in {common[0]}/{first}.",
            )
        ]
    return [
        (
            f"The folders of {one_line(root)} ({names}) hold no images, but all of them hold the same folders "
            f"({some(common)}), which are more likely the classes.",
            f"Name the folders train, val and test if they are the parts. If {first} is a class, move the images "
            "from its subfolders into it.",
        )
    ]


def without_images(folder: Path, found: Sequence[ClassFolder]) -> list[Problem]:
    """Returns the problems of class folders that have no image, in words that name the files that they have."""
    faults = []
    empty = [of_class.path.name for of_class in found if not of_class.images and not of_class.others]
    if empty:
        faults.append(
            (
                f"These class folders of {one_line(folder)} have no image: {some(empty)}.",
                "Add images, or remove the folders.",
            )
        )
    foreign = [of_class for of_class in found if not of_class.images and of_class.others]
    if foreign:
        held = [
            f"{of_class.path.name} holds {counted(of_class.others.total(), 'file')} ({endings(of_class.others)})"
            for of_class in foreign
        ]
        heif = any(set(HEIF_SUFFIXES) & of_class.others.keys() for of_class in foreign)
        faults.append(
            (
                f"These class folders of {one_line(folder)} have only files that are passed over: {some(held)}.",
                "Convert them to JPEG"
                + (f", or let HEIC be read: {pip('install', 'nagsdk[heif]')}" if heif else "")
                + ".",
            )
        )
    return faults


def without_classes(folder: Path, found: Sequence[ClassFolder], train: Path, outside: int) -> list[Problem]:
    """Returns the problem of a part whose images are not in class folders.

    Args:
        folder: The part.
        found: Its subfolders.
        train: The part for training.
        outside: Number of images beside the subfolders.
    """
    if not found and outside:
        where = counted(outside, "image")
    elif len(found) == 1 and found[0].images and not (train / found[0].path.name).is_dir():
        where = f"{counted(len(found[0].images), 'image')} in the folder {one_line(found[0].path.name)}"
    else:
        return []
    return [
        (
            f"{one_line(folder)} holds {where} and no class folders.",
            f"Sort them into folders named as those of {one_line(train.name)}; the labels of a public data set are in "
            "its development kit or annotations.",
        )
    ]


def refuse(faults: Sequence[Problem]) -> None:
    """Raises one error for all problems, so that a user can fix the folder in one go."""
    if faults:
        messages, steps = zip(*faults, strict=True)
        raise DataError(" ".join(messages), " ".join(dict.fromkeys(steps)))


def _folded(name: str) -> str:
    return composed(name).casefold()
