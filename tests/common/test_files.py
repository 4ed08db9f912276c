import ast
import errno
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest

from nagsdk.common import config
from nagsdk.common.files import by_name, check_file, sha256, write_atomically, writing
from nagsdk.common.reading import read_toml
from nagsdk.device.description import read_device
from nagsdk.errors import OutputError
from nagsdk.families import preset, preset_names
from nagsdk.project.lock import read_lock
from nagsdk.project.toml import read_project
from tests.conftest import REPOSITORY


def test_a_write_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_folder_that_was_removed_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(OutputError, match="cannot be created: No such file"):
        write_atomically(Path("new/file"), b"")
    with pytest.raises(OutputError, match="cannot be created: No such file"):
        check_file(Path("new/file"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
@pytest.mark.parametrize(("mask", "rights"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path, mask, rights):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == rights


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such rights")
@pytest.mark.parametrize("rights", [0o600, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_rights(tmp_path, rights):
    write_atomically(tmp_path / "file", b"old")
    (tmp_path / "file").chmod(rights)
    write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").stat().st_mode & 0o777 == rights and (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="Windows has neither of them")
@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_only_files_are_replaced_by_files(tmp_path, kind):
    path, victim = tmp_path / "plot.svg", tmp_path / "victim"
    victim.write_text("mine")
    match kind:
        case "link":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    before = path.lstat()
    for refuse in (check_file, lambda path: write_atomically(path, b"new")):
        with pytest.raises(OutputError, match="is not replaced by a file"):
            refuse(path)
    assert path.lstat().st_ino == before.st_ino and victim.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plot.svg", "victim"]


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    check_file(tmp_path / "new" / "plot.svg")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    for path in (tmp_path / ("x" * 300), tmp_path / "file" / "plot.svg"):
        with pytest.raises(OutputError):
            check_file(path)


def test_paths_have_one_order_on_every_system():
    names = ["b/1.png", "B/2.png", "a/z.png", "Zebra/x.png", "a-b/x.png", "a/deep/x.png"]
    linux, windows = (
        [p.as_posix() for p in sorted(map(kind, names), key=by_name)] for kind in (PurePosixPath, PureWindowsPath)
    )
    assert linux == windows == [p.as_posix() for p in sorted(map(PurePosixPath, names))]


def test_other_errors_of_the_system_pass(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        (tmp_path / "none").read_bytes()


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


MARK = b"\xef\xbb\xbf"


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(MARK + b'name = "x"\r\ntext = """a\r\nb"""\r\n')
    assert read_toml(path, 1000, lambda message: OutputError(message, "")) == {"name": "x", "text": "a\nb"}
    path.write_bytes('name = "x"\n'.encode("utf-16"))
    with pytest.raises(OutputError, match="UTF-16"):
        read_toml(path, 1000, lambda message: OutputError(message, ""))


def test_every_kind_of_text_of_users_may_have_a_mark(tmp_path, monkeypatch):
    (tmp_path / "nagsdk.toml").write_bytes(MARK + b'[deployments.one]\r\ndevice = "cpu"\r\nbudget = "1ms"\r\n')
    assert [declared.name for declared in read_project(tmp_path / "nagsdk.toml").deployments] == ["one"]
    (tmp_path / "nagsdk.lock").write_bytes(MARK + b'{"format": 1, "deployments": {}}')
    assert read_lock(tmp_path / "nagsdk.lock").deployments == {}
    (tmp_path / "board.toml").write_bytes(MARK + b'id = "board"\ntitle = "A board"\nbackend = "onnxruntime"\n')
    assert read_device(tmp_path / "board.toml").id == "board"
    (tmp_path / "config.toml").write_bytes(MARK + b'device = "board"\n')
    monkeypatch.setenv("NAGSDK_CONFIG", str(tmp_path / "config.toml"))
    assert config.value("device") == "board"
    space = preset(preset_names()[0])
    space.write_table(tmp_path / "a.csv", space.decode(space.sample(3, np.random.default_rng(0))))
    (tmp_path / "b.csv").write_bytes(MARK + (tmp_path / "a.csv").read_bytes())
    assert (space.read_table(tmp_path / "a.csv")[0] == space.read_table(tmp_path / "b.csv")[0]).all()


def test_text_has_the_same_bytes_on_every_system():
    """Systems have newlines and encodings of their own, and they differ in what is hashed or carried to another."""
    wrong = []
    for path in (p for part in ("nagsdk", "plugins") for p in (REPOSITORY / part).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)):
            given = {keyword.arg for keyword in call.keywords}
            match call.func:
                case ast.Attribute(attr="write_text") if "newline" not in given:
                    wrong.append((path.name, call.lineno))
                case ast.Attribute(attr="read_text") if not call.args and "encoding" not in given:
                    wrong.append((path.name, call.lineno))
                case ast.Attribute(attr="open" | "fdopen") | ast.Name(id="open"):
                    modes = [
                        a.value for a in call.args if isinstance(a, ast.Constant) and set(str(a.value)) <= set("rwxa+t")
                    ]
                    if modes and "encoding" not in given:
                        wrong.append((path.name, call.lineno))
    assert not wrong
