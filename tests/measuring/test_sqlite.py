import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from nagsdk.errors import NagsdkError, OutputError
from nagsdk.measuring import sqlite
from nagsdk.measuring.sqlite import connection, transaction
from nagsdk.measuring.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")


def test_six_processes_that_create_a_store_at_once_all_succeed(tmp_path):
    script = (
        "import pathlib, sys\nfrom nagsdk.measuring.store import Store\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nStore(pathlib.Path(sys.argv[1])).check()"
    )
    for turn in range(3):
        makers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(tmp_path / f"{turn}.sqlite")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        for maker in makers:
            assert maker.stdout.readline() == "ready\n"
        for maker in makers:
            maker.stdin.write("go\n")
            maker.stdin.flush()
        assert [maker.communicate()[1] for maker in makers] == [""] * 6
        assert [maker.returncode for maker in makers] == [0] * 6


def test_a_locked_file_is_waited_for(tmp_path):
    path = tmp_path / "s"
    with connection(path) as first:
        first.execute("create table t (n)")
        first.execute("begin exclusive")
        wrote = threading.Event()

        def write():
            with connection(path) as second, transaction(second):
                second.execute("insert into t values (1)")
            wrote.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert not wrote.wait(0.2)
        first.execute("commit")
        writer.join()
        assert wrote.is_set()


def test_a_file_that_stays_locked_is_said_to_be_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.05)
    with connection(tmp_path / "s") as first:
        first.execute("create table t (n)")
        first.execute("begin exclusive")
        with (
            pytest.raises(NagsdkError, match="locked by another process") as caught,
            connection(tmp_path / "s") as second,
        ):
            second.execute("insert into t values (1)")
    assert "Wait until" in caught.value.next_step


def test_a_full_disk_is_said_and_keeps_what_was_stored(tmp_path):
    path = tmp_path / "s"
    with connection(path) as opened:
        opened.execute("create table t (n)")
        opened.execute("insert into t values ('kept')")
    with pytest.raises(OutputError, match="disk is full") as caught, connection(path) as opened:
        opened.execute("pragma max_page_count = 3")
        with transaction(opened):
            opened.execute(f"insert into t values ('{'x' * 100_000}')")
    assert "readings so far are kept" in caught.value.next_step
    with connection(path) as opened:
        assert opened.execute("select * from t").fetchall() == [("kept",)]


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path):
    with pytest.raises(OutputError, match="cannot be opened for writing"):
        Store(tmp_path)


@posix
def test_a_limit_on_file_sizes_does_not_advise_to_lose_data(tmp_path):
    script = (
        "import pathlib, resource, signal, sys\nfrom nagsdk.measuring.store import Store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "from nagsdk.errors import OutputError\n"
        "try: Store(pathlib.Path(sys.argv[1]))\n"
        "except OutputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "s")], capture_output=True, text=True)
    assert "ulimit -f" in done.stdout and "Move" not in done.stdout, done


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_said(tmp_path):
    Store(tmp_path / "s")
    (tmp_path / "s").chmod(0o444)
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="writable"), connection(tmp_path / "s") as opened:
        opened.execute("create table t (n)")


def test_a_foreign_database_is_no_store(tmp_path):
    with sqlite3.connect(tmp_path / "s") as other:
        other.execute("pragma user_version = 2")
    with pytest.raises(NagsdkError, match="is not a store"):
        Store(tmp_path / "s").check()
