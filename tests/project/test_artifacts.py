"""Files are taken by their hash alone: nothing else ever has the name of an artifact, not even for a moment."""

import hashlib
import os

import pytest

from nagsdk.common.folders import cache_folder
from nagsdk.errors import LockError, OutputError
from nagsdk.project import artifacts

CONTENT = b"a model" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
RECORD = {"sha256": DIGEST, "bytes": len(CONTENT)}
posix = pytest.mark.skipif(os.name != "posix", reason="needs special files of POSIX")


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / "mirror").mkdir()
    return tmp_path / "mirror"


def take(mirror, target, told=None):
    return artifacts.take(RECORD, target, str(mirror), (told if told is not None else []).append)


def test_a_file_of_the_mirror_is_kept_in_the_cache(tmp_path, mirror):
    (mirror / DIGEST).write_bytes(CONTENT)
    assert take(mirror, tmp_path / "model.onnx") == "mirror"
    (mirror / DIGEST).unlink()
    assert take(mirror, tmp_path / "again.onnx") == "cache"
    assert (tmp_path / "again.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"", b"x", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
def test_other_content_never_has_the_name_of_an_artifact(tmp_path, mirror, content):
    (mirror / DIGEST).write_bytes(content)
    with pytest.raises(LockError, match="refused"):
        take(mirror, tmp_path / "out" / "model.onnx")
    assert list((tmp_path / "out").iterdir()) == [] if (tmp_path / "out").exists() else True
    assert not (cache_folder() / "artifacts" / DIGEST).exists()


@posix
@pytest.mark.parametrize("what", ["pipe", "endless", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, mirror, what):
    match what:
        case "pipe":
            os.mkfifo(mirror / DIGEST)
        case "endless":
            (mirror / DIGEST).symlink_to("/dev/zero")
        case "folder":
            (mirror / DIGEST).mkdir()
    with pytest.raises(LockError, match="refused"):
        take(mirror, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_damaged_file_of_the_cache_is_told_and_replaced(tmp_path, mirror):
    (mirror / DIGEST).write_bytes(CONTENT)
    cached, told = cache_folder() / "artifacts" / DIGEST, []
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:-1] + b"x")
    assert take(mirror, tmp_path / "model.onnx", told) == "mirror" and "damaged" in told[0].text
    assert cached.read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_does_not_stop_a_mirror(tmp_path, mirror, monkeypatch):
    (mirror / DIGEST).write_bytes(CONTENT)
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAGSDK_CACHE_DIR", str(tmp_path / "file"))
    told = []
    assert take(mirror, tmp_path / "model.onnx", told) == "mirror"
    assert (tmp_path / "model.onnx").read_bytes() == CONTENT and "not kept in the cache" in told[-1].text
    with pytest.raises(OutputError):
        artifacts.keep(tmp_path / "model.onnx", DIGEST)


def test_a_file_is_kept_under_its_own_hash_only(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"other")
    with pytest.raises(LockError):
        artifacts.keep(tmp_path / "model.onnx", DIGEST)
    assert not (cache_folder() / "artifacts" / DIGEST).exists()
