import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.device.backend import Burst
from nagsdk.errors import MeasurementError
from nagsdk.measuring.measurement import Measurement, Reading, quiet_level_ms
from nagsdk.measuring.protocol import Protocol

MS = st.floats(1e-3, 1e6)
BURSTS = st.lists(st.tuples(MS, MS), min_size=1, max_size=9).map(
    lambda runs: Burst(*zip(*runs, strict=True), {"temperature_c": 41.5})
)
READINGS = st.builds(Reading, BURSTS, MS, MS)
MEASUREMENTS = st.builds(
    Measurement,
    st.lists(READINGS, min_size=3, max_size=6).map(tuple),
    MS,
    st.just(Protocol(runs=9)),
    st.just({"runtime": "x 1"}),
)


def reading(*wall, before=5.0, after=5.0, cpu=None):
    return Reading(Burst(wall, wall if cpu is None else cpu), before, after)


@given(MEASUREMENTS)
def test_json_round_trip(measurement):
    assert Measurement.from_dict(json.loads(json.dumps(measurement.to_dict()))) == measurement


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("readings"),
        lambda d: d["protocol"].update(speed=3),
        lambda d: d["readings"][0]["burst"].update(wall_ms="fast"),
        lambda d: d["readings"][0].update(before_ms=None),
        lambda d: d.update(readings=7),
    ],
)
def test_invalid_measurements_are_refused(damage):
    values = json.loads(json.dumps(Measurement((reading(1.0), reading(1.0)), 5.0).to_dict()))
    damage(values)
    with pytest.raises(MeasurementError, match="cannot be read"):
        Measurement.from_dict(values)


@given(MEASUREMENTS)
def test_limits_lie_above_and_percentiles_are_ordered(measurement):
    assert measurement.latency(50, disturbed=True) <= measurement.latency(90, disturbed=True)
    assert measurement.upper(90, disturbed=True) >= measurement.latency(90, disturbed=True)
    assert measurement.upper(50, 0.99, disturbed=True) >= measurement.upper(50, 0.9, disturbed=True)


def test_quiet_needs_both_neighbours_and_the_cpu():
    quiet = reading(1.0)
    disturbed = [reading(1.0, before=5.3), reading(1.0, after=5.3), reading(1.2, cpu=(1.0,))]
    measurement = Measurement((quiet, *disturbed, reading(1.0, before=4.0), reading(1.05, cpu=())), 5.0)
    assert measurement.quiet == (quiet, *measurement.readings[-2:])


def test_figures_by_hand():
    measurement = Measurement(
        (reading(1.0, 2.0, 3.0), reading(2.0, 3.0, 4.0), reading(3.0, 4.0, 5.0), reading(99.0, after=50.0)), 5.0
    )
    assert measurement.latency() == 3
    # rounds 2, 3, 4: standard error 1 / sqrt(3), Student's t with 2 degrees of freedom at 0.95
    assert measurement.upper() == pytest.approx(3 + 2.9199856 / np.sqrt(3))
    assert measurement.jitter_between == pytest.approx(1 / 3)
    assert measurement.jitter_within == pytest.approx(np.median([1.6 / 2, 1.6 / 3, 1.6 / 4]))
    assert measurement.slowdown(measurement.readings[-1]) == 5.5
    assert measurement.normalised_ms() == pytest.approx(np.median([2, 3, 4, 99 / 5.5]))


def test_two_quiet_readings_are_too_few():
    measurement = Measurement((reading(1.0), reading(1.0), reading(1.0, after=9.0)), 5.0)
    for figure in (
        measurement.latency,
        measurement.upper,
        lambda: measurement.jitter_within,
        lambda: measurement.jitter_between,
    ):
        with pytest.raises(MeasurementError, match="Only 2 of 3"):
            figure()
    with pytest.raises(MeasurementError, match="none was taken"):
        Measurement((), 5.0).latency(disturbed=True)


def test_the_quiet_level_is_not_a_lucky_minimum():
    times = np.concatenate([[3.0], np.full(30, 5.0), np.full(30, 7.0)])
    assert quiet_level_ms(times, None, 1.05) == 5


def test_the_state_of_the_device_is_the_median_of_what_it_reported():
    reported = ({"temperature_c": 40.0}, {"temperature_c": 50.0, "throttled": 1.0}, {"temperature_c": 60.0})
    readings = [replace(reading(1.0), burst=Burst((1.0,), (), properties)) for properties in reported]
    assert Measurement(tuple(readings), 5.0).state == {"temperature_c": 50.0, "throttled": 1.0}


def test_a_session_that_came_near_the_known_level_uses_its_own():
    assert quiet_level_ms([5.2] * 9, 5.0, 1.05) == 5.2
    assert quiet_level_ms([4.0] * 9, 5.0, 1.05) == 4.0


def test_a_session_that_never_came_near_the_known_level_was_never_quiet():
    assert quiet_level_ms([7.0] * 9, 5.0, 1.05) == 5.0
