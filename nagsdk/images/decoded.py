"""The images of a folder, decoded once, as squares of one size in files that training maps into memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from nagsdk.common.files import write_atomically, writing
from nagsdk.common.folders import cache_folder
from nagsdk.common.processes import cores
from nagsdk.common.wording import counted
from nagsdk.errors import DataError, OutputError
from nagsdk.events import Listener, ignore, stage
from nagsdk.images.folder import PARTS, ImageFolder, Part, some
from nagsdk.images.preprocessing import Preprocessing, crop, read_image
from nagsdk.space.space import SearchSpace

_AHEAD = 256
_SPARE = 1.05


@dataclass(frozen=True)
class Labelled:
    """Images and their classes.

    Attributes:
        images: uint8, shape (n, side, side, 3).
        labels: int64, shape (n,).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def square_side(space: SearchSpace, preprocessing: Preprocessing) -> int:
    """Side of the squares that images are kept as: enough for the largest resolution, and what a contact sheet can hold."""
    return -(-round(max(space.resolutions) / preprocessing.crop_fraction) // 16) * 16


def stored_bytes(folder: ImageFolder, side: int) -> int:
    """What `decode` takes on the disk."""
    return sum(len(part.paths) for part in folder.parts.values()) * side * side * 3


def require_space(path: Path, size: int, what: str) -> None:
    """Refuses work whose files will not fit.

    Raises:
        OutputError: The disk that holds `path` has too little room.
    """
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < _SPARE * size:
        raise OutputError(
            f"{what} need {size / 1e9:.2g} GB, and the disk that holds {path} has {free / 1e9:.2g} GB free.",
            "Free some, or name another folder.",
        )


def decode(
    folder: ImageFolder, side: int, skip_broken: bool = False, on_event: Listener = ignore
) -> dict[str, Labelled]:
    """Squares of all images, kept in the cache: decoded once, whichever of several processes comes first.

    The shorter side is resized to `side`, and the centre is kept.

    Args:
        folder: From `scan`.
        side: Of the squares, in pixels.
        skip_broken: Leaves images out that cannot be decoded.
        on_event: Receives progress.

    Returns:
        ``train``, ``val`` and ``test``, mapped read-only.

    Raises:
        DataError: Images cannot be decoded, all of them named in a file, or none are left of a class.
        OutputError: They do not fit on the disk.
    """
    store = cache_folder() / "pixels" / f"{folder.fingerprint}-{side}"
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
            f"Repair or remove them, or leave them out with --skip-broken; {complaints} names all.",
        )
    found = {name: read(store, name, side) for name in PARTS}
    for name in ("train", "val"):
        lost = np.flatnonzero(np.bincount(found[name].labels, minlength=len(folder.classes)) == 0)
        if len(lost):
            raise DataError(
                f"No image of these classes can be decoded in {name}: {some([folder.classes[i] for i in lost])}.",
                "Repair them, or remove the folders.",
            )
    if not len(found["test"].labels):
        raise DataError("No image that was set aside for the test can be decoded.", "Repair them.")
    return found


def counts(parts: Mapping[str, Labelled], classes: int) -> dict[str, list[int]]:
    """Images of every class, for each part."""
    return {name: np.bincount(part.labels, minlength=classes).tolist() for name, part in parts.items()}


def read(store: Path, part: str, side: int) -> Labelled:
    """What `decode` left of a part."""
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
                        complaints.append(f"{path}: {pixels}")
                    else:
                        # Written as a stream: a file that is mapped for writing on a full disk kills the process.
                        file.write(pixels.tobytes())
                        labels.append(label)
                    advance(done, f"image {done} of {total}")
                _flush(file)
            with (store / f"{name}.labels.npy").open("wb") as file:
                np.save(file, np.array(labels, np.int64), allow_pickle=False)
                _flush(file)
    return complaints


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _squares(part: Part, side: int) -> Iterator[tuple[Path, NDArray[np.uint8] | str]]:
    """Pixels of every image in order, or what is wrong with it."""

    def square(path: Path) -> NDArray[np.uint8] | str:
        try:
            return crop(read_image(path), side, side)
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)

    with ThreadPoolExecutor(cores()) as pool:
        paths = iter(part.paths)
        # A bounded number at a time: a pool's own map would decode the whole folder into memory.
        while some := list(islice(paths, _AHEAD)):
            yield from zip(some, pool.map(square, some), strict=True)
