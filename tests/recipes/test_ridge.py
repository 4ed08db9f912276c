import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

from ridge import cross_validated, fit

SPACE = ofa_mobilenet_v3()
TABLE = FeatureTable.of(SPACE)


def features(count, seed):
    return TABLE.of_codes(SPACE.sample(count, np.random.default_rng(seed)))


def shape(seed, spread=0.5):
    mean = features(200, 0).mean(0)
    draw = np.exp(np.random.default_rng(seed).normal(0, spread, len(FEATURES)))
    return np.divide(draw, mean, out=np.zeros_like(mean), where=mean > 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_an_exact_prior_is_found_at_any_scale(seed, scale):
    prior, x = shape(seed), features(12, seed + 1)
    np.testing.assert_allclose(fit(x, scale * (x @ prior), prior, 0.1), scale * prior, rtol=1e-6)


def test_weights_are_never_negative_under_noise():
    prior, x = shape(1), features(20, 2)
    y = x @ shape(3) * np.random.default_rng(4).normal(1, 0.2, 20).clip(0.2)
    for strength in (1e-4, 1.0, 100.0):
        assert (fit(x, y, prior, strength) >= 0).all()


def test_samples_correct_a_wrong_prior_and_a_right_one_helps():
    rng = np.random.default_rng(0)
    truth, fresh = shape(1), features(500, 9)
    error = {}
    for label, prior in {
        "right": shape(1, 0.5) * np.exp(rng.normal(0, 0.1, len(FEATURES))),
        "wrong": shape(7, 1.0),
    }.items():
        for count in (10, 200):
            x = features(count, 5)
            y = x @ truth * np.exp(rng.normal(0, 0.01, count))
            error[label, count] = np.sqrt(np.mean((fresh @ fit(x, y, prior, 1e-3) / (fresh @ truth) - 1) ** 2))
    assert error["right", 10] < error["wrong", 10]
    assert error["wrong", 200] < 0.5 * error["wrong", 10]
    assert error["wrong", 200] < 0.01


def test_a_great_strength_keeps_the_shape_and_fits_the_scale():
    prior, x = shape(1), features(15, 2)
    weights = fit(x, 3 * (x @ shape(8)), prior, 1e9)
    ratio = weights[prior > 0] / prior[prior > 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_left_out_predictions_do_not_see_their_sample():
    x = features(40, 2)
    y = x @ shape(3)
    spoilt = y.copy()
    spoilt[4] *= 1.5
    (_, one), (_, other) = (cross_validated(x, values, 0.1) for values in (y, spoilt))
    assert other[4] == pytest.approx(one[4], rel=1e-9)
    assert not np.allclose(np.delete(other, 4), np.delete(one, 4))


def test_a_feature_that_no_sample_has_keeps_its_price_at_the_fitted_scale():
    prior, x = shape(1), features(12, 2)
    x[:, 5] = 0
    assert fit(x, 2 * (x @ prior), prior, 0.1)[5] == pytest.approx(2 * prior[5], rel=1e-6)
