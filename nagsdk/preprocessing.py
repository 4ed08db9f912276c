"""From image files to the numbers a network reads: the same steps in evaluation and in an app."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nagsdk.errors import ImagesMissingError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input.

    RGB, the shorter side resized to resolution / crop_fraction (bilinear with antialiasing), the centre
    cropped, pixels scaled to 0–1, then (x − mean) / std per channel, layout NCHW.

    Attributes:
        mean: Per channel, of pixels in 0–1.
        std: Per channel, of pixels in 0–1.
        crop_fraction: Share of the shorter side that the centre crop keeps.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_fraction: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """The steps as manifests state them."""
        return {"color": "RGB", "resize": "bilinear-antialias", "layout": "NCHW", "scale": 1 / 255, **asdict(self)}

    def apply(self, images: Sequence[Image], resolution: int) -> NDArray[np.float32]:
        """Normalised pixels of Pillow images, float32, shape (n, 3, resolution, resolution)."""
        return self.normalised(np.stack([self._crop(image, resolution) for image in images]))

    def normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Inputs (n, 3, h, w) of RGB pixels (n, h, w, 3) that have their size already."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def _crop(self, image: Image, resolution: int) -> NDArray[np.uint8]:
        from PIL.Image import Resampling

        side = round(resolution / self.crop_fraction)
        width, height = image.size
        scale = side / min(width, height)
        resized = image.convert("RGB").resize((max(side, round(width * scale)), max(side, round(height * scale))), Resampling.BILINEAR)
        left, top = (resized.width - resolution) // 2, (resized.height - resolution) // 2
        return np.asarray(resized.crop((left, top, left + resolution, top + resolution)))


def cut_tiles(sheet: Path, tile: int, count: int) -> list[Image]:
    """The tiles of a contact sheet, row by row."""
    from PIL import Image

    with Image.open(sheet) as opened:
        whole = opened.convert("RGB")
    columns = whole.width // tile
    return [
        whole.crop(((i % columns) * tile, (i // columns) * tile, (i % columns + 1) * tile, (i // columns + 1) * tile)) for i in range(count)
    ]


def image_files(folder: Path, most: int) -> list[Path]:
    """Files of images in a folder and its subfolders, `most` at most, spread evenly over the sorted names."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return paths[:: max(1, len(paths) // most)][:most]


def read_folder(folder: Path, most: int) -> Iterator[Image]:
    """Images of a folder and its subfolders, spread evenly over the sorted names.

    Args:
        folder: Where to look.
        most: How many to read at most.

    Raises:
        ImagesMissingError: There is no folder, or no readable image in it.
    """
    from PIL import Image, UnidentifiedImageError

    if not folder.is_dir():
        raise ImagesMissingError(f"{folder} is no folder.", "Name a folder of JPEG, PNG, WebP or BMP images with --images.")
    found = 0
    for path in image_files(folder, most):
        try:
            with Image.open(path) as opened:
                yield opened.convert("RGB")
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError, ValueError):
            continue
        found += 1
    if found == 0:
        raise ImagesMissingError(
            f"{folder} holds no readable image.", f"Put images ({', '.join(SUFFIXES)}) of the kind that the model will see there."
        )
