import numpy as np
import pytest
from PIL import Image

from nagsdk.errors import ImagesMissingError
from nagsdk.images.preprocessing import Preprocessing, cut_tiles, read_folder

STEPS = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.25, 0.5), 0.875)


def test_pixels_are_scaled_cropped_and_normalised():
    image = Image.new("RGB", (300, 200), (255, 0, 51))
    (out,) = STEPS.apply([image], 64)
    assert out.shape == (3, 64, 64) and out.dtype == np.float32
    assert np.allclose(out[:, 0, 0], [(1 - 0.5) / 0.2, -0.4 / 0.25, (0.2 - 0.3) / 0.5], atol=1e-5)


def test_the_crop_is_central_and_keeps_its_share():
    pixels = np.zeros((128, 256, 3), np.uint8)
    pixels[:, 120:136] = 255
    (out,) = Preprocessing((0, 0, 0), (1, 1, 1), 0.5).apply([Image.fromarray(pixels)], 64)
    assert out[0, 32, 32] > 0.9 and out[0, 32, 0] < 0.1 and np.allclose(out[0], out[0, :, ::-1], atol=0.05)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16", "1"])
def test_every_kind_of_image_is_read(mode, tmp_path):
    image = Image.new(mode, (40, 30))
    assert STEPS.apply([image], 16).shape == (1, 3, 16, 16)


def test_files_that_are_not_images_are_skipped(tmp_path):
    (tmp_path / "deep").mkdir()
    for i in range(5):
        Image.new("RGB", (20, 20), (i, i, i)).save(tmp_path / "deep" / f"{i}.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (tmp_path / "text.txt").write_text("x")
    assert len(list(read_folder(tmp_path, 100))) == 5
    assert len(list(read_folder(tmp_path / "deep", 2))) == 2


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(ImagesMissingError, match="is not a folder"):
        list(read_folder(tmp_path / "none", 5))
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(ImagesMissingError, match="no readable image"):
        list(read_folder(tmp_path, 5))


def test_tiles_come_back_in_order(tmp_path):
    sheet = Image.new("RGB", (32, 32))
    for i in range(3):
        sheet.paste((i * 100, 0, 0), ((i % 2) * 16, (i // 2) * 16, (i % 2) * 16 + 16, (i // 2) * 16 + 16))
    sheet.save(tmp_path / "sheet.png")
    assert [tile.getpixel((8, 8))[0] for tile in cut_tiles(tmp_path / "sheet.png", 16, 3)] == [0, 100, 200]
