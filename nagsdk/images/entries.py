"""Tells images from everything else that is in folders of images: system files, other formats, devices."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nagsdk.common.files import by_name
from nagsdk.errors import DataError, printable

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
FOLDER, FILE, SPECIAL, NOWHERE = "folder", "file", "special", "nowhere"
_SHOWN = 5
# Thumbnails and bins that network drives, memory cards and archives have beside the user's files, in small letters.
_SYSTEM = {
    "@eadir", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot", "lost+found", "$recycle.bin",
    "recycler", "system volume information", "__macosx", "network trash folder", "temporary items", "__pycache__",
    "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
}  # fmt: skip


@cache
def reads_heif() -> bool:
    """Whether the extra ``heif`` is installed, so that HEIC files are images too."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return False
    return True


def suffixes() -> tuple[str, ...]:
    """Endings of the names of images, in small letters."""
    return SUFFIXES + HEIF_SUFFIXES if reads_heif() else SUFFIXES


def is_image_name(name: str) -> bool:
    """Whether a file of this name should be an image."""
    return os.path.splitext(name)[1].lower() in suffixes()  # noqa: PTH122  # a Path for each of a million names is slow


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name is hidden or the system's, so that it holds no image of the user's."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def kind(path: Path) -> str:
    """Says what a path leads to, without opening it: a folder, a file, something special, or nowhere.

    Raises:
        DataError: The system refuses to tell.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink() or isinstance(error, FileNotFoundError):
            return NOWHERE
        raise unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        return FOLDER
    return FILE if stat.S_ISREG(mode) else SPECIAL


def entries(folder: Path) -> list[Path]:
    """Everything in a folder, in no order.

    Raises:
        DataError: The folder cannot be read.
    """
    try:
        return [folder / entry.name for entry in os.scandir(folder)]
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a path that the system does not let us read."""
    return DataError(f"{one_line(path)} cannot be read: {error.strerror}.", "Check its permissions, or remove it.")


def image_files(folder: Path, most: int) -> list[Path]:
    """Returns at most `most` image files of a folder and its subfolders, spread evenly over the sorted names."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_system_name(name)]
        names = [name for name in files if is_image_name(name) and not is_system_name(name)]
        found += (path for name in names if os.path.isfile(path := Path(parent, name)))  # noqa: PTH113  # never raises
    paths = sorted(found, key=by_name)
    return paths[:: max(1, len(paths) // most)][:most]


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC); file systems of Apple write letters and accents apart."""
    return unicodedata.normalize("NFC", name)


def one_line(text: object) -> str:
    """A text as `printable` shows it, on one line; names of files may have line ends."""
    return printable(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def some(names: Sequence[object]) -> str:
    """Lists the first names and says how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(one_line, names[:_SHOWN])) + more
