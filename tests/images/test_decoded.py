import errno
import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nagsdk.errors import DataError, OutputError
from nagsdk.images import decoded as pixels
from nagsdk.images.decoded import decode
from nagsdk.images.folder import scan
from nagsdk.images.preprocessing import read_folder, read_image
from tests.pictures import COLOURS, fill

GREY = np.repeat(np.arange(0, 65536, 2048, dtype=np.uint16)[None], 32, 0)


def odd_images(folder):
    """Files that are fine, but not plain RGB."""
    colour = Image.new("RGB", (40, 32), (200, 60, 20))
    colour.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(GREY).save(folder / "deep.png")
    colour.convert("P").save(folder / "palette.png")
    colour.convert("RGBA").save(folder / "alpha.png")
    colour.convert("L").save(folder / "grey.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (40, 20), (10, 10, 10))
    wide.paste((250, 250, 250), (0, 0, 20, 20))
    wide.save(folder / "turned.jpg", exif=exif, quality=95)


def test_every_mode_becomes_rgb(tmp_path):
    odd_images(tmp_path)
    assert np.abs(np.asarray(read_image(tmp_path / "cmyk.jpg")).mean((0, 1)) - (200, 60, 20)).max() < 6
    deep = np.asarray(read_image(tmp_path / "deep.png"))
    assert deep.shape == (32, 32, 3) and (deep[0, :, 0] == GREY[0] // 256).all()
    turned = np.asarray(read_image(tmp_path / "turned.jpg"))
    assert turned.shape == (40, 20, 3) and turned[:10].mean() > 240 and turned[-10:].mean() < 20
    assert len(list(read_folder(tmp_path, 100))) == 6


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(tmp_path, mode):
    Image.new(mode, (8, 8), 70000).save(tmp_path / "x.tiff")
    with pytest.raises(ValueError, match="8 or 16 bits"):
        read_image(tmp_path / "x.tiff")


def test_images_are_decoded_once_into_squares(tmp_path, monkeypatch):
    root = fill(tmp_path / "data", {"azure": 10, "brick": 10})
    odd_images(root / "azure")
    found = decode(scan(root), 16)
    assert {name: part.images.shape for name, part in found.items()} == {
        name: (len(part.paths), 16, 16, 3) for name, part in scan(root).parts.items()
    }
    brick = found["train"].images[found["train"].labels == 1]
    assert np.abs(brick[:, 6:10, 6:10].mean((0, 1, 2)) - COLOURS["brick"]).max() < 15
    monkeypatch.setattr(pixels, "read_image", lambda path: pytest.fail("decoded again"))
    again = decode(scan(root), 16)
    assert all(
        (again[name].images == part.images).all() and (again[name].labels == part.labels).all()
        for name, part in found.items()
    )


def test_broken_images_are_all_named_and_left_out_on_request(tmp_path, monkeypatch):
    root = fill(tmp_path / "data", {"azure": 25, "brick": 25})
    whole = (root / "azure" / "000.png").read_bytes()
    (root / "azure" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (root / "azure" / "empty.jpg").write_bytes(b"")
    (root / "brick" / "text.jpg").write_text("not an image")
    monkeypatch.setattr("nagsdk.images.preprocessing.MOST_PIXELS", 10_000)
    Image.new("RGB", (200, 100)).save(root / "brick" / "huge.png")
    with pytest.raises(DataError, match="4 images") as caught:
        decode(scan(root), 16)
    complaints = (_store() / "broken.txt").read_text()
    assert all(
        name in complaints for name in ("torn.png", "empty.jpg", "text.jpg", "huge.png: it is too large: 200 x 100")
    )
    assert "--skip-broken" in caught.value.next_step
    found = decode(scan(root), 16, skip_broken=True)
    assert sum(len(part.labels) for part in found.values()) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems have no such names")
def test_broken_images_of_any_name_are_listed_one_a_line(tmp_path):
    root = fill(tmp_path / "data", {"azure": 12, "brick": 12})
    for name in (b"caf\xe9.jpg", b"two\nlines.jpg", "odd\u2028.jpg".encode()):
        (root / "azure" / os.fsdecode(name)).write_bytes(b"broken")
    with pytest.raises(DataError, match="3 images"):
        decode(scan(root), 16)
    complaints = (_store() / "broken.txt").read_text("utf-8").splitlines()
    assert len(complaints) == 3
    assert all(any(name in line for line in complaints) for name in (r"caf\xe9.jpg", r"two\nlines", r"odd\u2028.jpg"))


def test_an_image_whose_decoder_fails_in_an_odd_way_is_listed(tmp_path, monkeypatch):
    root = fill(tmp_path / "data", {"azure": 12, "brick": 12})
    (root / "brick" / "000.png").rename(root / "brick" / "odd.png")
    load = PngImagePlugin.PngImageFile.load

    def fail(self):
        if "odd" in str(self.filename):
            raise struct.error("unpack requires a buffer of 4 bytes")
        return load(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(DataError, match=r"1 image cannot be used: .*odd.png: it is damaged: unpack"):
        decode(scan(root), 16)
    assert sum(len(part.labels) for part in decode(scan(root), 16, skip_broken=True).values()) == 23


def _store():
    from nagsdk.common.folders import cache_folder

    (store,) = (cache_folder() / "pixels").iterdir()
    return store


def test_a_class_of_broken_images_only_is_refused(tmp_path):
    root = fill(tmp_path / "data", {"azure": 6, "brick": 6})
    for file in (root / "brick").iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"no image in train that can be decoded: brick"):
        decode(scan(root), 16, skip_broken=True)


def test_too_little_space_is_reported_before_decoding_and_a_full_disk_is_named(tmp_path, monkeypatch):
    root = fill(tmp_path / "data", {"azure": 6, "brick": 6})
    monkeypatch.setattr(pixels.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="9.2e-06 GB"):
        decode(scan(root), 16)
    monkeypatch.undo()

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixels, "_flush", full)
    with pytest.raises(OutputError, match="full"):
        decode(scan(root), 16)
    monkeypatch.undo()
    assert len(decode(scan(root), 16)["train"].labels) == len(scan(root).parts["train"].paths)
