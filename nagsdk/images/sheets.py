"""Contact sheets: many images of one size in one compressed image file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nagsdk.images.preprocessing import MOST_PIXELS, open_image

_COLUMNS = 64
_MOST_SIDE, _MOST_PIXELS = 16383, 85 * 10**6


def most_on_sheet(side: int) -> int:
    """Largest number of images with this side that fit on a sheet.

    WebP images are at most 16383 pixels wide and high, and image readers refuse very large images.
    """
    columns = _columns(side)
    return min(columns * (_MOST_SIDE // side), _MOST_PIXELS // (columns * side * side) * columns)


def _columns(side: int) -> int:
    return min(_COLUMNS, _MOST_SIDE // side)


def write_sheet(images: NDArray[np.uint8], path: Path, lossless: bool = False) -> None:
    """Writes images (n, side, side, 3) row by row into one WebP file, lossy (quality 90) or not.

    `side` must be a multiple of 16, so that no compressed block covers parts of two images.
    """
    from PIL import Image

    count, side = images.shape[:2]
    if side % 16 or not 0 < count <= most_on_sheet(side):
        raise ValueError(
            f"A sheet cannot hold {count} images of {side} pixels: the side must be a multiple of 16, and the number "
            f"of images from 1 to {most_on_sheet(side)}."
        )
    columns = _columns(side)
    padded = np.zeros((-(-count // columns) * columns, side, side, 3), np.uint8)
    padded[:count] = images
    rows = padded.reshape(-1, columns, side, side, 3).swapaxes(1, 2).reshape(-1, columns * side, 3)
    # Of a lossless file, the quality is the effort to make it small.
    settings = {"lossless": True, "quality": 50} if lossless else {"quality": 90, "method": 6}
    Image.fromarray(rows).save(path, "WEBP", **settings)


def read_sheet(file: Path | BinaryIO, count: int, side: int) -> NDArray[np.uint8]:
    """Reads the images of a sheet: uint8, shape (count, side, side, 3).

    Args:
        file: The sheet, as `write_sheet` wrote it, or as PNG.
        count: Number of images.
        side: Their side in pixels.

    Raises:
        ValueError: It cannot be read, or does not hold so many images of this size.
    """
    from PIL import Image

    try:
        with open_image(file, ("WEBP", "PNG")) as image:
            columns = max(1, image.width // side)
            wanted = columns * side, -(-count // columns) * side
            if image.width * image.height > MOST_PIXELS or image.size != wanted:
                raise ValueError(
                    f"it has {image.width} x {image.height} pixels, which are not rows of {count} images of {side} "
                    "pixels"
                )
            rows = np.asarray(image.convert("RGB"))
    except ValueError:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ValueError(f"it is too large: {error}") from error
    except Exception as error:
        # Decoders raise nearly everything when a file is damaged.
        raise ValueError(f"it is not a readable image ({error or type(error).__name__})") from error
    return rows.reshape(-1, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)[:count]
