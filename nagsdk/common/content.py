"""Says what a file is by its first bytes, for errors about files of another kind."""

from __future__ import annotations

from pathlib import Path

from nagsdk.common.reading import opened

# What callers treat apart from other kinds.
EMPTY, PAGE, LFS = "empty", "a web page", "a pointer of Git LFS"
ARCHIVE, TAR, ZIP = "a compressed archive", "a tar archive", "a zip archive"
CHECKPOINT, PICKLE = "a checkpoint of PyTorch", "a pickle, such as a checkpoint of PyTorch"
BINARY = "no text"

_HEAD = 4096
_STARTS = (
    ((b"\xff\xfe", b"\xfe\xff"), "in UTF-16, as PowerShell and Excel write it"),
    ((b"version https://git-lfs",), LFS),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd"), ARCHIVE),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), PICKLE),
    ((b"\xd0\xcf\x11\xe0",), "an Excel or Word file"),
    ((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF"), "an image"),
    ((b"%PDF",), "a PDF"),
    ((b"\x93NUMPY",), "an array of numpy"),
    ((b"PAR1",), "a Parquet file"),
)
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")


def kind_of(path: Path) -> str:
    """Returns what a file is, such as ``a web page``; empty if it may be a text, such as CSV or JSON.

    Args:
        path: An existing file.

    Raises:
        OSError: The file cannot be read.
    """
    with opened(path) as file:
        head = file.read(_HEAD)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if b"data.pkl" in head:
            return CHECKPOINT
        return "an Excel or Word file" if b"[Content_Types].xml" in head or b"xl/" in head else ZIP
    if head[257:262] == b"ustar":
        return TAR
    for starts, kind in _STARTS:
        if head.startswith(starts):
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").strip(b"\0\t\r\n ")
    if not text:
        return EMPTY
    if text.lower().startswith(_PAGES):
        return PAGE
    return BINARY if b"\0" in head else ""
