import io
import os
import random
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from nagsdk.errors import ImagesMissingError
from nagsdk.images import preprocessing
from nagsdk.images.preprocessing import Preprocessing, crop, read_folder, read_image
from nagsdk.images.sheets import read_sheet

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


def picture(size=(64, 48)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))


def with_exif(image, exif):
    """A JPEG file with these bytes as its EXIF."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    jpeg = out.getvalue()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


# Pillow reads these entries and cannot write them again: struct.error, AttributeError, TypeError and ValueError.
@pytest.mark.parametrize(
    ("tag", "kind", "value"), [(0x0100, 1, 8), (0x010F, 5, 8), (0x011A, 1, 8), (0x011A, 11, 2**32 - 1)]
)
def test_an_image_with_a_malformed_exif_is_whole_and_upright(tmp_path, tag, kind, value):
    path = tmp_path / "x.jpg"
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", tag, kind, 1, value)
    path.write_bytes(with_exif(picture(), b"Exif\0\0II*\0\x08\0\0\0\2\0" + entries + bytes(4)))
    plain = tmp_path / "plain.png"
    with Image.open(path) as opened:
        opened.convert("RGB").transpose(Image.Transpose.ROTATE_270).save(plain)
    assert (np.asarray(read_image(path)) == np.asarray(read_image(plain))).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 60000])
def test_an_exif_that_is_none_turns_nothing(tmp_path, exif):
    (tmp_path / "x.jpg").write_bytes(with_exif(picture(), exif))
    assert read_image(tmp_path / "x.jpg").size == (64, 48)


@pytest.mark.parametrize("orientation", range(1, 10))
def test_every_orientation_is_turned_as_pillow_does(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert (np.asarray(read_image(tmp_path / "x.png")) == expected).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_changed_files_are_read_or_refused_and_nothing_else(tmp_path, file_format):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    out, rng, path = io.BytesIO(), random.Random(1), tmp_path / "x.jpg"
    picture().save(out, file_format, **({"exif": exif} if file_format in ("JPEG", "PNG", "WEBP") else {}))
    for _ in range(80):
        changed = bytearray(out.getvalue())
        for _ in range(rng.choice([1, 2, 8])):
            changed[rng.randrange(min(len(changed), rng.choice([200, len(changed)])))] = rng.randrange(256)
        path.write_bytes(changed[: rng.choice([len(changed), rng.randrange(1, len(changed))])])
        try:
            assert crop(read_image(path), 16, 16).shape == (16, 16, 3)
        except (OSError, ValueError) as error:
            assert str(error)


@pytest.mark.parametrize("error", [struct.error("x"), AttributeError(), RecursionError(), zlib.error("x"), KeyError(1)])
def test_whatever_a_decoder_raises_is_the_fault_of_the_image(tmp_path, monkeypatch, error):
    picture().save(tmp_path / "x.png")

    def load(self):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(OSError, match="it is damaged"):
        read_image(tmp_path / "x.png")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    "content", [EPS, b"%PDF-1.4\n", b"8BPS\0\1" + bytes(99), b"\xd7\xcd\xc6\x9a" + bytes(99), b"P6 1 1 255 abc"]
)
def test_formats_that_need_programs_or_are_no_photographs_are_not_opened(tmp_path, content, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *args, **keys: pytest.fail("a program was run"))
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(OSError, match="not an image of a format that is read"):
        read_image(tmp_path / "x.jpg")
    with pytest.raises(ValueError, match="cannot identify"):
        read_sheet(tmp_path / "x.jpg", 1, 16)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "MPO"])
def test_common_formats_are_read_under_any_name(tmp_path, file_format):
    picture().save(tmp_path / "x.png", file_format)
    assert read_image(tmp_path / "x.png").size == (64, 48)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_pipes_and_devices_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(OSError, match="not a file, but"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg")


@pytest.mark.parametrize("size", [(1, 5_000_000), (5_000_000, 1), (2, 30_000)])
def test_strips_need_little_memory(size):
    image = Image.new("L", size, 7)
    image.paste(200, (0, size[1] // 2, size[0], size[1]) if size[1] > size[0] else (size[0] // 2, 0, *size))
    pixels = crop(image, 48, 40)  # scaled whole, the first would need 46 GB
    assert pixels.shape == (40, 40, 3)
    line = (pixels[:, 20, 0] if size[1] > size[0] else pixels[20, :, 0]).astype(int)
    assert (np.diff(line) >= 0).all() and line[0] < 60 and line[-1] > 150


@pytest.mark.parametrize("side", [32, 7])
def test_a_strip_is_cropped_as_if_it_were_scaled_whole(monkeypatch, side):
    for size in ((11, 2001), (1500, 13), (3, 700)):
        image = picture(size)
        monkeypatch.setattr(preprocessing, "_STRIP", 10**9)
        whole = crop(image, side, side).astype(int)
        monkeypatch.setattr(preprocessing, "_STRIP", 1)
        assert np.abs(crop(image, side, side).astype(int) - whole).max() <= 1


def test_heic_is_read_with_its_extra(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 10))).save(tmp_path / "x.heic")
    assert np.abs(np.asarray(read_image(tmp_path / "x.heic")).mean((0, 1)) - (200, 40, 10)).max() < 6
    assert len(list(read_folder(tmp_path, 5))) == 1
