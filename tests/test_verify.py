"""A deployment, looked at again."""

import json
import shutil

import pytest

import nagsdk
from nagsdk.errors import DamagedBundleError
from nagsdk.verifying import verify
from tests.test_deploy import simulate, world  # noqa: F401 — fixtures

_KEPT = []


@pytest.fixture
def deployed(simulate, tmp_path, tmp_path_factory):  # noqa: F811
    simulate()
    folder = tmp_path / "out"
    if not _KEPT:
        deployment = nagsdk.deploy(device="board", budget="1.5ms", output=folder)
        assert deployment.verdict == "held"
        # The simulated device reads from this file how long a network takes.
        (folder / "model.ms").write_text(str(deployment.result.measured.latency_p50_ms))
        _KEPT.append(shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "out"))
    else:
        shutil.copytree(_KEPT[0], folder)
    return folder


def _states(found):
    return {check.name: check.state for check in found.checks}


def test_nothing_changed(deployed):
    found = verify(deployed)
    assert _states(found) == {"hashes": "passed", "parity": "passed", "latency": "passed"} and found.exit_code == 0
    assert found.measured.latency_limit_ms <= 1.5


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "preprocessing.json"])
def test_an_altered_file_is_named_and_not_run(deployed, world, name):  # noqa: F811
    sessions = world.sessions
    (deployed / name).write_bytes((deployed / name).read_bytes() + b" ")
    found = verify(deployed)
    assert found.exit_code == 7 and _states(found) == {"hashes": "failed", "parity": "skipped", "latency": "skipped"}
    assert name in found.checks[0].detail and world.sessions == sessions


def test_other_outputs_are_seen(deployed):
    manifest = json.loads((deployed / "manifest.json").read_text())
    manifest["probe"]["logits"][0] += 1.0
    (deployed / "manifest.json").write_text(json.dumps(manifest))
    found = verify(deployed)
    assert found.exit_code == 7 and _states(found) == {"hashes": "passed", "parity": "failed", "latency": "skipped"}


def test_a_slower_device_misses(deployed, world):  # noqa: F811
    known = float((deployed / "model.ms").read_text())
    world.world = lambda ms: 1.3 * ms if ms == known else ms  # the reference network stays as it was
    found = verify(deployed)
    assert found.exit_code == 3 and _states(found)["latency"] == "failed" and found.measured.latency_limit_ms > 1.5


def test_without_the_device_hashes_remain(deployed, world):  # noqa: F811
    world.present = False
    found = verify(deployed)
    assert _states(found) == {"hashes": "passed", "parity": "skipped", "latency": "skipped"} and found.exit_code == 0
    assert "not plugged in" in found.checks[1].detail


@pytest.mark.parametrize("path", ["../x.onnx", "/x"])
def test_a_manifest_cannot_lead_out_of_its_folder(deployed, path):
    manifest = json.loads((deployed / "manifest.json").read_text())
    manifest["artifact"]["path"] = path
    (deployed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedBundleError):
        verify(deployed)
