"""Images."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np

from nagsdk.errors import DataError
from tests.fuzz import mutate
from tests.fuzz.formats import Formats, written

FORMATS = Formats()


def _image(suffix: str) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(content, suffix, **({"exif": exif} if suffix != "BMP" else {}))
    return content.getvalue()


def _use_image(content: bytes, folder: Path) -> None:
    from nagsdk.images.preprocessing import crop, read_image

    try:
        image = read_image(written(folder, "image.jpg", content))
    except (OSError, ValueError) as error:  # what callers of this function handle: they name the image
        raise DataError(str(error), "Leave it out.") from error
    crop(image, 20, 16)


for _suffix in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
    FORMATS.add(f"image: {_suffix}", partial(_image, _suffix), mutate.damaged_bytes, 0.5)(_use_image)
