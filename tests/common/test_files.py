import ast
import errno
import os
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import psutil
import pytest

from nagsdk.common import config
from nagsdk.common.files import (
    PARTIAL,
    by_name,
    check_replaceable,
    sha256,
    staged,
    sweep,
    write_atomically,
    writing,
)
from nagsdk.common.reading import read_toml
from nagsdk.device.description import read_device
from nagsdk.errors import OutputError
from nagsdk.families import preset, preset_names
from nagsdk.project.lock import read_lock
from nagsdk.project.toml import read_project
from tests.conftest import REPOSITORY


def abandon(folder):
    """Makes a folder look as if nobody had touched it for two hours."""
    os.utime(folder, (time.time() - 7200,) * 2)


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
    with pytest.raises(OutputError, match="cannot be created: No such file"), staged(Path("new")):
        pass
    with pytest.raises(OutputError, match="cannot be created: No such file"):
        check_replaceable(Path("new"), "manifest.json")


def test_a_staged_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "out"
    for content in ("first", "second"):
        with staged(target) as folder:
            (folder / "f").write_text(content)
            assert not target.exists() or (target / "f").read_text() == "first"
    assert (target / "f").read_text() == "second"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failing_block_leaves_the_old_folder(tmp_path):
    target = tmp_path / "out"
    with staged(target) as folder:
        (folder / "f").write_text("first")
    with pytest.raises(RuntimeError), staged(target) as folder:
        (folder / "f").write_text("half")
        raise RuntimeError
    assert (target / "f").read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    script = (
        "import os, pathlib, sys; from nagsdk.common.files import staged\n"
        "with staged(pathlib.Path(sys.argv[1])) as f: (f / 'half').write_text('x'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")], check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    sweep(tmp_path)
    assert (left / "half").is_file()  # so young that a process of another machine may be writing it
    abandon(left)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_writes_is_kept(tmp_path):
    script = (
        "import pathlib, sys; from nagsdk.common.files import staged\n"
        "with staged(pathlib.Path(sys.argv[1])) as f: (f / 'half').write_text('x'); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        (stage,) = tmp_path.iterdir()
        abandon(stage)
        sweep(tmp_path)
        assert (stage / "half").is_file()
    assert writer.returncode == 0 and [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "kept"), [(psutil.NoSuchProcess, False), (psutil.ZombieProcess, False), (psutil.AccessDenied, True)]
)
def test_what_a_process_of_unknown_fate_left_is_kept(tmp_path, monkeypatch, error, kept):
    def ask(pid):
        raise error(pid)

    monkeypatch.setattr(psutil, "Process", ask)
    left = tmp_path / f"{PARTIAL}{os.getpid()}-left"
    left.mkdir()
    abandon(left)
    sweep(tmp_path)
    assert left.exists() == kept


def test_nothing_alive_is_swept_where_there_is_no_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    left = tmp_path / f"{PARTIAL}{os.getpid()}-left"
    left.mkdir()
    abandon(left)
    sweep(tmp_path)
    assert left.is_dir()


@pytest.mark.parametrize("name", ["mine", "-mine", "1x-mine", "99999999999-mine", "²-mine"])
def test_folders_of_other_names_are_not_swept(tmp_path, name):
    other = tmp_path / f"{PARTIAL}{name}"
    other.mkdir()
    abandon(other)
    sweep(tmp_path)
    assert other.is_dir()


def test_a_folder_is_replaced_where_none_may_be_overwritten(tmp_path, monkeypatch):
    """As on Windows."""
    rename = Path.rename

    def refusing(self, target):
        if Path(target).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refusing)
    monkeypatch.setattr(Path, "replace", refusing)
    test_a_staged_folder_takes_the_place_of_the_old_one(tmp_path)


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    target, rename = tmp_path / "out", Path.rename
    with staged(target) as folder:
        (folder / "f").write_text("first")

    def refusing(self, aim):
        if (self / "open").exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, aim)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(OutputError, match="Permission denied"), staged(target) as folder:
        (folder / "open").touch()
    assert (target / "f").read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_foreign_folders_are_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    check_replaceable(tmp_path / "out", "manifest.json")
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match="not a deployment"):
        check_replaceable(tmp_path / "out", "manifest.json")
    (tmp_path / "out" / "manifest.json").write_text("{}")
    check_replaceable(tmp_path / "out", "manifest.json")
    with pytest.raises(OutputError, match="is a file"):
        check_replaceable(tmp_path / "out" / "thesis.tex", "manifest.json")
    with pytest.raises(OutputError):
        check_replaceable(tmp_path / "out" / "thesis.tex" / "deeper", "manifest.json")


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
