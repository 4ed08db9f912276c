import numpy as np
import pytest

from nagsdk.images.preprocessing import cut_tiles
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


def test_large_pictures_are_found_again_by_the_bundles_reader(tmp_path):
    grey = np.arange(0, 80, dtype=np.uint8).reshape(80, 1, 1, 1) * 3
    write_sheet(np.broadcast_to(grey, (80, 272, 272, 3)), tmp_path / "s.webp")
    tiles = cut_tiles(tmp_path / "s.webp", 272, 80)
    assert max(abs(int(np.asarray(tile).mean()) - 3 * i) for i, tile in enumerate(tiles)) <= 2
    assert most_on_sheet(256) < 1300 and most_on_sheet(48) > 2560
