import itertools
import math

import numpy as np
import pytest

from nagsdk.errors import DeviceError, MeasurementError
from nagsdk.events import Advanced, Finished, Started
from nagsdk.measuring import measure as module
from nagsdk.measuring.measure import Contest, measure, measure_together
from nagsdk.measuring.protocol import Protocol

FAST = Protocol(warmup=1, runs=3, reference_runs=3, rounds=4, most_rounds=12, spread_s=0, patience_s=0)


def run(session, paths, protocol=FAST, **more):
    models = dict(paths)
    return measure(session, models, models.pop("reference"), protocol, **more)


def test_a_quiet_machine_is_measured_in_the_requested_rounds(fake_session, networks):
    found = run(fake_session(), networks(reference=5, a=4, b=8))
    assert {name: m.latency() for name, m in found.items()} == {"a": 4, "b": 8}
    assert all(len(m.readings) == len(m.quiet) == FAST.rounds for m in found.values())
    assert all(
        m.reference_quiet_ms == 5 and m.upper() == m.latency() and m.jitter_within == m.jitter_between == 0
        for m in found.values()
    )


def test_the_reference_is_timed_between_any_two_networks(fake_session, networks):
    session = fake_session()
    run(session, networks(reference=5, a=4, b=8, c=2))
    bursts = [name for name in session.log if not name.startswith("load")]
    assert all("reference" in pair for pair in itertools.pairwise(bursts))
    assert bursts[0] == bursts[-1] == "reference"


def test_the_order_is_random_and_follows_from_the_seed(fake_session, networks):
    paths = networks(reference=5, a=4, b=8, c=2)
    orders = []
    for seed in (0, 0, 1):
        session = fake_session()
        run(session, paths, seed=seed)
        orders.append(session.log)
    assert orders[0] == orders[1] != orders[2]


def test_disturbed_readings_are_taken_again_and_do_not_count(fake_session, networks):
    slow = fake_session(speed=lambda clock: 1.4 if int(clock / 400) % 2 else 1.0)
    found = run(slow, networks(reference=5, a=4, b=8))
    assert any(len(m.readings) > FAST.rounds for m in found.values())
    assert {name: round(m.latency(), 9) for name, m in found.items()} == {"a": 4, "b": 8}
    assert all(len(m.quiet) == FAST.rounds for m in found.values())


def test_a_machine_that_stays_disturbed_ends_in_an_error_with_figures(fake_session, networks):
    found = run(fake_session(speed=lambda clock: 1.4), networks(reference=5, a=4), reference_quiet_ms=5.0)
    assert len(found["a"].readings) == FAST.most_rounds
    with pytest.raises(MeasurementError, match=r"Only 0 of 12 .* 1\.40 times its quiet 5 ms") as caught:
        found["a"].latency()
    assert caught.value.next_step
    assert found["a"].latency(disturbed=True) == pytest.approx(5.6)
    assert found["a"].normalised_ms() == pytest.approx(4)


def test_without_an_earlier_level_a_constant_slowness_cannot_be_seen(fake_session, networks):
    assert run(fake_session(speed=lambda clock: 1.4), networks(reference=5, a=4))["a"].latency() == pytest.approx(5.6)


def test_an_earlier_level_above_this_session_s_is_not_used(fake_session, networks):
    assert run(fake_session(), networks(reference=5, a=4), reference_quiet_ms=9.0)["a"].reference_quiet_ms == 5


def test_a_cpu_taken_away_is_disturbance_too(fake_session, networks):
    # Taken away from the network only: the reference shows nothing.
    found = run(fake_session(stolen=lambda clock: 1.3), networks(reference=5, a=4))
    assert found["a"].quiet == ()
    assert found["a"].readings[0].contention == pytest.approx(1.3)


def test_drifting_speed_is_divided_out(fake_session, networks):
    session = fake_session(speed=lambda clock: 1 + 0.3 * math.sin(clock / 700) ** 2, noise=0.01)
    found = run(session, networks(reference=5, a=4, b=8, c=2))
    assert [m.normalised_ms() for m in found.values()] == pytest.approx([4, 8, 2], rel=0.03)


def test_every_reading_is_reported_at_once(fake_session, networks):
    reported, events = [], []

    class DiedError(Exception):
        pass

    def keep(name, reading):
        reported.append((name, reading))
        if len(reported) == 3:
            raise DiedError

    with pytest.raises(DiedError):
        run(fake_session(), networks(reference=5, a=4, b=8), on_reading=keep, on_event=events.append)
    assert len(reported) == 3
    assert all(reading.burst.wall_ms == (4, 4, 4) if name == "a" else (8, 8, 8) for name, reading in reported)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert [e.done for e in events if isinstance(e, Advanced)] == [1, pytest.approx(2, rel=0.05)]


