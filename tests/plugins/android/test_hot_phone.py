"""A phone that gets hot under continuous load."""

import pytest

from nagsdk.device.meter import Meter
from nagsdk.errors import DeviceError
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


def test_a_phone_that_does_not_charge_tells_its_power(phone, device):  # noqa: F811
    battery = "  AC powered: false\n  USB powered: {}\n  level: 93\n  voltage: 4000\n  current now: -500000\n"
    with AndroidBackend().open(device) as session:
        with pytest.raises(DeviceError, match="does not tell the current"):
            session.meter()
        phone.set("dumpsys/battery", battery.format("false"))
        assert session.meter() == Meter(power_w=2.0)
        phone.set("dumpsys/battery", battery.format("true"))
        with pytest.raises(DeviceError, match=r"charges \(USB\)") as caught:
            session.meter()
        assert "adb tcpip" in caught.value.next_step


def test_the_profile_of_a_phone_is_read(phone, device, network):  # noqa: F811
    with AndroidBackend().open(device) as session:
        (whole,) = session.layer_times(network, 3, 60.0)
    assert whole.kind == "TfLiteXNNPackDelegate" and whole.ms > 0
