import os
import socket
import sys

import pytest

from nagsdk.errors import DataError
from nagsdk.images.entries import (
    FILE,
    FOLDER,
    NOWHERE,
    SPECIAL,
    composed,
    entries,
    image_files,
    is_system_name,
    kind,
    one_line,
    some,
)
from tests.pictures import fill


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "__MACOSX", "System Volume Information", "Thumbs.db",
             "THUMBS.DB", ".DS_Store", "._0.jpg", ".git", "desktop.ini", "@Recycle", "RECYCLER"]
)  # fmt: skip
def test_names_of_systems_are_known_in_any_capitals(name):
    assert is_system_name(name)


@pytest.mark.parametrize("name", ["#hash", "$dollar", "@home", "eaDir", "lost", "recycled", "macosx", "0.jpg", "trash"])
def test_names_of_users_are_not_taken_for_those_of_systems(name):
    assert not is_system_name(name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_kinds_are_told_without_opening(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "none")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "x.jpg").write_bytes(b"x")
    expected = {"pipe.jpg": SPECIAL, "zero.jpg": SPECIAL, "gone.jpg": NOWHERE, "round.jpg": NOWHERE, "x.jpg": FILE}
    assert {path.name: kind(path) for path in entries(tmp_path)} == {**expected, "linked": FOLDER}


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="none cannot be read"):
        entries(tmp_path / "none")


def test_images_are_listed_without_what_systems_leave(tmp_path):
    fill(tmp_path, {"azure": 4})
    for name in (
        "@eaDir/000.png/SYNOPHOTO_THUMB_M.jpg",
        "__MACOSX/._000.png",
        ".hidden/x.jpg",
        "._001.png",
        "notes.txt",
    ):
        path = tmp_path / "azure" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "azure" / "pipe.png")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(tmp_path / "azure" / "socket.png"))
    assert [path.name for path in image_files(tmp_path, 100)] == ["000.png", "001.png", "002.png", "003.png"]


def test_every_name_can_be_shown_on_one_line():
    name = os.fsdecode(b"caf\xe9") + "\n\x1b[2J\u2028é"
    assert one_line(name) == "caf\\xe9\\n\\x1b[2J\\u2028é" and one_line("\ud800") == "\\ud800"
    assert some(["a\nb", *"cdefg"]) == "a\\nb, c, d, e, f and 1 more"
    assert composed("cafe\u0301") == "café"
