"""Budgets under sustained load, on a device with known latencies that gets hot, and whose clock is not real."""

import re

import numpy as np
import pytest

import nagsdk
import tests.simulated
from nagsdk.events import Notice, Started
from nagsdk.manifest.manifest import read_manifest
from nagsdk.measuring import sustained
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401
from tests.simulated import SimulatedSession


class Heat:
    """How a device slows down: from `after_s` seconds of load on, it approaches `factor` times its latency."""

    def __init__(self):
        self.now, self.factor, self.after_s, self.tau_s, self.loads, self.warm = 0.0, 1.5, 40.0, 10.0, 0, False
        self.resists = 1.0

    def slower(self, loaded_s, ms):
        risen = -np.expm1(-max(loaded_s - self.after_s, 0.0) / self.tau_s)
        return (self.factor if ms > self.resists else 1.0) ** risen


@pytest.fixture
def heat(simulate, monkeypatch):  # noqa: F811
    heat = Heat()

    class HotSession(SimulatedSession):
        loaded_s = 0.0

        def sustain(self):
            heat.loads += 1

        def time(self, handle, warmup, runs, timeout_s):
            slower = heat.slower(self.loaded_s, self.times[handle])
            lasts_s = (warmup + runs) * self.times[handle] * slower / 1e3
            heat.now += lasts_s
            self.loaded_s += lasts_s
            taken = super().time(handle, warmup, runs, timeout_s)
            wall = tuple(ms * slower for ms in taken.wall_ms)
            warmth = {"hottest_c": 40 + 20 * -np.expm1(-self.loaded_s / 15)} if heat.warm else {}
            return type(taken)(wall, wall, warmth)

    monkeypatch.setattr(tests.simulated, "SimulatedSession", HotSession)
    monkeypatch.setattr(sustained, "clock", lambda: heat.now)
    simulate()
    heat.resists = 0.0
    return heat


def test_the_deployed_network_holds_the_budget_when_the_device_is_hot(heat, tmp_path):
    told = []
    found = nagsdk.deploy("board", budget="1.5ms@sustained=20min", output=tmp_path / "out", on_event=told.append)
    measured, load = found.result.measured, read_manifest(tmp_path / "out")["report"]["sustained"]
    assert found.verdict == "held"
    assert 0.88 * 1.5 < measured.latency_p50_ms <= measured.latency_limit_ms <= 1.5
    assert measured.latency_p50_ms == pytest.approx(1.5 * measured.latency_cold_ms, rel=0.03)
    assert heat.loads == 2 == len(found.details["rounds"])
    loads = [event for event in told if isinstance(event, Started) and event.text == "Loading the device"]
    assert all(event.total == 1200 for event in loads)
    assert any(isinstance(e, Notice) and re.match("Under load, board became 1.(49|5)", e.text) for e in told)
    assert load["settled"] and max(load["seconds"]) < 400 and load["longest_s"] == 1200
    assert load["slowdown"] == pytest.approx(1.5, rel=0.03) and 25 < load["model"]["switch_s"] < 55
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Speed under load" in page and "1.5ms@sustained=20min" in page
    assert "times slower" in page and "ended early" in page
    assert found.result.to_dict()["budgets"][0]["sustained_s"] == 1200
    # Readings under load have a key of their own, with the time of load, and never mix with others.
    kept = list(nagsdk.Target("board").store.readings(architecture=found.result.architecture))
    hot = [one for one in kept if np.median(one.reading.burst.wall_ms) > 1.2 * measured.latency_cold_ms]
    keys = {one.key.hash for one in hot}
    assert hot and len(keys) == 1 and len([one for one in kept if one.key.hash in keys]) == len(hot)
    heat.loads, heat.factor = 0, 1.0
    checks = {c.name: c for c in nagsdk.verify(tmp_path / "out").checks}
    assert heat.loads == 1 and checks["latency"].state == "passed"
    assert "under load" in checks["latency"].detail and "kept its speed" in checks["latency"].detail


@pytest.mark.nightly
def test_networks_whose_rank_changes_are_compared_hot(heat, tmp_path):
    heat.factor, heat.resists = 2.5, 1.25  # networks above 1.25 ms become much slower, the others not at all
    found = nagsdk.deploy("board", budget="1.5ms@sustained", output=tmp_path / "out")
    assert found.verdict == "held"
    assert 1.0 < found.result.measured.latency_p50_ms <= 1.25 * 1.02
    assert heat.loads <= 3


@pytest.mark.nightly
def test_a_budget_that_only_holds_cold_is_missed(heat, tmp_path):
    heat.factor = 100.0
    found = nagsdk.deploy("board", budget="1.5ms@sustained", output=tmp_path / "out")
    assert found.verdict == "missed" and not (tmp_path / "out").exists()
    assert "nearest budget" in found.result.warnings[-1] and "@sustained" in found.result.warnings[-1]
