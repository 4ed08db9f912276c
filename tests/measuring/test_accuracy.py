import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nagsdk.errors import DataError
from nagsdk.measuring.accuracy import calibration_error, fitted_temperature, paired_gain, probabilities

LOGITS = hnp.arrays(np.float32, (23, 4), elements=st.floats(-30, 30, width=32))
LABELS = hnp.arrays(np.int64, 23, elements=st.integers(0, 3))


@settings(deadline=None)
@given(LOGITS, LABELS)
def test_the_calibration_error_is_that_of_fifteen_bins(logits, labels):
    found = probabilities(logits)
    sure, right, total = found.max(1), logits.argmax(1) == labels, 0.0
    for low in range(15):
        inside = (sure * 15 >= low) & ((sure * 15 < low + 1) | (low == 14))
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert calibration_error(logits, labels) == pytest.approx(100 * total, abs=1e-6)


def test_a_sure_and_right_network_has_no_calibration_error():
    logits = 100 * np.eye(4, dtype=np.float32)
    assert calibration_error(logits, np.arange(4)) == pytest.approx(0)
    assert calibration_error(logits, np.zeros(4, np.int64)) == pytest.approx(75)


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_of_made_up_outputs_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)).astype(np.float32) * 2
    labels = (probabilities(logits).cumsum(1) > rng.random(20_000)[:, None]).argmax(1)
    found = fitted_temperature(logits * np.float32(true), labels)
    assert found == pytest.approx(true, rel=0.03)
    scaled = logits * np.float32(true / found)
    assert calibration_error(scaled, labels) < 1.5 and (scaled.argmax(1) == logits.argmax(1)).all()


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1, 2, 3, 0]])
def test_images_that_determine_no_temperature_are_refused(labels):
    with pytest.raises(DataError, match="4 validation images, of which the network knows"):
        fitted_temperature(np.eye(4, dtype=np.float32), np.array(labels))


def test_a_gain_rests_on_the_images_that_changed():
    before = np.array([True] * 80 + [False] * 20)
    after = np.array([True] * 98 + [False] * 2)
    gain = paired_gain(before, after)
    assert (gain.points, gain.changed, gain.images, gain.noise) == (pytest.approx(18), 18, 100, False)
    assert paired_gain(after, before).high == pytest.approx(-gain.low)
    one = paired_gain(before, np.append(before[:-1], True))
    assert one.points == pytest.approx(1) and one.noise
    none = paired_gain(before, before)
    assert none.points == 0 and none.noise and none.low < 0 < none.high
    assert paired_gain(before[-5:], before[-5:]).high > 5 * none.high  # few images say little


@pytest.mark.parametrize(("better", "worse", "count"), [(0.05, 0.05, 60), (0.1, 0.04, 200), (0.02, 0.0, 50)])
def test_the_interval_of_a_gain_covers_as_often_as_it_says(better, worse, count):
    rng, true, covered = np.random.default_rng(0), 100 * (better - worse), []
    for _ in range(1000):
        kind = rng.choice(3, size=count, p=[better, worse, 1 - better - worse])
        gain = paired_gain(kind != 0, kind != 1)
        covered.append(gain.low <= true <= gain.high)
    assert np.mean(covered) >= 0.93
