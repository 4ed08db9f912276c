"""Budgets on loading and memory, which are judged by what was measured."""

from dataclasses import replace

import pytest

import nagsdk
from nagsdk.errors import DeviceError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.pipeline.verify import verify
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401 - fixtures
from tests.simulated import SimulatedSession


@pytest.fixture
def telling(simulate, monkeypatch):  # noqa: F811
    """The device tells what is asked for; memory and loading grow with the file."""
    simulate()
    real, load, megabytes = SimulatedSession.time, SimulatedSession.load, {}

    def loaded(session, compiled):
        handle = load(session, compiled)
        megabytes[session, handle] = compiled.stat().st_size / 1e6
        return handle

    def tell(**factors):
        def timed(session, handle, *arguments):
            figures = {name: factor * megabytes[session, handle] for name, factor in factors.items()}
            return replace(real(session, handle, *arguments), properties=figures)

        monkeypatch.setattr(SimulatedSession, "time", timed)
        monkeypatch.setattr(SimulatedSession, "load", loaded)

    return tell


def test_what_was_measured_decides_and_stands_in_the_result(telling, tmp_path):
    telling(init_ms=10, first_inference_ms=3, memory_mb=20)
    deployment = nagsdk.deploy("board", budget=["1.5ms", "100ms@init", "150MiB@ram"], output=tmp_path / "out")
    measured, metrics = deployment.result.measured, deployment.result.metrics
    assert deployment.verdict == "held"
    assert (metrics["init"], metrics["ram"]) == (measured.init_ms, measured.memory_mb)
    assert measured.init_ms == pytest.approx(
        10 * deployment.result.artifact.bytes / 1e6
    ) and measured.first_inference_ms == pytest.approx(0.3 * measured.init_ms)
    assert measured.latency_p50_ms <= measured.latency_p90_ms <= measured.latency_p95_ms
    manifest = read_manifest(tmp_path / "out")
    assert [b["text"] for b in manifest["budgets"]] == ["1.5ms", "100ms@init", "150MiB@ram"]
    page = (tmp_path / "out/report.html").read_text("utf-8")
    assert "Start-up" in page and "100 ms@init" in page
    # The file computes, and takes next to no time: the simulated device reads its figures from this file.
    (tmp_path / "out/model.ms").write_text("1.4")
    assert [(c.name, c.state) for c in verify(tmp_path / "out").checks[2:]] == [
        ("latency", "passed"),
        ("init", "passed"),
        ("ram", "passed"),
    ]
    telling(init_ms=1000, memory_mb=20)
    found = verify(tmp_path / "out")
    assert [c.state for c in found.checks[2:]] == ["passed", "failed", "passed"] and found.exit_code == 3
    assert ", which exceeds the budget of 100ms@init" in found.checks[3].detail


def test_a_smaller_network_is_sought_where_the_first_needs_too_much(telling, tmp_path):
    telling(memory_mb=20)
    deployment = nagsdk.deploy("board", budget="20MB@ram", output=tmp_path / "out")
    rounds = deployment.details["rounds"]
    assert rounds[0]["verdict"] == "missed" and len(rounds) > 1
    assert deployment.verdict == "held" and 15 < deployment.result.metrics["ram"] <= 20


def test_what_no_network_holds_is_missed(telling, tmp_path):
    telling(init_ms=10)
    deployment = nagsdk.deploy("board", budget="1us@init", output=tmp_path / "out")
    assert deployment.verdict == "missed" and not (tmp_path / "out").exists()
    assert "@init" in deployment.result.warnings[-1]


@pytest.mark.parametrize(
    ("told", "wanted", "legal"), [({}, "1ms@init", "macs, or"), ({"init_ms": 1}, "1MiB@ram", "init")]
)
def test_what_a_device_does_not_tell_is_refused_before_work(telling, world, tmp_path, told, wanted, legal):  # noqa: F811
    telling(**told)
    with pytest.raises(DeviceError, match="does not tell") as caught:
        nagsdk.deploy("board", budget=["1.5ms", wanted], output=tmp_path / "out")
    assert legal in caught.value.next_step and world.sessions == 1


def test_a_device_that_is_absent_leaves_it_unverified(telling, world, tmp_path):  # noqa: F811
    world.present = False
    deployment = nagsdk.deploy("board", budget=["2MMACs", "1ms@init"], output=tmp_path / "out")
    assert deployment.verdict == "unverified" and deployment.result.metrics == {}


def test_nothing_is_generated_for_what_nothing_predicts(world):  # noqa: F811
    with pytest.raises(UsageError, match="nothing predicts init") as caught:
        nagsdk.generate("board", budget=["1ms@init"])
    assert "deploy" in caught.value.next_step
