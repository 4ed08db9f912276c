"""Recognises folders that are the parts of a data set (training, validation, test) by their names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nagsdk.errors import DataError
from nagsdk.images.entries import FOLDER, entries, is_system_name, kind, one_line, some

PARTS = ("train", "val", "test")
LAYOUT = (
    "Give a folder with one subfolder of images for each class, or with such subfolders in folders train and val "
    "(and test)."
)
# Folders of exactly these names come before others for the same part.
_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_PART_OF = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_FILLERS = {"set", "sets", "data", "dataset", "image", "images", "img", "imgs", "photos", "pictures", "split", "seg"}
_GLUED = re.compile("(.+?)(sets?|data|dataset|images?|imgs?)")


def find_parts(root: Path, folders: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Finds the folders of the parts.

    Args:
        root: The data set.
        folders: Its subfolders.

    Returns:
        The folder of each part, or nothing if the subfolders are classes; and messages about what was chosen.

    Raises:
        DataError: Some folders are named like parts, but they are not the parts of a data set that can be used.
    """
    named = _named(folders)
    others = [folder for folder in folders if not any(folder in of_part for of_part in named.values())]
    if not named or _are_classes(named, others):
        return {}, ()
    names = some([folder.name for of_part in named.values() for folder in of_part])
    rename = f"If one of these is a class, rename it: {names}."
    if "train" not in named:
        raise DataError(
            f"{one_line(root)} has folders named like parts of a data set ({names}), but no folder train.",
            f"Add the folder train, or move these away. {rename} {LAYOUT}",
        )
    if "val" not in named:
        if len(named) == 1 and others and not any(map(_has_folders, named["train"])):
            return {}, (f"Read as classes, because they hold images and no folders: {names}.",)
        flat = "" if any(map(_has_folders, named["train"])) else " that holds no class folders"
        raise DataError(
            f"{one_line(root)} has a folder {one_line(named['train'][0].name)}{flat}, but no folder val.",
            f"Move about a tenth of the images of each class to a folder val, with the same class folders. "
            f"{rename} {LAYOUT}",
        )
    found = {part: _one(root, part, named[part]) for part in PARTS if part in named}
    unread = [folder.name for folder in folders if folder not in found.values()]
    unusual = [f"{folder.name} ({part})" for part, folder in found.items() if folder.name.lower() not in _NAMES[part]]
    notes = (
        *((f"Folders that were read as parts: {some(unusual)}.",) if unusual else ()),
        *((f"Folders beside the parts were not read: {some(unread)}.",) if unread else ()),
    )
    return {part: _inner(folder, part) for part, folder in found.items()}, notes


def is_part_name(name: str) -> bool:
    """Whether a name is that of a part and holds no other words."""
    part, rest = _words(name)
    return part is not None and not rest


def _named(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Folders named like a part, such as ``Test`` or ``training_set``.

    Other words may be in the names if they are in those of two parts (``flowers_train``, ``flowers_test``), so that a
    class ``steam train`` is none.
    """
    words = {folder: _words(folder.name) for folder in folders}
    rests: dict[frozenset[str], set[str]] = defaultdict(set)
    for part, rest in words.values():
        if part:
            rests[rest].add(part)
    named: dict[str, list[Path]] = defaultdict(list)
    for folder, (part, rest) in words.items():
        if part and (not rest or len(rests[rest]) > 1):
            named[part].append(folder)
    return dict(named)


def _words(name: str) -> tuple[str | None, frozenset[str]]:
    """The part that is in a name, if there is exactly one, and the other words."""
    spaced = re.sub("(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = set()
    for word in re.findall(r"[^\W\d_]+", spaced.casefold()):
        glued = _GLUED.fullmatch(word)
        words.add(glued[1] if glued and glued[1] in _PART_OF else word)
    parts = {_PART_OF[word] for word in words if word in _PART_OF}
    return (parts.pop() if len(parts) == 1 else None), frozenset(words - _FILLERS - _PART_OF.keys())


def _are_classes(named: dict[str, list[Path]], others: Sequence[Path]) -> bool:
    """Whether a single folder ``valid`` is a class, because there is another named ``invalid``."""
    names = [folder.name.casefold() for of_part in named.values() for folder in of_part]
    return names == ["valid"] and any("invalid" in folder.name.casefold() for folder in others)


def _one(root: Path, part: str, folders: Sequence[Path]) -> Path:
    for name in _NAMES[part]:
        for folder in folders:
            if folder.name == name:
                return folder
    if len(folders) > 1:
        raise DataError(
            f"{one_line(root)} has several folders for the part {part}: {some([f.name for f in folders])}.",
            "Keep one of them, or name the right one " + part + ".",
        )
    return folders[0]


def _inner(folder: Path, part: str) -> Path:
    """The folder inside a part if it is the only entry and repeats the name: ``seg_train/seg_train``."""
    inside = [path for path in entries(folder) if not is_system_name(path.name)]
    if len(inside) == 1 and kind(inside[0]) == FOLDER and _words(inside[0].name)[0] == part:
        words = _words(inside[0].name)[1]
        if words <= _words(folder.name)[1]:
            return inside[0]
    return folder


def _has_folders(folder: Path) -> bool:
    return any(kind(path) == FOLDER for path in entries(folder) if not is_system_name(path.name))
