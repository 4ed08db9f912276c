import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nagsdk.common.files import check_replaceable, sha256, staged, sweep, write_atomically, writing
from nagsdk.errors import OutputError


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
    with pytest.raises(OutputError, match="cannot be made: No such file"):
        write_atomically(Path("new/file"), b"")
    with pytest.raises(OutputError, match="cannot be made: No such file"), staged(Path("new")):
        pass
    with pytest.raises(OutputError, match="cannot be made: No such file"):
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
    assert not (tmp_path / "out").exists() and len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


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


def test_other_errors_of_the_system_pass(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path):
        (tmp_path / "none").read_bytes()


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
