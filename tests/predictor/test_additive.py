import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.predictor.additive import AdditiveScore, fit_additive, fit_asymptote, with_unmeasured
from nagsdk.predictor.groups import folds

SPACE = ofa_mobilenet_v3()


@given(st.floats(1.0, 100.0), st.floats(0.01, 60.0))
def test_link_and_inverse_undo_each_other(asymptote, gap):
    score = AdditiveScore(0.0, np.zeros((1, 1)), asymptote)
    assert score.inverse(score.link(asymptote - gap)) == pytest.approx(asymptote - gap, abs=1e-9)
    assert score.inverse(score.link(asymptote - gap) + 0.1) > asymptote - gap


@given(st.integers(0, 2**32 - 1))
def test_score_is_the_sum_over_active_decisions(seed):
    rng = np.random.default_rng(seed)
    score = AdditiveScore(1.5, rng.normal(size=(len(SPACE.sizes), int(SPACE.sizes.max()))), 79.0)
    codes = SPACE.sample(3, rng)
    wanted = [1.5 + sum(score.table[d, c] for d, c in enumerate(code) if c >= 0) for code in codes.tolist()]
    assert score.score(codes) == pytest.approx(wanted)


def test_recovers_an_additive_truth_and_its_asymptote():
    rng = np.random.default_rng(0)
    codes = SPACE.sample(4000, rng)
    true = AdditiveScore(-2.5, rng.uniform(0, 0.15, (len(SPACE.sizes), int(SPACE.sizes.max()))), 79.0)
    top1 = true.inverse(true.score(codes)) + rng.normal(0, 0.02, len(codes))
    asymptote = fit_asymptote(SPACE.one_hot(codes).astype(float), top1, folds(np.arange(len(codes)), 0))
    assert asymptote == pytest.approx(79.0, abs=0.25)
    fitted = fit_additive(SPACE, codes[:3000], top1[:3000], asymptote)
    predicted = fitted.inverse(fitted.score(codes[3000:]))
    exact = true.inverse(true.score(codes[3000:]))
    assert np.sqrt(np.mean((predicted - exact) ** 2)) < 0.02
    # Without the link, the same model is several times worse.
    plain = fit_additive(SPACE, codes[:3000], top1[:3000], 1000.0)
    assert np.sqrt(np.mean((plain.inverse(plain.score(codes[3000:])) - exact) ** 2)) > 0.08


def test_asymptote_is_above_every_top1_and_never_above_100():
    rng = np.random.default_rng(0)
    codes = SPACE.sample(400, rng)
    x = SPACE.one_hot(codes).astype(float)
    linear = 99.0 + 0.5 * np.tanh(x @ rng.normal(size=x.shape[1]) / 5)
    assert linear.max() < fit_asymptote(x, linear, folds(np.arange(400), 0)) <= 100.0


def test_unmeasured_resolutions_get_the_column_that_fits_there():
    rng = np.random.default_rng(0)
    true = AdditiveScore(-2.0, rng.uniform(0, 0.1, (len(SPACE.sizes), int(SPACE.sizes.max()))), 79.0)
    codes = SPACE.sample(300, rng, 224)
    known = AdditiveScore(true.base, true.table.copy(), 79.0)
    known.table[0, :-1] = 0.0
    filled = with_unmeasured(known, lambda c: true.inverse(true.score(c)), codes, np.arange(len(SPACE.resolutions) - 1))
    assert filled.table == pytest.approx(true.table)
    assert (known.table[0, :-1] == 0).all()
