"""A lock file of a stranger decides which bytes a model has, and nothing about names and places."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from nagsdk.errors import LockError
from nagsdk.project.build import build
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures
from tests.project.test_build import ONE, _clone, _only, app  # noqa: F401 — fixtures

EVIL = b"ssh-ed25519 AAAA attacker@evil\n"
HASH = hashlib.sha256(EVIL).hexdigest()
NAMES = [
    "authorized_keys", "conftest.py", "manifest.json", "report.html", "labels.txt", "preprocessing.json", "Model.onnx",
    "model.ONNX", "model.onnx.", "model.tflite", "model.py", "model", "xmodel.onnx", "model.onnx.sh", "CON", "nul.onnx",
    "model..onnx", "MANIFEST.JSON", "model.compiled.onnx",
]  # fmt: skip


@pytest.fixture
def hostile(app, tmp_path):  # noqa: F811
    """A clone whose mirror has bytes of a stranger, and a function that changes its lock."""
    clone = _clone(app, tmp_path / "clone")
    (clone / "nagsdk.toml").write_text(f'mirror = "mirror"\n{ONE}')
    (clone / "mirror").mkdir()
    (clone / "mirror" / HASH).write_bytes(EVIL)

    def change(edit):
        lock = json.loads((clone / "nagsdk.lock").read_text())
        edit(lock["deployments"]["small"]["manifest"])
        (clone / "nagsdk.lock").write_text(json.dumps(lock))
        return clone

    return change


def refused(clone):
    before = sorted(clone.rglob("*"))
    try:
        outcome = _only(build(clone, locked=True))
    except LockError:
        pass  # the file as a whole is not valid
    else:
        assert outcome.state == "failed" and outcome.error.exit_code == 7, outcome
    assert not list(clone.rglob("*.onnx")) and {p for p in clone.rglob("*") if p.is_file()} <= set(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_does_not_name_the_artifact(hostile, name):
    refused(hostile(lambda m: m["artifact"].update(path=name, sha256=HASH, bytes=len(EVIL))))


@pytest.mark.parametrize("name", [*NAMES, "model.onnx", "model.compiled.pt2"])
def test_a_lock_does_not_add_a_compiled_file(hostile, name):
    refused(hostile(lambda m: m.update(compiled={"path": name, "sha256": HASH, "bytes": len(EVIL)})))


@pytest.mark.parametrize("name", [*sorted(set(NAMES) - {"labels.txt", "preprocessing.json"}), "../x", "Labels.txt"])
def test_a_lock_does_not_add_other_files(hostile, name):
    refused(hostile(lambda m: m["files"].update({name: {"sha256": HASH, "bytes": len(EVIL)}})))


def test_a_folder_of_a_web_app_is_refused_before_anything_is_written(app, tmp_path):  # noqa: F811
    clone = _clone(app, tmp_path / "clone")
    output = clone / "assets/ml"
    output.mkdir(parents=True)
    for name, content in (("manifest.json", "{}"), ("thesis.docx", "years of work")):
        (output / name).write_text(content)
    outcome = _only(build(clone, locked=True))
    assert outcome.error.exit_code == 2 and "manifest.json, thesis.docx" in outcome.error.message
    assert sorted(p.name for p in output.iterdir()) == ["manifest.json", "thesis.docx"]


@pytest.mark.parametrize("what", ["notes", "folder"])
def test_an_earlier_deployment_with_files_of_the_user_stays(app, what):  # noqa: F811
    output = app / "assets/ml"
    (output / "NOTES.txt").write_text("mine") if what == "notes" else (output / ".git").mkdir()
    (output / "model.onnx").write_bytes(b"altered")
    outcome = _only(build(app))
    assert outcome.state == "failed" and ("NOTES.txt" if what == "notes" else ".git") in outcome.error.message
    assert (output / "model.onnx").read_bytes() == b"altered"


@pytest.mark.parametrize("locked", [True, False])
def test_nothing_is_written_where_nothing_is_to_do(app, tmp_path, monkeypatch, locked):  # noqa: F811
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(Path, "mkdir", lambda *given, **named: pytest.fail("a folder was made"))
    assert _only(build(app, locked=locked)).state == "current"


def test_a_project_that_was_copied_is_current_without_a_cache(app, tmp_path, monkeypatch):  # noqa: F811
    shutil.copytree(app, tmp_path / "copy")
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path / "none"))
    assert _only(build(tmp_path / "copy", locked=True)).state == "current" and not (tmp_path / "none").exists()
