"""What an app measured, as evidence beside the measurement of a deployment."""

import json
import os

import pytest
from click.testing import CliRunner

from nagsdk.budget import Budget
from nagsdk.cli import cli
from nagsdk.errors import UsageError
from nagsdk.manifest.app_probe import AppProbe, read_probe
from nagsdk.pipeline.app_evidence import judged, require_same_model
from nagsdk.pipeline.verify import verify
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 - fixtures
from tests.pipeline.test_verify import deployed  # noqa: F401 - a fixture

MANIFEST = {
    "artifact": {"path": "model.tflite", "sha256": "a" * 64},
    "measured": {"latency_p50_ms": 10.0},
    "threads": 1,
    "device_properties": {"model": "Pixel 9 Pro"},
}


def probe(factor=1.0, **facts):
    runs = [factor * (10 + 0.001 * (run % 7)) for run in range(100)]
    return AppProbe.model_validate({"format": 1, "model_sha256": "a" * 64, "latencies_ms": runs, **facts})


def written(folder, **changed):
    content = json.loads(probe().model_dump_json()) | changed
    path = folder / "probe.json"
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    return path


def test_the_budgets_are_judged_by_what_the_app_measured():
    budgets = [Budget.parse(text) for text in ("12ms", "12ms@p95", "300ms@init", "50MB@ram", "3MB")]
    held, told = judged(probe(init_ms=200.0, memory_mb=20.0), MANIFEST, budgets)
    assert held and "init of 200ms holds 300ms@init" in told and "ram of 19.07MiB holds" in told
    assert "agrees with the deployment's measurement (factor 1.00)" in told
    held, told = judged(probe(1.3, init_ms=400.0), MANIFEST, budgets)
    assert not held and "exceeds 12ms;" in told and "exceeds 300ms@init" in told and "does not tell ram" in told


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"threads": 4}, "threads: 4 in the app, 1 measured"),
        ({"cpuset": "/background"}, "core placement"),
        ({"accelerator": "GPU"}, "delegates: the app asked for GPU"),
        ({"debuggable": True}, "build flags"),
        ({"thermal_before": 0, "thermal_after": 3}, "heat: the thermal status was 3"),
        ({"device": "Pixel 6"}, "another phone: Pixel 6"),
        ({"threads": 1, "cpuset": "/top-app", "accelerator": "CPU", "debuggable": False}, "usual reasons"),
    ],
)
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_difference_is_explained_by_what_the_file_shows(factor, facts, reason):
    _, told = judged(probe(factor, **facts), MANIFEST, [Budget.parse("100ms")])
    assert f"it takes {factor:.2f} times" in told and reason in told
    assert "usual reasons" not in told or reason == "usual reasons"


def test_a_deployment_that_was_not_measured_is_judged_without_a_comparison():
    held, told = judged(probe(), {**MANIFEST, "measured": {"latency_p50_ms": None}}, [Budget.parse("9ms")])
    assert not held and "times" not in told and "agrees" not in told


def test_another_model_is_no_evidence():
    with pytest.raises(UsageError, match="measured another file") as caught:
        require_same_model(probe(model_sha256="b" * 64), MANIFEST)
    assert "run the probe again" in caught.value.next_step


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"format": ...},
        {"latencies_ms": [1.0] * 19},
        {"latencies_ms": [1.0] * 100_001},
        {"latencies_ms": [1.0] * 99 + [0.0]},
        {"latencies_ms": ["1"] * 100},
        {"latencies_ms": [1e300] * 100},
        {"model_sha256": "../model"},
        {"init_ms": -1},
        {"thermal_after": 99},
        {"threads": 0},
        {"device": "x" * 5000},
        {"cpuset": {}},
    ],
)
def test_a_file_that_no_probe_writes_is_refused(tmp_path, changed):
    with pytest.raises(UsageError, match="cannot be read as the file of a probe") as caught:
        read_probe(written(tmp_path, **changed))
    assert "docs/in-app.md" in caught.value.next_step


def test_a_large_file_a_pipe_and_a_folder_are_refused(tmp_path):
    (tmp_path / "large").write_bytes(b" " * 5_000_000)
    names = ["large", "absent", ""]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        names.append("pipe")
    for name in names:
        with pytest.raises(UsageError, match="cannot be read"):
            read_probe(tmp_path / name)


def test_verify_takes_it_beside_its_own_measurement(deployed, tmp_path):  # noqa: F811
    manifest = json.loads((deployed / "manifest.json").read_text("utf-8"))
    own = {"model_sha256": manifest["artifact"]["sha256"], "device": "\x1b[31mred\x1b[0m"}
    slow = written(tmp_path, **own, latencies_ms=[3.0 + 0.001 * run for run in range(50)])
    found = verify(deployed, probe=slow)
    assert [check.state for check in found.checks] == ["passed", "passed", "passed", "failed"] and found.exit_code == 3
    done = CliRunner().invoke(cli, ["verify", str(deployed), "--probe", str(slow)])
    assert done.exit_code == 3 and "failed  probe" in done.output and "\x1b[31m" not in done.output
    fast = written(tmp_path, **own, latencies_ms=[1.2] * 50)
    assert verify(deployed, probe=fast).exit_code == 0
    with pytest.raises(UsageError, match="another file"):
        verify(deployed, probe=written(tmp_path))
