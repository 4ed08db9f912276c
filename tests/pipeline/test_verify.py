"""A deployment, looked at again."""

import json
import shutil

import pytest
from click.testing import CliRunner

import nagsdk
from nagsdk.cli import cli
from nagsdk.common.folders import shipped
from nagsdk.errors import DamagedBundleError, DeviceError, UnknownNameError, UsageError
from nagsdk.pipeline.verify import verify
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 — fixtures
from tests.simulated import SimulatedSession

_KEPT = []


@pytest.fixture
def deployed(simulate, tmp_path, tmp_path_factory):  # noqa: F811
    simulate()
    folder = tmp_path / "out"
    if not _KEPT:
        deployment = nagsdk.deploy("board", budget="1.5ms", output=folder)
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


def _as_git_does(path):
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("names", [["labels.txt"], ["preprocessing.json", "manifest.json"]])
def test_line_ends_that_git_changed_are_told_as_such(deployed, names):
    for name in names:
        _as_git_does(deployed / name)
    found = verify(deployed)
    assert found.exit_code == 7 and _states(found) == {"hashes": "failed", "parity": "passed", "latency": "passed"}
    assert f"{', '.join(names)} differ" in found.checks[0].detail
    assert f"`**/{deployed.name}/** -text` into .gitattributes" in found.checks[0].detail
    if names == ["labels.txt"]:
        with pytest.raises(DamagedBundleError, match="-text"):
            nagsdk.Deployment.read(deployed).load()


def test_a_model_with_other_line_ends_is_not_run(deployed, world):  # noqa: F811
    sessions = world.sessions
    _as_git_does(deployed / "model.onnx")
    _as_git_does(deployed / "labels.txt")
    (deployed / "preprocessing.json").write_bytes(b"{}")
    found = verify(deployed)
    assert _states(found) == {"hashes": "failed", "parity": "skipped", "latency": "skipped"}
    assert "preprocessing.json: missing" in found.checks[0].detail and world.sessions == sessions
    assert "model.onnx, labels.txt differ only in line ends" in found.checks[0].detail


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
    assert "exceeds the budget of 1.5 ms" in found.checks[2].detail


def test_a_device_that_is_slowed_down_for_a_while_is_asked_again(deployed, world):  # noqa: F811
    begun = world.sessions
    world.world = lambda ms: (
        ms * (3 if world.sessions <= begun + 2 else 1)
    )  # outputs took the first session, timings the second
    found = verify(deployed)
    rests_on = json.loads((deployed / "manifest.json").read_text())["measured"]["sessions"]
    assert _states(found)["latency"] == "passed" and found.measured.sessions == rests_on
    assert world.sessions == begun + 1 + rests_on + 1


def test_without_the_device_hashes_remain(deployed, world):  # noqa: F811
    world.present = False
    found = verify(deployed)
    assert _states(found) == {"hashes": "passed", "parity": "skipped", "latency": "skipped"} and found.exit_code == 0
    assert "not plugged in" in found.checks[1].detail


@pytest.fixture
def elsewhere(deployed):
    """Of a bundle whose folder nobody named."""
    manifest = json.loads((deployed / "manifest.json").read_text())
    (deployed / "manifest.json").write_text(json.dumps(manifest | {"bundle": "shapes"}))
    return deployed


def test_the_bundle_is_needed_for_the_latency_alone(elsewhere, tmp_path):
    found = verify(elsewhere)
    assert _states(found) == {"hashes": "passed", "parity": "passed", "latency": "skipped"} and found.exit_code == 0
    assert "--bundle" in found.checks[2].detail
    own = shutil.copytree(shipped("bundles") / "glyphs", tmp_path / "shapes")
    assert _states(verify(elsewhere, bundle=own))["latency"] == "passed"
    with pytest.raises(UnknownNameError, match="shapse"):
        verify(elsewhere, bundle="shapse")


def test_a_device_that_only_a_file_describes_is_asked_for(deployed):
    manifest = json.loads((deployed / "manifest.json").read_text())
    (deployed / "manifest.json").write_text(json.dumps(manifest | {"device": "mine"}))
    found = verify(deployed)
    assert (
        _states(found) == {"hashes": "passed", "parity": "skipped", "latency": "skipped"}
        and "--device" in found.checks[1].detail
    )
    assert _states(verify(deployed, device="board"))["latency"] == "passed"


def test_without_a_budget_of_latency_nothing_is_timed(deployed, world):  # noqa: F811
    manifest = json.loads((deployed / "manifest.json").read_text())
    manifest["budgets"][0] |= {"metric": "size", "limit": 1e9}
    (deployed / "manifest.json").write_text(json.dumps(manifest))
    bursts = world.bursts
    found = verify(deployed)
    assert _states(found)["latency"] == "skipped" and found.measured.latency_p50_ms is None and world.bursts == bursts


@pytest.mark.parametrize("fails", ["open", "time"])
def test_the_json_object_is_printed_also_where_the_device_fails(deployed, world, monkeypatch, fails):  # noqa: F811
    def broken(*a, **k):
        raise DeviceError("The board is on fire.", "Put it out.")

    monkeypatch.setattr(*{"open": (world, "open"), "time": (SimulatedSession, "time")}[fails], broken)
    done = CliRunner().invoke(cli, ["verify", str(deployed), "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 4 and found["error"]["next_step"] == "Put it out."
    assert [check["state"] for check in found["checks"]] == [
        "passed",
        "skipped" if fails == "open" else "passed",
        "skipped",
    ]
    done = CliRunner().invoke(cli, ["verify", str(deployed)])
    assert done.exit_code == 4 and "Put it out." in done.stderr


def test_a_folder_without_manifest_is_no_deployment(tmp_path):
    with pytest.raises(UsageError, match="is not a deployment"):
        verify(tmp_path)


@pytest.mark.parametrize("path", ["../x.onnx", "/x"])
def test_a_manifest_cannot_lead_out_of_its_folder(deployed, path):
    manifest = json.loads((deployed / "manifest.json").read_text())
    manifest["artifact"]["path"] = path
    (deployed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedBundleError):
        verify(deployed)
