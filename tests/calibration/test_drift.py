import numpy as np
import pytest

from nagsdk.calibration.drift import Taken, level
from nagsdk.device.backend import Burst
from nagsdk.measuring.measurement import Reading


def session(name, latencies, speed, rng, *, rounds=8, stolen=0.0, reference=5.0, scatter=0.005):
    """Readings of networks on a machine whose speed at time t is speed(t); `stolen` of them lose the processor."""
    taken, t = [], 0
    for _ in range(rounds):
        for network in rng.permutation(len(latencies)):
            slow = speed(t)
            cpu = latencies[network] * slow * (1 + scatter * rng.normal(size=5))
            wall = cpu * (2.0 if rng.random() < stolen else 1.0)
            around = reference * slow * (1 + scatter * rng.normal(size=2))
            taken.append(Taken(name, str(network), Reading(Burst(tuple(wall), tuple(cpu)), *around)))
            t += 1
    return taken


def found(levelled, count):
    return np.array([levelled.p50_ms[str(i)] for i in range(count)])


LATENCIES = np.array([1.0, 2.5, 4.0, 8.0, 13.0])


def test_drift_is_taken_out():
    rng = np.random.default_rng(0)
    jumps = np.where(np.random.default_rng(1).random(400) < 0.7, 1.0, 1.35)
    taken = session("a", LATENCIES, lambda t: jumps[t], rng)
    result = level(taken, 1.05, 1.1)
    np.testing.assert_allclose(found(result, 5), LATENCIES, rtol=0.015)
    assert result.reference_ms == pytest.approx(5.0, rel=0.01)
    assert result.contended == 0 and not result.disturbed


def test_sessions_of_different_speed_are_brought_together():
    rng = np.random.default_rng(0)
    taken = [
        one
        for name, factor in (("a", 1.0), ("b", 1.2), ("c", 1.02))
        for one in session(name, LATENCIES, lambda t, f=factor: f, rng)
    ]
    result = level(taken, 1.05, 1.1)
    assert result.sessions_ms == pytest.approx([5.0, 6.0, 5.1], rel=0.02)
    assert result.quiet_sessions_ms == (result.sessions_ms[0], result.sessions_ms[2])
    np.testing.assert_allclose(found(result, 5), 1.01 * LATENCIES, rtol=0.02)


@pytest.mark.parametrize(("stolen", "disturbed"), [(0.3, False), (0.9, True)])
def test_cpu_time_stands_in_where_the_processor_is_taken_away(stolen, disturbed):
    taken = session("a", LATENCIES, lambda t: 1.0, np.random.default_rng(0), stolen=stolen)
    result = level(taken, 1.05, 1.1)
    assert result.disturbed is disturbed
    assert result.contended == pytest.approx(stolen, abs=0.2)
    np.testing.assert_allclose(found(result, 5), LATENCIES, rtol=0.03)


def test_devices_that_tell_no_cpu_time_are_levelled_by_wall_time():
    plain = [
        Taken(t.session, t.name, Reading(Burst(t.reading.burst.wall_ms), t.reading.before_ms, t.reading.after_ms))
        for t in session("a", LATENCIES, lambda t: 1.0 + 0.1 * (t % 2), np.random.default_rng(0))
    ]
    np.testing.assert_allclose(found(level(plain, 1.05, 1.1), 5), LATENCIES, rtol=0.03)


def test_latencies_are_those_that_sessions_report_on_average():
    """Sessions of other speeds, one that is mostly a little slower than at its best, and one that is never quiet."""
    rng = np.random.default_rng(0)
    mostly = np.where(np.random.default_rng(1).random(400) < 0.3, 1.0, 1.04)
    speeds = {"a": lambda t: 1.0, "b": lambda t: 1.03, "c": lambda t: mostly[t], "d": lambda t: 1.3}
    taken = [one for name, speed in speeds.items() for one in session(name, LATENCIES, speed, rng)]
    result = level(taken, 1.05, 1.1)
    reported = np.log([1.0, 1.03, 1.04])
    assert result.shifts == pytest.approx(reported - reported.mean(), abs=0.008)
    np.testing.assert_allclose(found(result, 5), np.exp(reported.mean()) * LATENCIES, rtol=0.01)


def test_a_reference_that_scatters_makes_no_latency_too_low():
    """The time of a disturbed reference is in the denominator, and disturbances only ever make it longer."""
    rng = np.random.default_rng(0)
    taken = session("a", LATENCIES, lambda t: 1.0, rng, rounds=40)
    for number, one in enumerate(taken):
        slow = 1 + rng.exponential(0.06, 2)
        reading = Reading(one.reading.burst, one.reading.before_ms * slow[0], one.reading.after_ms * slow[1])
        taken[number] = Taken(one.session, one.name, reading)
    assert (found(level(taken, 1.05, 1.1), 5) / LATENCIES).mean() == pytest.approx(1, abs=0.012)
