import subprocess
import sys

import pytest

from nagsdk.errors import NagsdkError
from nagsdk.store import Store


def test_readings_come_back_in_order(tmp_path):
    store = Store(tmp_path / "deep" / "s.sqlite")
    for value in (3, 1, 2):
        store.add("d", "a", {"value": value})
    store.add("d", "b", {"value": 9})
    store.add("e", "a", {"value": 9})
    assert [r["value"] for r in Store(tmp_path / "deep" / "s.sqlite").readings("d", "a")] == [3, 1, 2]


def test_two_processes_write_at_once_without_loss(tmp_path):
    script = "import sys, pathlib; from nagsdk.store import Store; s = Store(pathlib.Path(sys.argv[1]))\nfor i in range(100): s.add('d', 'a', {'i': i})"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "s")]) for _ in range(2)]
    assert [w.wait() for w in writers] == [0, 0]
    assert len(Store(tmp_path / "s").readings("d", "a")) == 200


def test_foreign_and_newer_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a database " * 100)
    with pytest.raises(NagsdkError, match="cannot be used"):
        Store(tmp_path / "text")
    store = Store(tmp_path / "s")
    with store._connection() as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(NagsdkError, match="another version"):
        Store(tmp_path / "s")
