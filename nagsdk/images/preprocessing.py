"""Turns image files into inputs of a network, with the same steps in evaluation and in an app."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import ImagesMissingError
from nagsdk.images.entries import image_files, reads_heif, suffixes

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MOST_PIXELS = 89 * 10**6
# Pillow would open many more, whatever the name of the file: for EPS it runs Ghostscript, others are hardly used.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
_ORIENTATION = 0x0112
_DEEP = 2**16
_STRIP = 64


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

    @property
    def of_pixels(self) -> Preprocessing:
        """The same steps without normalising: inputs are the pixels themselves, from 0 to 255."""
        return replace(self, mean=(0.0,) * 3, std=(1 / 255,) * 3)

    def pixels(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turns normalised inputs (n, 3, h, w) back into whole pixels from 0 to 255."""
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (self.mean, self.std))
        pixels: NDArray[np.float32] = np.rint((inputs * std + mean) * np.float32(255)).clip(0, 255)
        return pixels


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

    rgb = to_rgb(image)
    scale = side / min(rgb.size)
    width, height = (max(side, round(length * scale)) for length in rgb.size)
    left, top = (width - resolution) // 2, (height - resolution) // 2
    if max(width, height) <= _STRIP * side:
        return np.asarray(
            rgb.resize((width, height), Resampling.BILINEAR).crop((left, top, left + resolution, top + resolution))
        )
    # A strip of 8 million by 1 pixels would need gigabytes when it is scaled whole, so its centre is cut out before.
    # Pillow keeps the corners of `box` as 32-bit floats, which are too coarse unless they count from near the centre.
    spans = [
        _centre(length, scaled, start, resolution)
        for length, scaled, start in zip(rgb.size, (width, height), (left, top), strict=True)
    ]
    (x, right, x0, x1), (y, bottom, y0, y1) = spans
    centre = rgb.crop((x, y, right, bottom))
    return np.asarray(centre.resize((resolution, resolution), Resampling.BILINEAR, (x0, y0, x1, y1)))


def _centre(length: int, scaled: int, start: int, size: int) -> tuple[int, int, float, float]:
    """Pixels of an image that the scaled pixels from `start` on depend on, and where these begin and end in them."""
    step = length / scaled
    margin = math.ceil(max(step, 1)) + 1
    first = max(0, math.floor(start * step) - margin)
    last = min(length, math.ceil((start + size) * step) + margin)
    return first, last, start * step - first, min((start + size) * step - first, last - first)


def to_rgb(image: Image) -> Image:
    """Converts an image to RGB; 16-bit grey values are scaled, while Pillow's own conversion would clip them to white.

    Raises:
        ValueError: The range of the pixel values is unknown.
    """
    if image.mode == "RGB":
        return image
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    from PIL.Image import fromarray

    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() >= _DEEP:
        raise ValueError("its pixels are not whole numbers of 8 or 16 bits")
    return fromarray((values.astype(np.uint32) // (_DEEP // 256)).astype(np.uint8)).convert("RGB")


def open_image(file: Path | BinaryIO, formats: tuple[str, ...] | None = None) -> ImageFile:
    """Opens an image file without decoding it.

    Args:
        file: The file, or its content.
        formats: Pillow's names of the formats that it may have; all that are read if None.

    Raises:
        OSError: It is not a file, or not of a format that is read.
    """
    from PIL import Image

    # To open a pipe would wait for its writer, and to read a device may never end.
    if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
        raise OSError("it is not a file, but a folder, a pipe, a socket or a device")
    return Image.open(file, formats=formats or _formats())


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    if reads_heif():
        import pillow_heif

        pillow_heif.register_heif_opener()
    # Old versions of Pillow do not know AVIF.
    return tuple(name for name in (*_FORMATS, "HEIF") if name in Image.OPEN)


def upright(image: Image) -> Image:
    """Rotates an opened image upright, as its camera noted, and converts it to RGB.

    Raises:
        ValueError: The image has no pixels or more than any camera's, or the range of its pixel values is unknown.
        OSError: The file of the image is damaged.
    """
    if not 0 < image.width * image.height <= MOST_PIXELS:
        much = f"{image.width} x {image.height} pixels, 1 to {MOST_PIXELS // 10**6} million are possible"
        raise ValueError(f"it is too {'large' if image.width and image.height else 'small'}: {much}")
    try:
        image.load()
        return to_rgb(_turned(image))
    except (OSError, ValueError):
        raise
    except Exception as error:
        # Decoders raise nearly everything when a file is damaged: struct.error, SyntaxError, AttributeError, …
        raise OSError(f"it is damaged: {error or type(error).__name__}") from error


def _turned(image: Image) -> Image:
    """Rotates an image as its EXIF says.

    `ImageOps.exif_transpose` also writes the rest of the EXIF again, which fails where an entry is malformed.
    """
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # An EXIF that cannot be read rotates nothing in any viewer, and the pixels are whole.
        return image
    return image if turn is None else image.transpose(turn)


def read_image(path: Path, least: int | None = None) -> Image:
    """Reads an image file; see `upright`.

    Args:
        path: The file.
        least: Pixels that are enough for each side; a JPEG is then decoded at a part of its size, which is faster.

    Raises:
        ValueError: See `upright`.
        OSError: The file cannot be read, is not an image, or is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_image(path) as opened:
            if least is not None:
                opened.draft(None, (least, least))
            return upright(opened)
    except Image.DecompressionBombError as error:
        raise ValueError(f"it is too large: {error}") from error
    except UnidentifiedImageError as error:
        known = ", ".join(_formats())
        raise OSError(f"it is not an image of a format that is read ({known}), or its beginning is damaged") from error
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise OSError(f"it is damaged: {error or type(error).__name__}") from error


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
            f"Put images ({', '.join(suffixes())}) into it, of the kind that the model will see.",
        )
