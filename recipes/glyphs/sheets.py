"""Contact sheets: many pictures of one size in one compressed image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 64


def write_sheet(images: NDArray[np.uint8], path: Path, quality: int = 90) -> None:
    """Writes pictures (n, side, side, 3) row by row into one lossy WebP; `side` a multiple of 16, so that no block straddles two."""
    count, side = images.shape[:2]
    if side % 16:
        raise ValueError(f"A side of {side} pixels is not a multiple of 16.")
    padded = np.zeros((-(-count // COLUMNS) * COLUMNS, side, side, 3), np.uint8)
    padded[:count] = images
    rows = padded.reshape(-1, COLUMNS, side, side, 3).swapaxes(1, 2).reshape(-1, COLUMNS * side, 3)
    Image.fromarray(rows).save(path, "WEBP", quality=quality, method=6)


def read_sheet(path: Path, count: int, side: int) -> NDArray[np.uint8]:
    """Reads the first `count` pictures of a sheet: uint8, shape (count, side, side, 3)."""
    with Image.open(path) as image:
        rows = np.asarray(image.convert("RGB"))
    height, width = rows.shape[0] // side, rows.shape[1] // side
    return rows.reshape(height, side, width, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)[:count]
