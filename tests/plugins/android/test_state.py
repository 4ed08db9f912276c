import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk_android.state import Steadiness, parse

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


def test_present_temperatures_count_before_old_ones_and_absent_sensors_not_at_all():
    line = "Temperature{{mValue={}, mType=0, mName=cpu, mStatus=0}}\n"
    cached = "Cached temperatures:\n" + line.format(91.0)
    assert parse(cached).hottest_c == 91
    assert parse(f"{cached}Current temperatures from HAL:\n{line.format(66.5)}").hottest_c == 66.5
    assert parse(f"{cached}Current temperatures from HAL:\n").hottest_c == 91
    assert parse(line.format(-273.15)).hottest_c is None


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


@pytest.mark.parametrize(
    ("status", "states", "ceiling"),
    [
        ("Thermal Status: 0\n", [(0, 21), (2, 21), (4, 21)], 0.84),
        ("Thermal Status: 1\n", [(0, 21), (2, 21), (4, 21)], 0.84),
        ("Thermal Status: 0\n", [(0, 21), (2, 22), (4, 22)], None),  # it gets faster while it rests
        ("Thermal Status: 0\n", [(0, 21), (2, 22), (4, 22), (6, 22)], 0.88),
        ("Thermal Status: 2\n", [(0, 21), (20, 21), (60, 21)], None),  # it says that it is hot
        ("", [(0, 21), (4, 21), (20, 21)], None),  # it does not say whether it is hot
        ("", [(0, 21), (4, 21), (20, 21), (30, 21)], 0.84),
        ("Thermal Status: 0\n", [(0, 0), (9, 0)], None),
    ],
)
def test_a_cap_that_rest_does_not_change_belongs_to_the_phone(monkeypatch, status, states, ceiling):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    read = [(seconds, parse(f"{status}freq 1 {most} 25\n")) for seconds, most in states]
    steadiness, found = Steadiness(read[0][1]), None
    for now, state in read[1:]:  # noqa: B007
        found = steadiness.ceiling(state)
    assert found == ceiling


def test_below_its_own_cap_a_phone_still_throttles():
    state = parse("Thermal Status: 0\nfreq 1 20 25\n")
    assert state.throttled and state.throttled_below(0.9) and not state.throttled_below(0.8)
    assert parse("Thermal Status: 2\nfreq 1 20 25\n").throttled_below(0.8)


@given(st.text(alphabet=st.sampled_from("Thermal Status:1234\n freq temperature{mValue=}.,²")))
def test_any_text_can_be_parsed(text):
    assert isinstance(parse(text).throttled, bool)


@pytest.mark.parametrize(
    ("text", "watts"),
    [
        ("current_now: -350000\nvoltage_now: 4000000\n", 1.4),
        ("  voltage: 4000\ncurrent_now: 350\nvoltage_now:\n", 1.4),
        ("  voltage: 3900\n  current now: 900\ncurrent_now: 350000\nvoltage_now: 4000000\n", 1.4),
        ("current_now: 0\nvoltage_now: 4000000\n", None),
        ("voltage_now: 4000000\n", None),
    ],
)
def test_power_is_read_in_whatever_units_phones_have(text, watts):
    found = parse(text)
    assert found.power_w == (None if watts is None else pytest.approx(watts))
    assert found.charger is None


def test_a_charger_is_told_apart():
    on, off = "AC powered: true\n", "  AC powered: false\n  USB powered: false\n  Wireless powered: false\n"
    power = "current_now: 350000\nvoltage_now: 4000000\n"
    assert parse(off + power).charger == "" and parse(off + power).to_properties()["power_w"] == pytest.approx(1.4)
    assert parse(off + on + power).charger == "AC" and "power_w" not in parse(off + on + power).to_properties()
