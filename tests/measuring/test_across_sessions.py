import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from nagsdk.device.backend import Burst
from nagsdk.measuring.across_sessions import ASSURED, AcrossSessions, half_beyond
from nagsdk.measuring.measurement import Measurement, Reading
from nagsdk.measuring.protocol import Protocol

VALUES = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=8).map(tuple)
KNOWN = st.floats(0.01, 0.1)


@settings(deadline=None, max_examples=30)
@given(VALUES, KNOWN)
def test_the_interval_is_that_of_student_with_three_sessions_known_before(values, known):
    found, logs = AcrossSessions(values, known), np.log(values)
    freedom = len(values) + 2
    spread = np.sqrt((3 * known**2 + ((logs - logs.mean()) ** 2).sum()) / freedom)
    reach = t.ppf(0.95, freedom) * spread / np.sqrt(len(values))
    assert found.interval_ms == pytest.approx((np.exp(logs.mean() - reach), np.exp(logs.mean() + reach)))
    assert found.figure_ms == pytest.approx(np.exp(logs.mean())) and found.spread == pytest.approx(spread)


@settings(deadline=None, max_examples=30)
@given(VALUES, KNOWN)
def test_what_is_assured_is_what_has_the_chance(values, known):
    found = AcrossSessions(values, known)
    assert found.interval_ms[1] < found.assured_ms() < found.assured_ms(0.99)
    assert found.chance(found.assured_ms()) == pytest.approx(ASSURED, abs=0.02)
    assert found.chance(1e-3) <= found.chance(found.figure_ms) < 0.5 < ASSURED < found.chance(1e3)


@settings(deadline=None, max_examples=30)
@given(VALUES, KNOWN)
def test_more_sessions_of_the_same_kind_spare_more(values, known):
    found = AcrossSessions(values, known)
    assert found.repeated(8).figure_ms == pytest.approx(found.figure_ms)
    assert 1 < found.spare(8) < found.spare(4)


@pytest.mark.parametrize(("spread", "known"), [(0.01, 0.02), (0.03, 0.02), (0.05, 0.02)])
def test_what_was_assured_holds_in_as_many_later_sessions(spread, known):
    """Also where the spread is two and a half times as large as was known."""
    rng, passed, held = np.random.default_rng(0), 0, 0
    for _ in range(400):
        level = rng.uniform(1 - 8 * spread - 0.03, 1)
        first, later = level * np.exp(spread * rng.normal(size=(2, 3)))
        if AcrossSessions(tuple(first), known).assured_ms() <= 1:
            held += 1
            passed += AcrossSessions(tuple(later), known).interval_ms[1] <= 1
    assert held > 50 and passed / held >= 0.9


def session(slow: float, *, before: float = 5.0) -> Measurement:
    """A session in which one of ten runs takes `slow` ms and the others 1 ms."""
    readings = tuple(Reading(Burst((*[1.0] * 8, slow, slow), (1.0,)), before, before) for _ in range(10))
    return Measurement(readings, 5.0, Protocol(contention=100))


def test_a_percentile_is_taken_in_each_session():
    found = AcrossSessions.of([session(1.2), session(1.5)], 90, 0.02)
    assert found.values_ms == pytest.approx((1.2, 1.5))
    assert AcrossSessions.of([session(1.2), session(1.5)], 50, 0.02).known_spread == 0.02


@pytest.mark.parametrize(("far", "known"), [(1.2, 0.05), (2.4, math.hypot(0.05, math.log(2)))])
def test_a_percentile_near_much_slower_runs_is_expected_to_differ_between_sessions(far, known):
    # Eight of a hundred runs take `far` ms, so that p95 is among them and p90 is not.
    runs = (*[1.0] * 12, *[1.2] * 11, far, far)
    found = AcrossSessions.of([Measurement((Reading(Burst(runs, (1.0,)), 5.0, 5.0),) * 8, 5.0)], 90, 0.05)
    assert found.values_ms == pytest.approx((1.2,)) and found.known_spread == pytest.approx(known)


def test_half_as_many_runs_lie_beyond():
    assert (half_beyond(90), half_beyond(99), half_beyond(50), half_beyond(20)) == (95, 99.5, 50, 20)


def test_scatter_within_a_session_counts_where_sessions_are_few():
    readings = tuple(Reading(Burst((ms,) * 5, (ms,) * 5), 5.0, 5.0) for ms in (1.0, 2.0, 1.0, 2.0, 1.0, 2.0))
    scattered = Measurement(readings, 5.0)
    assert AcrossSessions.of([scattered], 50, 0.02).known_spread == scattered.error(50) > 0.1


def test_nothing_overflows_where_sessions_have_nothing_in_common():
    wild = AcrossSessions.of([session(1e6), session(1e-6)], 90, 0.02)
    assert np.isfinite([*wild.interval_ms, wild.assured_ms(), wild.spare(8)]).all()
