import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.common.reading import json_of, lines_of, opened, read_bytes, read_json, read_text, read_toml
from nagsdk.errors import UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names are POSIX")


def toml(path):
    return read_toml(path, 1000, lambda message: UsageError(message, ""))


@posix
@pytest.mark.parametrize("read", [opened, lambda p: read_bytes(p, 9), lambda p: list(lines_of(p, 9, 9))])
def test_only_regular_files_are_read_and_nothing_waits(tmp_path, monkeypatch, read):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # the whole name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "pipe"), ("socket", "socket"), ("endless", "device"), ("folder", "folder")):
        with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
            read(tmp_path / name)
    with pytest.raises(OSError, match="cannot be that of a file"):
        read(tmp_path / "a\0b")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="there is no /proc")
def test_a_size_that_the_system_does_not_know_is_counted():
    with pytest.raises(OSError, match="larger than 0.01 kB"):  # the size of files in /proc is said to be 0
        read_bytes(Path("/proc/self/maps"), 10)


def test_a_size_is_a_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"ab\ncd\n")
    assert read_bytes(path, 6) == b"ab\ncd\n" and list(lines_of(path, 6, 2)) == [b"ab", b"\n", b"cd", b"\n"]
    for read in (lambda: read_bytes(path, 5), lambda: list(lines_of(path, 5, 9))):
        with pytest.raises(OSError, match="larger than"):
            read()


def test_text_may_begin_with_a_mark(tmp_path):
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "t", 9) == "{}" and read_json(tmp_path / "t", 9) == {}
    (tmp_path / "t").write_bytes(b"\xff")
    with pytest.raises(ValueError):
        read_json(tmp_path / "t", 9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "[-Infinity]",
        "1e999",
        "1" * 30,
        "1" * 5000,
        str(2**64),
        "[" * 100_000,
        '{"a":' * 5000,
        '"\\ud800"',
        '{"\\uDfff": 1}',
        b"\xff\xfe{\0}\0",
    ],
)
def test_json_that_later_work_could_not_handle_is_refused(text):
    with pytest.raises(ValueError) as caught:
        json_of(text)
    assert len(str(caught.value)) < 200


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_other_json_is_read_as_the_standard_library_reads_it(value):
    assert json_of(json.dumps(value)) == value and json_of(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text",
    ["a = nan", "a = [inf]", f"a = {2**64}", f"a = {'9' * 5000}", 'a = "x\\u0000"', '"\\u0000" = 1', "a=" + "[" * 5000],
)
def test_toml_that_later_work_could_not_handle_is_refused(tmp_path, text):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(UsageError):
        read_toml(tmp_path / "t.toml", 10**6, lambda message: UsageError(message, ""))


def test_toml_of_every_type_is_read(tmp_path):
    (tmp_path / "t.toml").write_text("a = [1, 2.5, true, 'x']\n[b]\nc = 2026-01-01\n")
    assert toml(tmp_path / "t.toml")["a"] == [1, 2.5, True, "x"]
