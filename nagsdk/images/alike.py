"""Finds pictures that show nearly the same: copies, other sizes and compressions, neighbours in a burst."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.cores import usable_cores
from nagsdk.common.files import write_atomically, writing
from nagsdk.common.folders import cache_folder
from nagsdk.events import Listener, ignore, stage
from nagsdk.images.preprocessing import read_image

# Pictures are compared as squares of so many pixels. Smaller ones would not tell apart scenes of the same layout.
_SIDE = 16
# Least correlation of near-duplicates, over all pixels and channels: of photographs and parts of them, 98 % have more
# after JPEG of quality 30, and nearly all after a change of brightness or contrast, but not after losing an edge.
_LEAST_CORRELATION = 0.98
# Most difference of the mean colour in grey levels; icons and flags differ in nothing else.
_MOST_COLOUR = 40.0
# Deviation in grey levels below which a picture counts as of one colour.
_FLAT = 1.0
_BLOCK, _MOST_LINKS = 1024, 20
_AHEAD = 512

Pairs = NDArray[np.intp]


def near_duplicates(files: Sequence[Path], on_event: Listener = ignore) -> Pairs:
    """Finds the pairs of images that look nearly the same.

    Args:
        files: Image files; those that cannot be decoded look like no other.
        on_event: Receives progress.

    Returns:
        Places of the images of each pair, the smaller first, shape (pairs, 2), sorted. Of images that look like very
        many others, not every pair is returned.
    """
    looks, readable = _looks(files, on_event)
    places = np.flatnonzero(readable)
    return places[alike(looks[places])]


def alike(looks: NDArray[np.uint8]) -> Pairs:
    """Finds the pairs among small squares whose pixels are correlated, and whose colours are near each other.

    Args:
        looks: Squares, shape (n, side, side, 3).

    Returns:
        See `near_duplicates`.
    """
    if len(looks) < 2:
        return np.empty((0, 2), np.intp)
    flat = looks.reshape(len(looks), -1).astype(np.float32)
    colour = looks.reshape(len(looks), -1, 3).mean(1, dtype=np.float32)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), _FLAT * flat.shape[1] ** 0.5)
    # The distance and not the product: those of one colour have no direction, but are near to each other.
    most = 2 * (1 - _LEAST_CORRELATION)
    length = (flat**2).sum(1)
    found = []
    for start in range(0, len(flat), _BLOCK):
        for other in range(start, len(flat), _BLOCK):
            a, b = slice(start, start + _BLOCK), slice(other, other + _BLOCK)
            near = length[a, None] + length[b] - 2 * flat[a] @ flat[b].T <= most
            near = np.triu(near, 1) if start == other else near
            # A thousand images of one scene are half a million pairs, of which few are enough to connect them.
            rows, columns = np.nonzero(near & (near.cumsum(1) <= _MOST_LINKS) if near.any() else near)
            pairs = np.stack([rows + start, columns + other], 1)
            found.append(pairs[np.abs(colour[pairs[:, 0]] - colour[pairs[:, 1]]).max(1, initial=0) <= _MOST_COLOUR])
    every = np.concatenate(found)
    return every[np.lexsort(every.T[::-1])]


def sets_of(count: int, pairs: Pairs) -> NDArray[np.int32]:
    """Returns for each of `count` images the number of the set that it belongs to, if pairs are in one set."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers


def _looks(files: Sequence[Path], on_event: Listener) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The small squares of images, and which images can be read; from the cache if the files are as before."""
    digest = hashlib.sha256(f"{_SIDE}".encode())
    for path in files:
        facts = path.stat()
        digest.update(os.fsencode(path.absolute()) + f" {facts.st_size} {facts.st_mtime_ns}\n".encode())
    stored = cache_folder() / "looks" / f"{digest.hexdigest()[:32]}.npz"
    if stored.is_file():
        with np.load(stored, allow_pickle=False) as known:
            return known["looks"], known["readable"]
    looks, readable = np.zeros((len(files), _SIDE, _SIDE, 3), np.uint8), np.zeros(len(files), bool)
    paths, done = iter(files), 0
    with stage(on_event, "Looking for near-duplicates", len(files)) as advance, ThreadPoolExecutor(usable_cores()) as p:
        # A limited number at a time, so that an interruption does not wait for a whole folder.
        while batch := list(islice(paths, _AHEAD)):
            for place, look in enumerate(p.map(_look, batch), done):
                if look is not None:
                    looks[place], readable[place] = look, True
            done += len(batch)
            advance(done, f"Looking at image {done} of {len(files)}")
    content = BytesIO()
    np.savez(content, looks=looks, readable=readable)
    with writing(stored.parent):
        stored.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(stored, content.getvalue())
    return looks, readable


def _look(path: Path) -> NDArray[np.uint8] | None:
    from PIL.Image import Resampling

    try:
        return np.asarray(read_image(path, least=4 * _SIDE).resize((_SIDE, _SIDE), Resampling.BOX))
    except (OSError, ValueError):
        return None  # decoding names what is wrong with it
