import errno
import hashlib
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.errors import ConnectionLostError, DeviceError, UsageError
from nagsdk.lab.files import Files


def name_of(content):
    return hashlib.sha256(content).hexdigest() + ".onnx"


def put(files, content, part=7, upload=None):
    upload, offset = upload or uuid.uuid4().hex, 0
    while True:
        piece = content[offset : offset + part]
        offset = files.add(name_of(content), offset, len(content), piece, upload)
        if offset >= len(content):
            return files.path(name_of(content))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "files", 100, "bench")


@given(content=st.binary(min_size=1, max_size=60), part=st.integers(1, 70))
def test_a_file_arrives_whole_whatever_its_parts(tmp_path_factory, content, part):
    files = Files(tmp_path_factory.mktemp("files"), 100, "bench")
    assert files.missing([name_of(content)]) == [name_of(content)]
    assert put(files, content, part).read_bytes() == content
    assert files.missing([name_of(content)]) == []


def test_a_part_that_was_lost_is_asked_for_again(files):
    upload = uuid.uuid4().hex
    assert files.add(name_of(b"abcdef"), 0, 6, b"ab", upload) == 2
    assert files.add(name_of(b"abcdef"), 4, 6, b"ef", upload) == 2
    assert files.add(name_of(b"abcdef"), 0, 6, b"ab", upload) == 2
    assert files.add(name_of(b"abcdef"), 2, 6, b"cdef", upload) == 6


def test_those_that_were_not_used_for_longest_go_first(files):
    old, used, new = (bytes([number]) * 40 for number in range(3))
    for age, content in enumerate((old, used)):
        os.utime(put(files, content), (age, age))
    files.path(name_of(old))
    put(files, new)
    assert files.missing([name_of(old), name_of(used), name_of(new)]) == [name_of(used)]
    with pytest.raises(ConnectionLostError, match="does not hold"):
        files.path(name_of(used))


@pytest.mark.parametrize(
    "name", ["../x.onnx", "a" * 64, "A" * 64 + ".onnx", "a" * 64 + "./x", "", "a" * 63 + ".onnx", None]
)
def test_names_that_are_no_hashes_are_refused(files, name):
    for call in (
        lambda: files.path(name),
        lambda: files.missing([name]),
        lambda: files.add(name, 0, 1, b"x", "0" * 32),
    ):
        with pytest.raises(DeviceError):
            call()


def test_what_is_not_what_its_name_says_is_refused(files):
    with pytest.raises(UsageError, match="changed while it was sent"):
        files.add(name_of(b"one"), 0, 3, b"two", "0" * 32)
    with pytest.raises(UsageError, match="too large"):
        files.add(name_of(b"x"), 0, 101, b"x", "0" * 32)
    with pytest.raises(DeviceError):
        files.add(name_of(b"x"), 0, 1, b"x", "../../x")
    assert list(files.folder.iterdir()) == []


def test_a_full_disk_first_costs_old_files_and_then_the_upload(files, monkeypatch):
    old, new = b"o" * 50, b"n" * 40
    put(files, old)
    full, write = [True], Files._write

    def failing(partial: Path, offset, content):
        if full[0] or (files.folder / name_of(old)).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(partial, offset, content)

    monkeypatch.setattr(Files, "_write", staticmethod(failing))
    with pytest.raises(ConnectionLostError, match="No space left") as caught:
        put(files, new)
    assert "Free space" in caught.value.next_step
    assert not list(files.folder.glob("*.partial"))
    full[0] = False
    put(files, new)
    assert files.missing([name_of(new)]) == []
