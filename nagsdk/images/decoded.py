"""Decodes the images of a folder once and stores them as squares of one size, which training maps into memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from nagsdk.common.cores import usable_cores
from nagsdk.common.files import write_atomically, writing
from nagsdk.common.folders import cache_folder
from nagsdk.common.wording import counted
from nagsdk.errors import DataError, OutputError
from nagsdk.events import Listener, ignore, stage
from nagsdk.images.entries import one_line, reads_heif, some
from nagsdk.images.folder import ImageFolder, Part
from nagsdk.images.parts import PARTS
from nagsdk.images.preprocessing import Preprocessing, crop, read_image
from nagsdk.space.space import SearchSpace

_AHEAD = 256
_SPARE = 1.05


@dataclass(frozen=True)
class Labelled:
    """Images and their classes.

    Attributes:
        images: Images, uint8, shape (n, side, side, 3).
        labels: Class of each image, int64, shape (n,).
        paths: File of each image, where they come from files.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    paths: Sequence[Path] = ()


def square_side(space: SearchSpace, preprocessing: Preprocessing) -> int:
    """Side of the stored squares: enough for the largest resolution, and a multiple of 16 for contact sheets."""
    return -(-round(max(space.resolutions) / preprocessing.crop_fraction) // 16) * 16


def stored_bytes(folder: ImageFolder, side: int) -> int:
    """Number of bytes that `decode` writes to the disk."""
    return sum(len(part.paths) for part in folder.parts.values()) * side * side * 3


def require_space(path: Path, size: int, what: str) -> None:
    """Checks that files will fit on the disk.

    Args:
        path: Place of the files.
        size: Their size in bytes.
        what: Their name at the start of the error message, in the plural.

    Raises:
        OutputError: The disk that contains `path` has too little free space.
    """
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < _SPARE * size:
        raise OutputError(
            f"{what} need {size / 1e9:.2g} GB, but the disk of {path} has only {free / 1e9:.2g} GB free.",
            "Free some space, or give a folder on another disk.",
        )


def decode(
    folder: ImageFolder, side: int, skip_broken: bool = False, on_event: Listener = ignore
) -> dict[str, Labelled]:
    """Decodes all images of a folder into squares, which are stored in the cache.

    The shorter side is resized to `side`, and the centre is kept. If several processes call this, the first one
    decodes, and the others use its result.

    Args:
        folder: Result of `scan`.
        side: Side of the squares in pixels.
        skip_broken: Whether to leave out images that cannot be decoded.
        on_event: Receives progress.

    Returns:
        The parts ``train``, ``val`` and ``test``; images are mapped into memory read-only.

    Raises:
        DataError: Images cannot be decoded (a file lists all of them), or no image of a class is left.
        OutputError: The squares do not fit on the disk.
    """
    # Where HEIC is read, images that were complained about elsewhere are fine.
    heif = "-heif" if reads_heif() else ""
    store = cache_folder() / "pixels" / f"{folder.fingerprint}-{side}{heif}"
    complaints = store / "broken.txt"
    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / "lock"):
            if not complaints.is_file():
                require_space(store, stored_bytes(folder, side), "The decoded images")
                lines = _write(folder, side, store, on_event)
                write_atomically(complaints, "".join(f"{line}\n" for line in lines).encode())
    broken = complaints.read_text("utf-8").splitlines()
    if broken and not skip_broken:
        raise DataError(
            f"{counted(len(broken), 'image')} cannot be used: {some(broken)}.",
            f"Repair or remove them, or leave them out with --skip-broken. All of them are listed in {complaints}.",
        )
    found = {name: replace(read(store, name, side), paths=_decoded(folder.parts[name].paths, broken)) for name in PARTS}
    for name in ("train", "val"):
        missing = np.flatnonzero(np.bincount(found[name].labels, minlength=len(folder.classes)) == 0)
        if len(missing):
            raise DataError(
                f"These classes have no image in {name} that can be decoded: "
                f"{some([folder.classes[i] for i in missing])}.",
                "Repair or add images, or remove the folders of these classes.",
            )
    if not len(found["test"].labels):
        raise DataError("No image of the part test can be decoded.", "Repair the images.")
    return found


def _decoded(paths: Sequence[Path], broken: Sequence[str]) -> Sequence[Path]:
    """The paths about which there is no complaint."""
    return [path for path in paths if not any(line.startswith(_complaint(path, "")) for line in broken)]


def _complaint(path: Path, reason: str) -> str:
    return one_line(f"{path}: {reason}")


def counts(parts: Mapping[str, Labelled], classes: int) -> dict[str, list[int]]:
    """Number of images of every class, for each part."""
    return {name: np.bincount(part.labels, minlength=classes).tolist() for name, part in parts.items()}


def read(store: Path, part: str, side: int) -> Labelled:
    """Reads a part that `decode` stored."""
    labels = np.load(store / f"{part}.labels.npy", allow_pickle=False)
    file = store / f"{part}.pixels"
    shape = (len(labels), side, side, 3)
    # An empty file cannot be mapped.
    images = np.memmap(file, np.uint8, "r", shape=shape) if len(labels) else np.empty(shape, np.uint8)
    return Labelled(images, labels)


def _write(folder: ImageFolder, side: int, store: Path, on_event: Listener) -> list[str]:
    complaints: list[str] = []
    total, done = sum(len(part.paths) for part in folder.parts.values()), 0
    with stage(on_event, "Decoding images", total) as advance:
        for name in PARTS:
            labels = []
            with (store / f"{name}.pixels").open("wb") as file:
                for (path, pixels), label in zip(
                    _squares(folder.parts[name], side), folder.parts[name].labels, strict=True
                ):
                    done += 1
                    if isinstance(pixels, str):
                        complaints.append(_complaint(path, pixels))
                    else:
                        # Written as a stream: writing to a memory-mapped file on a full disk would kill the process.
                        file.write(pixels.tobytes())
                        labels.append(label)
                    advance(done, f"Decoding image {done} of {total}")
                _flush(file)
            with (store / f"{name}.labels.npy").open("wb") as file:
                np.save(file, np.array(labels, np.int64), allow_pickle=False)
                _flush(file)
    return complaints


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _squares(part: Part, side: int) -> Iterator[tuple[Path, NDArray[np.uint8] | str]]:
    """Yields the path of every image in order, with its pixels or the reason why it cannot be used."""

    def square(path: Path) -> NDArray[np.uint8] | str:
        try:
            return crop(read_image(path), side, side)
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)

    with ThreadPoolExecutor(usable_cores()) as pool:
        paths = iter(part.paths)
        # A limited number at a time: one map over all paths would decode the whole folder into memory.
        while batch := list(islice(paths, _AHEAD)):
            yield from zip(batch, pool.map(square, batch), strict=True)
