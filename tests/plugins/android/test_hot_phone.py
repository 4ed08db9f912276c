"""A phone that gets hot under continuous load."""

import pytest

from nagsdk.measuring.protocol import Protocol
from nagsdk.measuring.sustained import measure_sustained
from nagsdk_android import session as session_module
from nagsdk_android import state
from nagsdk_android.backend import AndroidBackend
from tests.plugins.android.test_phone import device, device_of, network  # noqa: F401

SHORT = Protocol(rounds=3, most_rounds=3, runs=3)


def test_a_phone_is_measured_hot_and_not_cooled_down(phone, device, network):  # noqa: F811
    phone.set("throttle_after", 6)
    with AndroidBackend().open(device) as session:
        found = measure_sustained(session, {"network": network}, 1e-3, SHORT)
        readings = found.found["network"].readings
        assert not readings[0].burst.properties["throttled"] and not found.load.settled
        while not session.time(session.load(network), 1, 3, 60).properties["throttled"]:
            pass
        hot = session.time(session.load(network), 1, 3, 60).properties
    assert hot["cooled_s"] == 0 and hot["throttled"] == 1 and "frequency_cap" not in hot


@pytest.mark.parametrize("thermal", [0, 3])
def test_a_cap_of_a_phone_is_told_from_throttling_before_it_is_loaded(phone, network, monkeypatch, thermal):  # noqa: F811
    monkeypatch.setattr(session_module, "_POLL_S", 0.1)
    monkeypatch.setattr(state, "STEADY_S", 0.3)
    phone.set("dumpsys/thermalservice", f"Thermal Status: {thermal}\nfreq 1500000 1500000 3000000\n")
    with AndroidBackend().open(device_of(phone, cooldown_s="2")) as session:
        load = measure_sustained(session, {"network": network}, 1e-3, SHORT).load
    assert load.cap == (0.5 if thermal == 0 else 1.0)
    assert load.moments[-1].properties["throttled"] == float(thermal == 3)