def test_the_progress_bar_is_not_full_while_readings_are_repeated(fake_session, networks):
    events = []
    slow = fake_session(speed=lambda clock: 1.4 if int(clock / 400) % 2 else 1.0)
    run(slow, networks(reference=5, a=4, b=8), on_event=events.append)
    (total,) = (e.total for e in events if isinstance(e, Started))
    shown = [e for e in events if isinstance(e, Advanced)]
    done = [e.done for e in shown]
    assert done == sorted(done) and done[-1] < total
    assert "until readings agree" in shown[-1].text and "until" not in shown[0].text


def test_more_networks_than_memory_holds_are_measured_in_parts(fake_session, networks, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LOADED_BYTES", 2)
    session = fake_session()
    found = run(session, networks(reference=5, a=4, b=8, c=2, d=3, e=6))
    assert {name: m.latency() for name, m in found.items()} == {"a": 4, "b": 8, "c": 2, "d": 3, "e": 6}
    assert session.loaded == {}
    assert session.most_loaded == 3


def test_rounds_are_spread_over_the_requested_time(fake_session, networks, monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", itertools.count().__next__)
    found = run(
        fake_session(), networks(reference=5, a=4), Protocol(rounds=4, most_rounds=5, spread_s=20, patience_s=0)
    )["a"]
    assert len(found.readings) == len(found.quiet) == pytest.approx(20, abs=1)


def test_disturbed_readings_are_repeated_while_patience_lasts(fake_session, networks, monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", itertools.count().__next__)
    protocol = Protocol(rounds=4, most_rounds=5, spread_s=0, patience_s=30)
    paths = networks(reference=5, a=4)
    found = run(fake_session(speed=lambda clock: 1.8), paths, protocol, reference_quiet_ms=5.0)["a"]
    assert len(found.readings) == pytest.approx(30, abs=1)
    seldom_quiet = fake_session(speed=lambda clock: 1.0 if int(clock / 120) % 4 == 0 else 1.8)
    found = run(seldom_quiet, paths, protocol, reference_quiet_ms=5.0)["a"]
    assert len(found.quiet) == 4
    assert found.latency() == pytest.approx(4)


def test_an_absent_file_is_named(fake_session, networks, tmp_path):
    paths = networks(reference=5)
    with pytest.raises(DeviceError, match=r"gone\.net"):
        run(fake_session(), {**paths, "gone": tmp_path / "gone.net"})


def test_no_networks_are_no_measurements(fake_session, networks):
    assert run(fake_session(), networks(reference=5)) == {}


def test_upper_limits_hold_as_often_as_they_say(fake_session, networks):
    paths = networks(reference=5, a=4)
    held = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        speeds = {}
        session = fake_session(
            speed=lambda clock, r=rng, known=speeds: known.setdefault(int(clock / 40), 1 + 0.02 * r.standard_normal()),
            noise=0.02,
        )
        session.rng = np.random.default_rng(seed + 1000)
        held.append(
            run(session, paths, Protocol(rounds=6, most_rounds=6, drift=2, spread_s=0, patience_s=0))["a"].upper() >= 4
        )
    assert 0.90 <= np.mean(held) <= 0.99


def test_networks_on_several_sessions_take_turns_beside_their_own_references(fake_session, networks):
    one, two = fake_session(), fake_session(speed=lambda clock: 2.0)
    paths = networks(reference=5, a=4, b=8)
    order = []
    contests = [
        Contest(one, {"a": paths["a"]}, paths["reference"], on_reading=lambda *_: order.append(1)),
        Contest(two, {"a": paths["a"], "b": paths["b"]}, paths["reference"], on_reading=lambda *_: order.append(2)),
    ]
    first, second = measure_together(contests, FAST)
    assert first["a"].latency() == 4 and {name: m.latency() for name, m in second.items()} == {"a": 8, "b": 16}
    assert first["a"].reference_quiet_ms == 5 and second["b"].reference_quiet_ms == 10
    rounds = [order[start : start + 3] for start in range(0, len(order), 3)]
    assert len(rounds) == FAST.rounds and all(sorted(r) == [1, 2, 2] for r in rounds)
    assert one.loaded == two.loaded == {}
