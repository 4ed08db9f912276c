import gzip
import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from nagsdk.common.content import kind_of


def zipped(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        if name:
            archive.writestr(name, "x")
    return content.getvalue()


def checkpoint(**options):
    content = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, content, **options)
    return content.getvalue()


def array():
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def image(kind):
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, kind)
    return content.getvalue()


# Archives hold the time at which they were made: their bytes cannot name a case.
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n\n", "empty"),
        (bytes(5000), "empty"),
        (" <!DOCTYPE html>\n<html>".encode("utf-8-sig"), "a web page"),
        (b"<HTML><body>404", "a web page"),
        ("ks,e,d,r\n".encode("utf-16"), "in UTF-16, as PowerShell and Excel write it"),
        (checkpoint(), "a checkpoint of PyTorch"),
        (checkpoint(_use_new_zipfile_serialization=False), "a pickle, such as a checkpoint of PyTorch"),
        (zipped("[Content_Types].xml"), "an Excel or Word file"),
        (zipped("a.csv"), "a zip archive"),
        (zipped(None), "a zip archive"),
        (bytes(100) + bytes(157) + b"ustar\x0000", "a tar archive"),
        (gzip.compress(b"ks,e,d,r\n"), "a compressed archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (array(), "an array of numpy"),
        (image("PNG"), "an image"),
        (image("JPEG"), "an image"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"%PDF-1.7", "a PDF"),
        (b"ks,e\0d", "no text"),
        (b"ks,e,d,r\n", ""),
        ('{"größe": 1}'.encode(), ""),
        ("größe".encode("latin-1"), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_files_are_named_as_what_they_are(tmp_path, content, kind):
    (tmp_path / "file").write_bytes(content)
    assert kind_of(tmp_path / "file") == kind
