"""What is temporary is there while its maker lives, and swept when it is dead, on this system or on another."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.common import temporary
from nagsdk.common.files import write_atomically
from nagsdk.common.temporary import CONTENT, LOCK, OLD, PARTIAL, RECORD, sweep, temporary_file, temporary_folder

posix = pytest.mark.skipif(os.name != "posix", reason="Windows removes no open files, and knows no owners")
ELSEWHERE = "0" * 12


def killed(code, *arguments):
    """Runs code in a process that then kills itself."""
    script = f"import os, sys; from pathlib import Path; from nagsdk.common import temporary as t\n{code}\nos._exit(9)"
    assert subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=False).returncode == 9


def silent(path):
    os.utime(path, (time.time() - 7200,) * 2)


def forged(parent, system=ELSEWHERE, **files):
    """A temporary folder as another process or a stranger may have left it; by default of another system."""
    folder = parent / f"{PARTIAL}{system}-{'1' * 16}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_json", ".json")).write_text(content)
    return folder


def test_a_temporary_folder_is_private_and_removed():
    with temporary_folder() as folder:
        (folder / "x").write_text("x")
        assert os.name != "posix" or folder.parent.stat().st_mode & 0o777 == 0o700
        assert folder.parent.parent == Path(tempfile.gettempdir())
    assert not folder.parent.exists()


def test_a_temporary_folder_is_removed_whatever_happens(tmp_path):
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path) as folder:
        (folder / "deep").mkdir()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["beside", "system"])
def test_the_next_run_removes_what_a_killed_one_left(tmp_path, monkeypatch, where):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    parent = tmp_path if where == "beside" else None
    given = "Path(sys.argv[1])" if where == "beside" else "None"
    killed(f"space = t.temporary_folder({given}); folder = space.__enter__(); (folder / 'x').touch()", tmp_path)
    (left,) = tmp_path.iterdir()
    assert (left / CONTENT / "x").exists()
    with temporary_folder(parent):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    killed("file = t.temporary_file(Path(sys.argv[1])); file.__enter__()", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(tmp_path / "file", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_living_process_uses_is_kept(tmp_path):
    script = (
        "import sys; from pathlib import Path; from nagsdk.common.temporary import temporary_file, temporary_folder\n"
        "place = Path(sys.argv[1])\n"
        "with temporary_folder(place), temporary_file(place): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        user.stdout.readline()
        used = sorted(tmp_path.iterdir())
        for path in used:
            silent(path / LOCK if path.is_dir() else path)
        sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == used and len(used) == 2
    sweep(tmp_path)


def test_what_this_process_uses_is_kept(tmp_path):
    with temporary_folder(tmp_path) as folder, temporary_file(tmp_path) as (file, descriptor):
        sweep(tmp_path)
        assert folder.is_dir() and file.is_file()
        os.close(descriptor)


@pytest.mark.parametrize("age", ["young", "silent"])
def test_what_another_system_made_is_kept_until_it_is_silent(tmp_path, age):
    """Locks may not be seen across machines that share a disk."""
    folder, file = forged(tmp_path, lock=""), tmp_path / f"{PARTIAL}{ELSEWHERE}-{'2' * 16}"
    file.touch()
    if age == "silent":
        silent(folder / LOCK)
        silent(file)
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == (0 if age == "silent" else 2)


def test_a_user_of_a_temporary_folder_is_never_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "_BEAT_S", 0.01)
    with temporary_folder(tmp_path) as folder:
        lock = folder.parent / LOCK
        silent(lock)
        deadline = time.monotonic() + 60
        while lock.stat().st_mtime < time.time() - 3600 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock.stat().st_mtime > time.time() - 3600


@pytest.mark.parametrize("name", [f"{PARTIAL}checkpoint", f"{PARTIAL}123-abc", "nagsdk-models", f"{PARTIAL}x"])
def test_folders_of_other_names_are_not_swept(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    (tmp_path / f"{name}-file").touch()
    sweep(tmp_path)
    assert (tmp_path / name / "mine").exists() and (tmp_path / f"{name}-file").exists()


@posix
def test_what_another_user_left_is_kept(tmp_path, monkeypatch):
    folder = forged(tmp_path, lock="")
    silent(folder / LOCK)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    sweep(tmp_path)
    assert folder.exists()


@posix
@pytest.mark.parametrize("part", [LOCK, CONTENT, OLD, RECORD])
def test_links_in_a_strangers_folder_are_not_followed(tmp_path, part):
    victim, place = tmp_path / "victim", tmp_path / "place"
    victim.mkdir()
    place.mkdir()
    (victim / "thesis").write_text("mine")
    record = json.dumps({"target": "victim", "names": ["thesis"]})
    (victim / RECORD).write_text(record)
    folder = forged(place, lock="", record_json=record)
    silent(folder / LOCK)
    (folder / part).unlink(missing_ok=True)
    (folder / part).symlink_to(victim / RECORD if part in (LOCK, RECORD) else victim)
    sweep(place)
    assert sorted(p.name for p in victim.iterdir()) == [RECORD, "thesis"] and not (place / "victim").is_symlink()


@posix
@pytest.mark.parametrize("part", [LOCK, RECORD])
def test_pipes_and_endless_files_in_a_strangers_folder_stop_nothing(tmp_path, part):
    folder = forged(tmp_path, lock="")
    silent(folder / LOCK)
    (folder / part).unlink(missing_ok=True)
    os.mkfifo(folder / part)
    sweep(tmp_path)


RECORDS = st.one_of(
    st.binary(max_size=40),
    st.just(b"[" * 100_000),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["target", "names"]), inner),
        max_leaves=6,
    ).map(lambda content: json.dumps(content).encode()),
    st.sampled_from(["../victim", "..", ".", "", "/etc", "a/b", "\0"]).map(
        lambda name: json.dumps({"target": name, "names": ["thesis"]}).encode()
    ),
)


@settings(max_examples=150, deadline=None)
@given(record=RECORDS)
def test_a_forged_record_moves_nothing_out_of_its_folder(record):
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "place"
        (place / "mine").mkdir(parents=True)
        (place / "mine" / "thesis").touch()
        folder = forged(place, lock="")
        (folder / RECORD).write_bytes(record)
        (folder / OLD / "hooks").mkdir(parents=True)
        silent(folder / LOCK)
        sweep(place)
        assert [p.name for p in Path(name).iterdir()] == ["place"] and (place / "mine" / "thesis").exists()


def test_a_repository_with_hooks_is_not_restored(tmp_path):
    folder = forged(tmp_path, lock="", record_json=json.dumps({"target": ".git", "names": []}))
    (folder / OLD / "hooks").mkdir(parents=True)
    silent(folder / LOCK)
    sweep(tmp_path)
    assert not (tmp_path / ".git").exists()
