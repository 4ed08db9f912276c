"""The accuracy predictor that the `imagenet` bundle ships."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.families.mobilenet_v3.table import read_architectures
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import MeasuredSubnets
from nagsdk.predictor.model import AccuracyPredictor
from nagsdk.predictor.train import EnsembleRecipe
from tests.conftest import REPOSITORY

SPACE = ofa_mobilenet_v3()
FOLDER = REPOSITORY / "bundles" / "imagenet"


@pytest.fixture(scope="module")
def shipped():
    return AccuracyPredictor.load(FOLDER, SPACE)


@pytest.fixture(scope="module")
def measured(shared):
    codes, columns = read_architectures(shared / "data" / "ofa_mbv3_w1.0_imagenet_top1.csv", SPACE)
    return MeasuredSubnets.of(SPACE, codes, columns["top1"].astype(float), columns["run"], 0)


def test_card_has_the_required_figures(shipped):
    card = shipped.card
    assert card["folds"]["rmse"] <= 0.07
    assert card["folds"]["kendall_tau"] >= 0.955
    assert len(card["left_out"]) == 4
    for row in card["left_out"]:
        assert row["rmse"] <= 0.10
        assert 0.86 <= row["coverage_90"] <= 0.95
        assert min(row["coverage_90_by_quarter_of_macs"]) >= 0.84
        assert row["coverage_90_on_front"] >= 0.84
        assert row["mean_half_width"] <= 0.17 and row["mean_half_width_on_front"] <= 0.18
    assert 0 < card["optimism"]["points"] < 0.1
    assert any("second-hand" in warning for warning in shipped.warnings)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_less_resolution_never_predicts_more(shipped, seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(SPACE.mutate(SPACE.sample(20, rng), rng, 0.5), len(SPACE.resolutions), axis=0)
    codes[:, 0] = np.tile(np.arange(len(SPACE.resolutions)), 20)
    p = shipped.predict(codes)
    mean, low, width = (a.reshape(20, -1) for a in (p.mean, p.low, p.high - p.low))
    assert (np.diff(mean, axis=1) > 0).all()
    assert (np.diff(low, axis=1) > 0).all()
    assert (np.diff(width, axis=1) < 1e-9).all()
    assert ((p.low < p.mean) & (p.mean < p.high)).all()


def test_only_224_px_was_measured(shipped):
    codes = SPACE.sample(3000, np.random.default_rng(0))
    other = np.array(SPACE.resolutions)[codes[:, 0]] != 224
    p = shipped.predict(codes)
    assert p.extrapolated[other].all()
    assert p.extrapolated[~other].mean() < 0.05
    at_least = (p.high - p.low)[codes[:, 0] == 0].min()
    assert at_least > 4 * np.median((p.high - p.low)[~other])


def test_additive_score_ranks_like_the_ensemble(shipped):
    codes = SPACE.sample(3000, np.random.default_rng(0), 224)
    mean, score = shipped.predict(codes).mean, shipped.additive
    assert np.sqrt(np.mean((score.inverse(score.score(codes)) - mean) ** 2)) < 0.08
    assert (np.diff(score.table[0, : len(SPACE.resolutions)]) > 0).all()


def test_fits_what_was_measured(shipped, measured):
    p = shipped.predict(measured.codes)
    assert np.sqrt(np.mean((p.mean - measured.top1) ** 2)) < 0.05
    assert np.mean((p.low <= measured.top1) & (measured.top1 <= p.high)) > 0.95
    assert not p.extrapolated.any()


@pytest.mark.nightly  # the card has the same figures, of all runs
def test_a_run_that_was_left_out_is_predicted(measured):
    fitter = Fitter(SPACE, measured, EnsembleRecipe(), 0)
    run = measured.names.index("linasga_acc")
    assert fitter.judge(fitter.alone(measured.outside(run)), measured.group == run).figures()["rmse"] <= 0.10
