import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.measuring.settling import LEAST_POINTS, settling


def curve(until_s, cold=10.0, hot=16.0, switch_s=30.0, tau_s=10.0, noise=0.02, seed=0):
    rng, t = np.random.default_rng(seed), np.arange(0.5, until_s, 0.5)
    y = cold * (hot / cold) ** -np.expm1(-np.maximum(t - switch_s, 0) / tau_s) * np.exp(rng.normal(0, noise, len(t)))
    return t, y * np.where(rng.random(len(t)) < 0.03, 1.6, 1.0)  # some runs are disturbed


@pytest.mark.parametrize("hot", [16.0, 7.0])
def test_the_model_is_found_again(hot):
    found = settling(*curve(120, hot=hot), 300)
    assert found.changes and found.known and found.over(120)
    assert found.cold == pytest.approx(10, rel=0.03) and found.hot == pytest.approx(hot, rel=0.03)
    assert found.low <= hot * 1.01 and hot * 0.99 <= found.high
    assert 20 < found.switch_s < 35 and 4 < found.tau_s < 25


def test_a_change_that_goes_on_is_not_over():
    seconds, ms = curve(40)
    assert not settling(seconds, ms, 300).over(40)
    for end in (60, 75):  # it has gone on for less time than it took to begin
        assert not settling(*curve(end), 300).over(end)


def test_a_constant_speed_does_not_change():
    found = settling(*curve(300, hot=10.0), 300)
    assert not found.changes and not found.over(300)


def test_few_points_are_not_fitted():
    assert settling(range(LEAST_POINTS - 1), [1.0] * (LEAST_POINTS - 1), 10) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=LEAST_POINTS, max_size=60))
def test_any_latencies_give_finite_states(values):
    found = settling(np.arange(1, len(values) + 1) / 4, values, 1e4)
    assert all(np.isfinite(v) for v in found.to_dict().values())
    assert 0 < found.low <= found.high and found.cold > 0 and found.hot > 0
