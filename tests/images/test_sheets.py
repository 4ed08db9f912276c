import io

import numpy as np
import pytest
from PIL import Image

from nagsdk.images.sheets import most_on_sheet, read_sheet, write_sheet


def test_sheets_keep_every_picture_in_its_place(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (70, 1, 1, 3), dtype=np.uint8)
    images = np.broadcast_to(colours, (70, 16, 16, 3))
    write_sheet(images, tmp_path / "s.webp")
    back = read_sheet(tmp_path / "s.webp", 70, 16)
    # Colour is stored at half the resolution and smoothed over edges, so the outermost pixels show the neighbours'
    # colour.
    assert np.abs(back.astype(int) - images)[:, 2:-2, 2:-2].max() < 12
    with pytest.raises(ValueError, match="multiple of 16"):
        write_sheet(images[:, :15, :15], tmp_path / "t.webp")


def test_lossless_sheets_give_the_same_pictures_back(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), dtype=np.uint8)
    write_sheet(images, tmp_path / "s.webp", lossless=True)
    assert (read_sheet(tmp_path / "s.webp", 70, 16) == images).all()


def test_large_pictures_are_found_again_by_the_bundles_reader(tmp_path):
    grey = np.arange(0, 80, dtype=np.uint8).reshape(80, 1, 1, 1) * 3
    write_sheet(np.broadcast_to(grey, (80, 272, 272, 3)), tmp_path / "s.webp")
    tiles = read_sheet(tmp_path / "s.webp", 80, 272)
    assert max(abs(int(tile.mean()) - 3 * i) for i, tile in enumerate(tiles)) <= 2
    assert most_on_sheet(256) < 1300 and most_on_sheet(48) > 2560


def sheet(width, height, file_format="PNG"):
    content = io.BytesIO()
    Image.new("1" if file_format == "PNG" else "RGB", (width, height)).save(content, file_format)
    return io.BytesIO(content.getvalue())


def test_tiles_come_back_in_order(tmp_path):
    picture = Image.new("RGB", (32, 32))
    for i in range(3):
        picture.paste((i * 100, 0, 0), ((i % 2) * 16, (i // 2) * 16, (i % 2) * 16 + 16, (i // 2) * 16 + 16))
    picture.save(tmp_path / "sheet.png")
    assert read_sheet(tmp_path / "sheet.png", 3, 16)[:, 8, 8, 0].tolist() == [0, 100, 200]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: io.BytesIO(), "not a readable image"),
        (lambda: io.BytesIO(b"no image"), "not a readable image"),
        (lambda: sheet(32, 32, "BMP"), "not a readable image"),  # nothing writes sheets in other formats
        (lambda: io.BytesIO(sheet(64, 64, "WEBP").getvalue()[:40]), "not a readable image"),
        (lambda: sheet(1, 1), "1 x 1 pixels"),
        (lambda: sheet(40, 32), "40 x 32 pixels"),
        (lambda: sheet(32, 16), "32 x 16 pixels"),  # two images only
        (lambda: sheet(32, 48), "32 x 48 pixels"),  # a row of another image size, or too many images
        (lambda: sheet(10_000, 10_000), "10000 x 10000 pixels"),
        (lambda: sheet(30_000, 30_000), "too large"),
    ],
)
def test_sheets_that_do_not_hold_the_images_are_refused(made, says):
    with pytest.raises(ValueError, match=says):
        read_sheet(made(), 3, 16)
