"""Budgets on energy, on a device with known latencies and a known power."""

import pytest

import nagsdk
import tests.simulated
from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError, UsageError
from nagsdk.manifest.manifest import read_manifest
from nagsdk.measuring import energy
from nagsdk.plugin.units import read_budget
from tests.few_images import few_images  # noqa: F401
from tests.pipeline.test_loop import simulate, world  # noqa: F401
from tests.simulated import SimulatedSession

IDLE_W, LOAD_W = 1.0, 4.0


@pytest.fixture
def metered(simulate, monkeypatch):  # noqa: F811
    now = [0.0]

    class MeteredSession(SimulatedSession):
        loads = False

        def load(self, compiled):
            self.loads = True
            return super().load(compiled)

        def meter(self):
            return Meter(power_w=LOAD_W if self.loads else IDLE_W)

        def time(self, handle, warmup, runs, timeout_s):
            now[0] += (warmup + runs) * self.times[handle] / 1e3
            return super().time(handle, warmup, runs, timeout_s)

    monkeypatch.setattr(tests.simulated, "SimulatedSession", MeteredSession)
    monkeypatch.setattr(energy, "clock", lambda: now[0])
    monkeypatch.setattr(energy, "pause", lambda seconds: now.__setitem__(0, now[0] + seconds))
    simulate()


def test_a_budget_of_energy_is_held_as_metered(metered, tmp_path):
    found = nagsdk.deploy("board", budget="3.5mJ", output=tmp_path / "out")
    report = read_manifest(tmp_path / "out")["report"]["energy"]
    assert found.verdict == "held"
    assert 2.5 < found.result.metrics["inference_energy"] == report["energy_mj"] <= 3.5
    assert report["energy_mj"] == pytest.approx(3.0 * report["latency_ms"], rel=0.01)
    assert report["gross_mj"] == pytest.approx(4.0 * report["latency_ms"], rel=0.01)
    assert "Energy of an inference" in (tmp_path / "out" / "report.html").read_text()


def test_it_is_said_before_work_starts_that_a_device_does_not_tell_its_energy(simulate, world, tmp_path):  # noqa: F811
    simulate()
    with pytest.raises(DeviceError, match="board: The device does not tell how much energy"):
        nagsdk.deploy("board", budget="3mJ", output=tmp_path / "out")
    assert world.bursts == 0
    with pytest.raises(UsageError, match="cannot be answered without measuring"):
        nagsdk.generate("board", "3mJ")


@pytest.mark.parametrize(("text", "mj"), [("40mJ", 40.0), ("0.5 J", 500.0), ("40mj", 40.0)])
def test_energy_is_read_in_joules(text, mj):
    budget = read_budget(text)
    assert (budget.metric, budget.limit) == ("inference_energy", mj)
    assert read_budget(str(budget)) == budget
