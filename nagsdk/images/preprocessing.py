"""Turns image files into inputs of a network, with the same steps in evaluation and in an app."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.common.files import by_name
from nagsdk.errors import ImagesMissingError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MOST_PIXELS = 89 * 10**6
_DEEP = 2**16


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of images into inputs of a network.

    The image is converted to RGB, its shorter side is resized to resolution / crop_fraction (bilinear with
    antialiasing), the centre is cropped, pixels are scaled to 0–1 and normalised as (x − mean) / std per channel. The
    layout is NCHW.

    Attributes:
        mean: Mean of each channel, for pixels in 0–1.
        std: Standard deviation of each channel, for pixels in 0–1.
        crop_fraction: Share of the shorter side that the centre crop keeps.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_fraction: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the steps as manifests contain them."""
        return {"color": "RGB", "resize": "bilinear-antialias", "layout": "NCHW", "scale": 1 / 255, **asdict(self)}

    def apply(self, images: Sequence[Image], resolution: int) -> NDArray[np.float32]:
        """Preprocesses Pillow images into float32 inputs, shape (n, 3, resolution, resolution)."""
        return self.normalised(
            np.stack([crop(image, round(resolution / self.crop_fraction), resolution) for image in images])
        )

    def normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Normalises RGB pixels (n, h, w, 3) that already have the right size into inputs (n, 3, h, w)."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def crop(image: Image, side: int, resolution: int) -> NDArray[np.uint8]:
    """Resizes an image and crops its centre.

    Args:
        image: Image of any mode.
        side: Length of the shorter side after resizing, in pixels.
        resolution: Side of the cropped square, at most `side`.

    Returns:
        Pixels, uint8, shape (resolution, resolution, 3).
    """
    from PIL.Image import Resampling

    width, height = image.size
    scale = side / min(width, height)
    resized = to_rgb(image).resize(
        (max(side, round(width * scale)), max(side, round(height * scale))), Resampling.BILINEAR
    )
    left, top = (resized.width - resolution) // 2, (resized.height - resolution) // 2
    return np.asarray(resized.crop((left, top, left + resolution, top + resolution)))


def to_rgb(image: Image) -> Image:
    """Converts an image to RGB; 16-bit grey values are scaled, while Pillow's own conversion would clip them to white.

    Raises:
        ValueError: The range of the pixel values is unknown.
    """
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    from PIL.Image import fromarray

    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() >= _DEEP:
        raise ValueError("its pixels are not whole numbers of 8 or 16 bits")
    return fromarray((values.astype(np.uint32) // (_DEEP // 256)).astype(np.uint8)).convert("RGB")


def upright(image: Image) -> Image:
    """Rotates an opened image upright, as its camera noted, and converts it to RGB.

    Raises:
        ValueError: The image has no pixels or more than any camera's, or the range of its pixel values is unknown.
        OSError: The file of the image is damaged.
    """
    from PIL import ImageOps

    if not 0 < image.width * image.height <= MOST_PIXELS:
        much = f"{image.width} x {image.height} pixels, 1 to {MOST_PIXELS // 10**6} million are possible"
        raise ValueError(f"it is too {'large' if image.width and image.height else 'small'}: {much}")
    try:
        return to_rgb(ImageOps.exif_transpose(image))
    except (SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        # Decoders raise these too when files are damaged.
        raise OSError(f"it is damaged: {error}") from error


def read_image(path: Path) -> Image:
    """Reads an image file; see `upright`.

    Raises:
        ValueError: See `upright`.
        OSError: The file cannot be read, is not an image, or is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            return upright(opened)
    except Image.DecompressionBombError as error:
        raise ValueError(f"it is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise OSError("it is not an image, or its beginning is damaged") from error
    except (SyntaxError, EOFError, IndexError, TypeError, KeyError) as error:
        raise OSError(f"it is damaged: {error}") from error


def cut_tiles(sheet: Path, tile: int, count: int) -> list[Image]:
    """Cuts the tiles out of a contact sheet, row by row."""
    from PIL import Image

    with Image.open(sheet) as opened:
        whole = opened.convert("RGB")
    columns = whole.width // tile
    return [
        whole.crop(((i % columns) * tile, (i // columns) * tile, (i % columns + 1) * tile, (i // columns + 1) * tile))
        for i in range(count)
    ]


def image_files(folder: Path, most: int) -> list[Path]:
    """Returns at most `most` image files of a folder and its subfolders, spread evenly over the sorted names."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    paths = sorted(found, key=by_name)
    return paths[:: max(1, len(paths) // most)][:most]


def read_folder(folder: Path, most: int) -> Iterator[Image]:
    """Reads images of a folder and its subfolders, spread evenly over the sorted names.

    Args:
        folder: Path of the folder.
        most: Largest number of images to read.

    Raises:
        ImagesMissingError: The folder does not exist, or has no readable image.
    """
    if not folder.is_dir():
        raise ImagesMissingError(
            f"{folder} is not a folder.", "Give a folder of JPEG, PNG, WebP or BMP images with --images."
        )
    found = 0
    for path in image_files(folder, most):
        try:
            image = read_image(path)
        except (OSError, ValueError):
            continue
        yield image
        found += 1
    if found == 0:
        raise ImagesMissingError(
            f"{folder} has no readable image.",
            f"Put images ({', '.join(SUFFIXES)}) into it, of the kind that the model will see.",
        )
