import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk_android.state import parse

CALM = "IsStatusOverride: false\nThermal Status: 0\n"
BATTERY = "Current Battery Service state:\n  AC powered: false\n  level: 87\n  temperature: 312\n"


def test_the_temperatures_of_a_real_phone_are_read(shared):
    state = parse((shared / "samples" / "11_dumpsys_thermalservice_a52.txt").read_text("utf-8"))
    assert state.thermal_status == 0 and state.hottest_c == 25.6 and not state.throttled


def test_battery_and_frequencies_are_read():
    state = parse(f"{CALM}{BATTERY}freq 1200000 1800000 1800000\nfreq 900000 2400000 2400000\n")
    assert state.battery_percent == 87 and state.battery_c == 31.2
    assert state.frequency_share == 1 and state.frequency_mhz == 1200 and not state.throttled
    assert state.to_properties()["throttled"] == 0


def test_heat_and_a_reduced_frequency_count_as_throttled():
    assert parse("Thermal Status: 2\n").throttled and not parse("Thermal Status: 1\n").throttled
    assert parse("freq 900000 1500000 2400000\n").throttled


def test_values_that_are_not_reported_are_unknown():
    state = parse("sh: dumpsys: not found\nfreq\nfreq  1 0\n")
    assert state.to_properties() == {"throttled": 0.0}


def test_the_first_of_several_values_counts_and_a_battery_may_be_cold():
    state = parse("level: 99\r\ntemperature: -31\r\nLLB CAL: 0\r\nlevel: 12\r\n")
    assert state.battery_percent == 99 and state.battery_c == -3.1


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "1" * 5000, "0x10", "٣", "²"])
def test_numbers_that_are_none_are_unknown(number):
    text = (
        f"Thermal Status: {number}\n  level: {number}\n  temperature: {number}\nfreq 1 {number} 2\nfreq 0 0 2\n"
        f"Temperature{{mValue={number}, mType=0, mName=cpu, mStatus=0}}\n"
        f"Temperature{{mValue=1, mType={number}, mName=cpu, mStatus=0}}\n"
    )
    assert parse(text).to_properties() == {"throttled": 0.0}


@pytest.mark.parametrize(
    "piece",
    [
        "\n",
        " \n",
        "Temperature{mValue=",
        "Temperature{mValue=1, mType=0, mName=",
        "freq 1 ",
        "level:",
        "Thermal Status: ",
    ],
)
def test_no_text_takes_long_to_read(piece):
    """With patterns that take quadratic time, each of these would take minutes."""
    assert parse(piece * (10**6 // len(piece))).to_properties() == {"throttled": 0.0}


@given(st.text(alphabet=st.sampled_from("Thermal Status:1234\n freq temperature{mValue=}.,²")))
def test_any_text_can_be_parsed(text):
    assert isinstance(parse(text).throttled, bool)
