"""The protocol of sustained load, with a clock and a session that are not real."""

from pathlib import Path

import numpy as np
import pytest

from nagsdk.device.backend import Burst, Session
from nagsdk.events import Advanced
from nagsdk.measuring import sustained
from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.sustained import measure_sustained

LATENCIES = {"big": 12.0, "small": 8.0}


class HeatedSession(Session):
    """Becomes `factors` times slower from `after_s` on, and reports what it is told to."""

    def __init__(self, monkeypatch, factors=None, after_s=40.0, tau_s=10.0, report=lambda seconds: {}):
        self.factors, self.after_s, self.tau_s, self.report = factors or {}, after_s, tau_s, report
        self.now, self.sustained, self.names, self.loaded = 0.0, 0, {}, set()
        self.rng = np.random.default_rng(0)
        monkeypatch.setattr(sustained, "clock", lambda: self.now)

    def load(self, compiled):
        handle = len(self.names)
        self.names[handle] = compiled.name
        self.loaded.add(handle)
        return handle

    def unload(self, handle):
        self.loaded.remove(handle)

    def sustain(self):
        assert not self.names
        self.sustained += 1

    def time(self, handle, warmup, runs, timeout_s):
        assert self.sustained == 1
        name = self.names[handle]
        risen = -np.expm1(-max(self.now - self.after_s, 0) / self.tau_s)
        ms = LATENCIES[name] * self.factors.get(name, 1.0) ** risen
        self.now += (warmup + runs) * ms / 1e3
        return Burst(tuple((ms * np.exp(self.rng.normal(0, 0.01, runs))).tolist()), (), self.report(self.now))

    def infer(self, handle, images):
        raise NotImplementedError

    def close(self):
        pass


def measured(session, longest_s=300.0, **more):
    models = {name: Path(name) for name in LATENCIES}
    return measure_sustained(session, models, longest_s, Protocol(), **more)


def test_networks_are_measured_when_the_speed_has_settled(monkeypatch):
    session = HeatedSession(monkeypatch, {"big": 1.5, "small": 2.5})
    told = []
    result = measured(session, 1200.0, on_event=told.append)
    assert result.load.settled and 100 < result.load.moments[-1].seconds < 400
    assert result.load.slowdown == pytest.approx(1.5, rel=0.02)
    assert result.found["big"].latency() == pytest.approx(18.0, rel=0.02)
    assert result.found["small"].latency() == pytest.approx(20.0, rel=0.02)  # cold it is the faster one
    assert all(len(m.readings) >= Protocol().rounds and m.sufficient for m in result.found.values())
    assert session.loaded == set()
    shown = [event for event in told if isinstance(event, Advanced)]
    assert "18 ms" in shown[-1].text and all(a.done <= 1200 for a in shown)


def test_the_device_never_rests(monkeypatch):
    session = HeatedSession(monkeypatch, {"big": 1.5, "small": 1.5})
    load = measured(session).load
    gaps = np.diff([0.0, *(moment.seconds for moment in load.moments)])
    assert load.moments[-1].seconds == pytest.approx(session.now, rel=0.05)
    assert np.median(gaps) == pytest.approx(0.75, rel=0.2)


def test_a_steady_device_is_loaded_to_the_end_unless_its_temperature_settles(monkeypatch):
    assert measured(HeatedSession(monkeypatch), 60.0).load.moments[-1].seconds >= 60
    warm = HeatedSession(monkeypatch, report=lambda s: {"hottest_c": 40 - 20 * np.expm1(-s / 15)})
    load = measured(warm).load
    assert load.settled and 75 <= load.moments[-1].seconds < 200
    rising = HeatedSession(monkeypatch, report=lambda s: {"hottest_c": 40 + s / 4})
    assert not measured(rising, 60.0).load.settled


def test_a_cap_that_was_there_before_is_no_throttling(monkeypatch):
    share = {"frequency_share": 0.7}
    for own in ({"look": lambda: share}, {}):
        session = HeatedSession(monkeypatch, report=lambda s: {} if own else {"frequency_cap": 0.7})  # noqa: B023
        load = measured(session, 60.0, **own).load
        assert (
            load.cap == 0.7 and load.to_dict()["frequency_cap"] == 0.7 and load.slowdown == pytest.approx(1, abs=0.05)
        )
    session = HeatedSession(monkeypatch, {"big": 1.4})
    hot = measured(session, 60.0, look=lambda: {"frequency_share": 1.0 if session.now < 40 else 0.7}).load
    assert hot.cap == 1.0
    falls = HeatedSession(monkeypatch, {"big": 1.4})
    assert measured(falls, 60.0, look=lambda: {"frequency_share": 0.9 if falls.now < 40 else 0.7}).load.cap == 1.0
