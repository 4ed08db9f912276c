"""Nothing of the user's is lost when a folder is replaced, whenever the process dies."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nagsdk.common import outputs, temporary
from nagsdk.common.outputs import Kind, check_replaceable, staged
from nagsdk.common.temporary import sweep
from nagsdk.errors import OutputError, UsageError


def listed(folder):
    try:
        return {"marker", *json.loads((folder / "marker").read_bytes())}
    except FileNotFoundError as error:
        raise UsageError("no marker", "") from error


THING = Kind("a thing", listed)
posix = pytest.mark.skipif(os.name != "posix", reason="needs links and rights of POSIX")


def write(folder, content, *names):
    names = names or ("f",)
    with staged(folder, THING) as stage:
        for name in names:
            (stage / name).write_text(content)
        (stage / "marker").write_text(json.dumps(names))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(params=["swap", "renames"])
def way(request, monkeypatch):
    """Both ways of replacing a folder, of which some file systems have the second one only."""
    if request.param == "renames":
        monkeypatch.setattr(outputs, "swap", lambda first, second: False)


@pytest.mark.usefixtures("way")
def test_a_staged_folder_takes_the_place_of_the_old_one(tmp_path):
    target = tmp_path / "out"
    write(target, "first", "f", "g")
    write(target, "second", "f", "h")
    assert contents(target) == {"f": "second", "h": "second", "marker": '["f", "h"]'}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("way")
def test_a_failing_block_leaves_the_old_folder(tmp_path):
    target = tmp_path / "out"
    write(target, "first")
    with pytest.raises(RuntimeError), staged(target, THING) as folder:
        (folder / "f").write_text("half")
        raise RuntimeError
    assert contents(target)["f"] == "first" and list(tmp_path.iterdir()) == [target]


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_folders_have_the_rights_that_the_umask_leaves_or_keep_theirs(tmp_path, mask):
    target, before = tmp_path / "out", os.umask(mask)
    try:
        write(target, "first")
    finally:
        os.umask(before)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask
    for rights in (0o700, 0o750):
        target.chmod(rights)
        write(target, "second")
        assert target.stat().st_mode & 0o777 == rights


def test_droppings_of_file_managers_do_not_make_a_folder_foreign(tmp_path):
    write(tmp_path / "out", "first")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "out" / name).touch()
    check_replaceable(tmp_path / "out", THING)
    write(tmp_path / "out", "second")
    assert contents(tmp_path / "out")["f"] == "second" and [p.name for p in tmp_path.iterdir()] == ["out"]


FOREIGN = {
    "a file": lambda out: (out / "NOTES.txt").write_text("mine"),
    "a repository": lambda out: (out / ".git").mkdir(),
    "a hidden file": lambda out: (out / ".env").write_text("mine"),
    "a listed name that is a folder": lambda out: ((out / "f").unlink(), (out / "f").mkdir()),
    "a dropping that is a folder": lambda out: (out / "Thumbs.db").mkdir(),
    "no description": lambda out: (out / "marker").unlink(),
    "a description of something else": lambda out: (out / "marker").write_text("<html>"),
    "a description of another type": lambda out: (out / "marker").write_text("5"),
    "a description that is a folder": lambda out: ((out / "marker").unlink(), (out / "marker").mkdir()),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.usefixtures("way")
def test_a_folder_with_anything_foreign_stays_as_it_is(tmp_path, what):
    out = tmp_path / "out"
    write(out, "first", "f", "g")
    FOREIGN[what](out)
    before = contents(out), sorted(out.iterdir())
    with pytest.raises(OutputError, match="holds files that are not a thing of nagsdk: "):
        check_replaceable(out, THING)
    assert (contents(out), sorted(out.iterdir())) == before and list(tmp_path.iterdir()) == [out]
    with pytest.raises(OutputError, match=r"The new result is in .*out\.new-"):
        write(out, "second")
    assert (contents(out), sorted(out.iterdir())) == before
    (kept,) = (path for path in tmp_path.iterdir() if path != out)
    assert contents(kept)["f"] == "second"


@posix
@pytest.mark.parametrize("what", ["a listed file", "the marker"])
def test_a_link_in_place_of_a_file_makes_a_folder_foreign(tmp_path, what):
    out, mine = tmp_path / "out", tmp_path / "mine"
    write(out, "first")
    mine.write_text('["f"]')
    name = "f" if what == "a listed file" else "marker"
    (out / name).unlink()
    (out / name).symlink_to(mine)
    with pytest.raises(OutputError, match=f"not a thing of nagsdk: {name}"):
        check_replaceable(out, THING)


def test_some_of_many_foreign_files_are_named(tmp_path):
    for number in range(9):
        (tmp_path / f"mine{number}").touch()
    with pytest.raises(OutputError, match="mine0, mine1, mine2, mine3, mine4 and 4 more"):
        check_replaceable(tmp_path, THING)


@pytest.mark.parametrize("where", [".", "..", "", "/", "~"])
def test_folders_that_are_needed_are_refused(tmp_path, monkeypatch, where):
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    with pytest.raises(OutputError, match=r"cannot be replaced|\.\. does not end in"):
        check_replaceable(Path(where).expanduser(), THING)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "home"]


def test_a_deployment_in_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path / "out", "first")
    monkeypatch.chdir(tmp_path / "out")
    for where in (Path(), tmp_path / "out", Path("../out")):
        with pytest.raises(OutputError, match="is the current folder"):
            check_replaceable(where, THING)


def test_a_folder_where_a_disk_is_mounted_is_refused(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path.resolve() / "out")
    with pytest.raises(OutputError, match="a disk is mounted"):
        check_replaceable(tmp_path / "out", THING)


@posix
@pytest.mark.parametrize("aim", ["thing", "empty", "nowhere", "link"])
def test_links_are_refused(tmp_path, aim):
    write(tmp_path / "thing", "first")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / aim)
    with pytest.raises(OutputError, match="is a link to"):
        check_replaceable(tmp_path / "link", THING)
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "thing")["f"] == "first"


@pytest.mark.parametrize(
    "path", ["x" * 256, "/".join(["d" * 200] * 25), "file", "file/below", "new/..", "a/" + "x" * 300 + "/b"]
)
def test_paths_that_cannot_be_written_are_refused_before_the_work(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        check_replaceable(tmp_path / path, THING)
    assert contents(tmp_path) == {"file": "mine"}


def test_the_longest_names_are_written(tmp_path):
    for name in ("x" * 255, "日" * 85):
        check_replaceable(tmp_path / name, THING)
        for content in ("first", "second"):
            write(tmp_path / name, content)
        assert contents(tmp_path / name)["f"] == "second"


@posix
def test_folders_that_the_user_may_not_replace_are_refused_before_the_work(tmp_path, monkeypatch):
    write(tmp_path / "out", "first")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path.resolve() / "out")
    with pytest.raises(OutputError, match="Permission denied"):
        check_replaceable(tmp_path / "out", THING)
    monkeypatch.undo()
    tmp_path.chmod(0o1777)
    check_replaceable(tmp_path / "out", THING)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(OutputError, match="Permission denied"):
        check_replaceable(tmp_path / "out", THING)


@pytest.mark.usefixtures("way")
def test_a_file_that_appears_during_the_run_is_kept(tmp_path):
    out = tmp_path / "out"
    write(out, "first")
    with pytest.raises(OutputError, match="NOTES.txt"), staged(out, THING) as stage:
        (stage / "f").write_text("second")
        (out / "NOTES.txt").write_text("mine")
    assert contents(out) == {"f": "first", "marker": '["f"]', "NOTES.txt": "mine"}
    (kept,) = (path for path in tmp_path.iterdir() if path != out)
    assert contents(kept) == {"f": "second"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("moment", range(3))
def test_a_file_that_appears_in_the_last_moment_is_kept(tmp_path, monkeypatch, moment):
    """Before, during and after the move itself."""
    out = tmp_path / "out"
    write(out, "first")
    steps, others, remove = [], outputs._others, temporary.remove_listed

    def add(folder):
        if len(steps) == moment:
            (folder / "NOTES.txt").write_text("mine")
        steps.append(folder)

    def first(folder, names):
        found = others(folder, names)
        add(folder)
        return found

    def last(folder, names):
        add(folder)
        return remove(folder, names)

    monkeypatch.setattr(outputs, "_others", first)
    monkeypatch.setattr(temporary, "remove_listed", last)
    try:
        write(out, "second")
    except OutputError as error:
        assert "NOTES.txt" in error.message
    found = contents(tmp_path)
    (notes,) = (name for name in found if name.endswith("NOTES.txt"))
    assert found[notes] == "mine" and found["out/f"] == ("first" if moment == 0 else "second")
    assert not notes.startswith(".") and not list(tmp_path.glob(".nagsdk*"))


@pytest.mark.usefixtures("way")
def test_a_folder_that_cannot_be_moved_stays(tmp_path, monkeypatch):
    out, rename = tmp_path / "out", Path.rename
    write(out, "first")
    monkeypatch.setattr(outputs, "swap", lambda first, second: False)

    def refusing(self, aim):
        if self.name == "content" and Path(aim) == out:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(self, aim)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(OutputError, match=r"cannot be replaced: .* The new result is in"):
        write(out, "second")
    assert contents(out)["f"] == "first" and not list(tmp_path.glob(".nagsdk*"))


KILLED = """
import os, sys
from pathlib import Path
from nagsdk.common import outputs, temporary
from tests.common.test_outputs import write

