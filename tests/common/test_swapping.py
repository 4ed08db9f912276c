import ctypes
import sys

import pytest

from nagsdk.common.swapping import swap


def test_two_folders_change_places(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    if not swap(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this system or file system cannot swap folders")
    assert [(tmp_path / name / "f").read_text() for name in ("a", "b")] == ["b", "a"]


def test_without_a_second_folder_nothing_happens(tmp_path):
    (tmp_path / "a").mkdir()
    assert not swap(tmp_path / "a", tmp_path / "b") and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_systems_without_such_a_function_say_so(tmp_path, monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert not swap(tmp_path / "a", tmp_path / "b")
