"""Energy on a device whose clock and power are not real."""

from pathlib import Path

import pytest

from nagsdk.device.backend import Burst, Session
from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError
from nagsdk.events import Advanced
from nagsdk.measuring import energy
from nagsdk.measuring.energy import measure_energy
from nagsdk.measuring.protocol import Protocol

IDLE_W, LOAD_W, MS = 2.0, 5.0, 8.0


class MeteredSession(Session):
    def __init__(self, monkeypatch, shows):
        self.shows, self.now, self.used_j, self.running = shows, 0.0, 0.0, False
        monkeypatch.setattr(energy, "clock", lambda: self.now)
        monkeypatch.setattr(energy, "pause", lambda seconds: self.lasts(seconds, IDLE_W))

    def lasts(self, seconds, watts):
        self.now += seconds
        self.used_j += seconds * watts

    def meter(self):
        if self.shows == "counter":
            return Meter(((self.used_j % 60.0, 60.0),))
        if self.shows == "power":
            return Meter(power_w=LOAD_W if self.running else IDLE_W)
        return super().meter()

    def load(self, compiled):
        self.running = True
        return 1

    def unload(self, handle):
        self.running = False

    def time(self, handle, warmup, runs, timeout_s):
        self.lasts((warmup + runs) * MS / 1e3, LOAD_W)
        return Burst((MS,) * runs, (), {"power_w": LOAD_W} if self.shows == "power" else {})

    def infer(self, handle, images):
        raise NotImplementedError

    def close(self):
        pass


@pytest.mark.parametrize("shows", ["counter", "power"])
def test_energy_is_power_less_that_of_the_idle_device_times_latency(monkeypatch, shows):
    told = []
    found = measure_energy(MeteredSession(monkeypatch, shows), Path("network"), Protocol(), told.append)
    assert found.energy_mj == pytest.approx((LOAD_W - IDLE_W) * MS, rel=0.01)
    assert found.gross_mj == pytest.approx(LOAD_W * MS, rel=0.01)
    assert (found.idle_w, found.load_w) == pytest.approx((IDLE_W, LOAD_W), rel=0.01)
    assert found.latency_ms == MS and found.seconds >= 10
    assert max(event.done for event in told if isinstance(event, Advanced)) <= 15


def test_a_device_that_tells_nothing_is_refused(monkeypatch):
    with pytest.raises(DeviceError, match="does not tell how much energy"):
        measure_energy(MeteredSession(monkeypatch, ""), Path("network"), Protocol())