step, way, target = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
if way == "renames":
    outputs.swap = lambda first, second: False
count = 0

def dying(owner, name):
    does = getattr(owner, name)
    def one(*given, **named):
        global count
        for _ in range(2):  # dies before the step, or after it
            if count == step:
                os._exit(9)
            count += 1
            if _ == 0:
                answer = does(*given, **named)
        return answer
    setattr(owner, name, one)

for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "chmod", "write_bytes", "write_text"):
    dying(Path, name)
for name in ("open", "fsync", "close"):
    dying(os, name)
dying(outputs, "swap")
dying(temporary, "_lock")
write(target, "second", "f", "h")
os._exit(0)
"""


def die_at_every_step(folder, way, before):
    """Every operation on files is a step; the process dies before and after each of them."""
    old = {
        "thing": {"f": "first", "g": "first", "marker": '["f", "g"]'},
        "empty": {},
        "nothing": None,
    }[before]
    new = {"f": "second", "h": "second", "marker": '["f", "h"]'}
    seen, step = [], 0
    while True:
        place = folder / f"{step}"
        place.mkdir()
        (place / "mine").write_text("mine")
        if before == "thing":
            write(place / "out", "first", "f", "g")
        elif before == "empty":
            (place / "out").mkdir()
        pid = os.fork()
        if pid == 0:
            sys.argv = ["", str(step), way, str(place / "out")]
            try:
                exec(compile(KILLED, "killed", "exec"), {"__name__": "killed"})
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 9)
        if way == "swap" and before == "thing":
            assert (place / "out").is_dir()  # not even for a moment is it missing
        sweep(place)
        assert not list(place.glob(".nagsdk*")), step
        left = contents(place / "out") if (place / "out").exists() else None
        assert left in (old, new), step
        assert contents(place).get("mine") == "mine" and {p.name for p in place.iterdir()} <= {"mine", "out"}
        seen.append(left == new)
        if code == 0:
            break
        step += 1
    assert seen == sorted(seen) and seen[-1] and len(seen) > 40


@posix
@pytest.mark.parametrize("way", ["swap", "renames"])
@pytest.mark.parametrize("before", ["thing", "empty", "nothing"])
def test_a_death_at_any_step_leaves_the_old_or_the_new_folder(tmp_path, way, before):
    """In a process of its own, because hundreds of forks take long where much memory is used."""
    script = "import sys; from pathlib import Path; from tests.common.test_outputs import die_at_every_step as die\n"
    script += "die(Path(sys.argv[1]), *sys.argv[2:])"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path, way, before], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_interrupt_between_both_renames_restores_the_old_folder(tmp_path, monkeypatch):
    out, rename = tmp_path / "out", Path.rename
    write(out, "first")
    monkeypatch.setattr(outputs, "swap", lambda first, second: False)

    def interrupted(self, aim):
        if self.name == "content":
            raise KeyboardInterrupt
        return rename(self, aim)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(out, "second")
    assert contents(tmp_path) == {"out/f": "first", "out/marker": '["f"]'}


def test_two_processes_may_replace_one_folder(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.common.test_outputs import write\n"
        "for _ in range(20): write(Path(sys.argv[1]), sys.argv[2] * 1000, 'f', 'g')"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out"), letter], stderr=subprocess.PIPE)
        for letter in "abc"
    ]
    for writer in writers:
        _, told = writer.communicate()
        assert writer.returncode == 0 or b"OutputError" in told, told
    found = contents(tmp_path / "out")
    assert found["f"] == found["g"] and set(found["f"]) <= set("abc")
    assert not list(tmp_path.glob(".nagsdk*"))
