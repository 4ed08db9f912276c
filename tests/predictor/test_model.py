import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from nagsdk.common.files import sha256
from nagsdk.errors import DamagedBundleError
from nagsdk.predictor import model
from nagsdk.predictor.model import CARD, PREDICTOR_WEIGHTS, AccuracyPrediction, AccuracyPredictor, Resolutions


@pytest.fixture
def saved(tmp_path, predictor):
    predictor.save(tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Changes arrays and updates the hash, so that only the change itself can be the reason for an error."""
    arrays = load((folder / PREDICTOR_WEIGHTS).read_bytes())
    change(arrays)
    (folder / PREDICTOR_WEIGHTS).write_bytes(
        save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    )
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, "sha256": sha256(folder / PREDICTOR_WEIGHTS)}))


def test_saved_and_loaded_predicts_the_same(truth, predictor, saved):
    again = AccuracyPredictor.load(saved, truth.space)
    codes = truth.space.sample(500, np.random.default_rng(2))
    for field in fields(AccuracyPrediction):
        assert np.array_equal(getattr(predictor.predict(codes), field.name), getattr(again.predict(codes), field.name))
    assert np.array_equal(predictor.additive.score(codes), again.additive.score(codes))
    assert again.hash == predictor.hash
    assert again.warnings == predictor.warnings
    assert {
        name: value for name, value in again.card.items() if name not in ("format", "space", "sha256")
    } == predictor.card
    assert again.card["space"] == truth.space.fingerprint


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_intervals_contain_their_mean_and_rows_do_not_depend_on_each_other(truth, predictor, seed):
    codes = truth.space.sample(200, np.random.default_rng(seed))
    p = predictor.predict(codes)
    assert ((p.low >= 0) & (p.low <= p.mean) & (p.mean <= p.high) & (p.high <= 100)).all()
    assert predictor.predict(codes[50:51]).mean == pytest.approx(p.mean[50:51], abs=1e-4)
    assert {getattr(p, f.name).shape for f in fields(p)} == {(200,)}


def test_empty_and_many(truth, predictor, monkeypatch):
    assert predictor.predict(truth.codes[:0]).mean.shape == (0,)
    whole = predictor.predict(truth.codes)
    monkeypatch.setattr(model, "_CHUNK", 7)
    parts = predictor.predict(truth.codes)
    assert parts.mean == pytest.approx(whole.mean, abs=1e-4)
    assert np.array_equal(parts.extrapolated, whole.extrapolated)


def test_unlike_architectures_and_unmeasured_resolutions_are_extrapolated(truth, predictor):
    assert predictor.predict(truth.codes).extrapolated.mean() < 0.05
    r = predictor.resolutions
    unmeasured = predictor.with_resolutions(replace(r, measured=np.array([False, True])), truth.codes)
    assert np.array_equal(
        unmeasured.predict(truth.codes).extrapolated[truth.codes[:, 0] == 0],
        np.ones((truth.codes[:, 0] == 0).sum(), bool),
    )
    near = AccuracyPredictor(
        truth.space,
        predictor.ensemble,
        r,
        predictor.interval,
        predictor.leverage,
        predictor.reach / 4,
        predictor.additive,
        predictor.card,
    )
    assert near.predict(truth.codes).extrapolated.mean() > 0.3


def test_second_hand_resolutions_lower_the_mean_widen_the_interval_and_reach_the_additive_score(truth, predictor):
    r = predictor.resolutions
    lower = Resolutions(
        r.asymptote - np.array([2.0, 0.0]), np.array([1.1, 1.0]), np.array([0.5, 0.0]), np.array([False, True])
    )
    changed = predictor.with_resolutions(lower, truth.codes)
    low = truth.codes[truth.codes[:, 0] == 0]
    before, after = predictor.predict(low), changed.predict(low)
    assert (after.mean < before.mean - 2.0).all()
    assert (after.high - after.mean >= 0.5).all()
    assert changed.hash != predictor.hash
    score = changed.additive
    assert abs((score.inverse(score.score(low)) - after.mean).mean()) < 0.2
    assert np.array_equal(score.table[1:], predictor.additive.table[1:])


def test_any_missing_or_cut_file_is_refused(truth, saved):
    for name in (PREDICTOR_WEIGHTS, CARD):
        whole = (saved / name).read_bytes()
        for content in (
            b"",
            whole[: len(whole) // 2],
            whole[:-1] + b"\x00",
            whole + b"x",
            b"\xff" * 100,
            b"[" * 100_000,
        ):
            (saved / name).write_bytes(content)
            with pytest.raises(DamagedBundleError):
                AccuracyPredictor.load(saved, truth.space)
        (saved / name).unlink()
        with pytest.raises(DamagedBundleError):
            AccuracyPredictor.load(saved, truth.space)
        (saved / name).write_bytes(whole)
    AccuracyPredictor.load(saved, truth.space)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=40)
def test_any_flipped_bit_of_the_weights_is_noticed(truth, predictor, tmp_path_factory, position, bit):
    folder = tmp_path_factory.mktemp("p")
    predictor.save(folder)
    content = bytearray((folder / PREDICTOR_WEIGHTS).read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    (folder / PREDICTOR_WEIGHTS).write_bytes(content)
    with pytest.raises(DamagedBundleError, match="hash"):
        AccuracyPredictor.load(folder, truth.space)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.pop("leverage"),
        lambda a: a.pop("ensemble.skip"),
        lambda a: a.update({"numbers": a["numbers"][:4]}),
        lambda a: a.update({"numbers": a["numbers"] * np.nan}),
        lambda a: a.update({"ensemble.first": a["ensemble.first"][:-1]}),
        lambda a: a.update({"ensemble.first": a["ensemble.first"].astype(np.float64)}),
        lambda a: a.update({"additive.table": a["additive.table"][:, :-1]}),
        lambda a: a.update({"resolutions.measured": a["resolutions.measured"].astype(np.int8)}),
        lambda a: a.update({"leverage": a["leverage"][0]}),
        lambda a: a.update({"leverage": np.float32(1).reshape(())}),
        lambda a: a.update({"ensemble.second": a["ensemble.second"].reshape(-1)}),
    ],
)
def test_arrays_that_do_not_fit_are_refused(truth, saved, change):
    rewrite(saved, lambda arrays: None)
    AccuracyPredictor.load(saved, truth.space)
    rewrite(saved, change)
    with pytest.raises(DamagedBundleError):
        AccuracyPredictor.load(saved, truth.space)


@pytest.mark.parametrize(
    "entry",
    [
        {"format": 1},
        {"space": "0" * 16},
        {"sha256": "0" * 64},
        {"warnings": [3]},
        {"warnings": 3},
        {"optimism": {"points": "0.1"}},
        {"optimism": {"points": -1}},
        {"optimism": {}},
        {"front": {"factor": 0.9}},
        {"front": {"factor": [1]}},
        {"front": {"factor": float("nan")}},
    ],
)
def test_cards_that_do_not_fit_are_refused(truth, saved, entry):
    card = json.loads((saved / CARD).read_text())
    (saved / CARD).write_text(json.dumps({**card, **entry}))
    with pytest.raises(DamagedBundleError):
        AccuracyPredictor.load(saved, truth.space)


def test_another_space_and_oversized_files_are_refused(truth, saved, monkeypatch):
    with pytest.raises(DamagedBundleError, match="another search space"):
        AccuracyPredictor.load(saved, replace(truth.space, classes=6))
    monkeypatch.setattr(model, "_MOST_WEIGHTS", 1000)
    with pytest.raises(DamagedBundleError, match="larger than"):
        AccuracyPredictor.load(saved, truth.space)


def test_inference_needs_no_torch():
    code = "import nagsdk.predictor.model, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_moved_to_other_images_it_predicts_their_top1_in_the_same_order(truth, predictor):
    codes = truth.space.sample(300, np.random.default_rng(3))
    before, moved = predictor.predict(codes), predictor.moved(-1.5, 0.4)
    after = moved.predict(codes)
    assert after.mean == pytest.approx(before.mean - 1.5)
    assert (after.high - after.low) / 2 == pytest.approx(np.hypot((before.high - before.low) / 2, 0.4))
    score = predictor.additive.score(codes)
    assert np.array_equal(moved.additive.score(codes), score)
    assert moved.additive.inverse(score) == pytest.approx(predictor.additive.inverse(score) - 1.5)
    # A generator that was trained for it remains valid.
    assert moved.hash == predictor.hash


def test_what_was_chosen_is_predicted_lower_by_the_optimism(truth, predictor):
    codes = truth.space.sample(50, np.random.default_rng(4))
    assert 0 <= predictor.optimism < 1
    assert predictor.of_chosen(codes).mean == pytest.approx(predictor.predict(codes).mean - predictor.optimism)
    # The cards of earlier versions have a text there, and no factor of the front.
    card = {**predictor.card, "optimism": "A search prefers …", "front": None}
    older = AccuracyPredictor(**{**_parts(predictor), "card": card})
    assert older.optimism == 0 and np.array_equal(older.of_chosen(codes).low, older.predict(codes).low)


def test_intervals_of_what_was_chosen_are_those_of_the_front(truth, predictor):
    codes = truth.space.sample(50, np.random.default_rng(4))
    assert predictor.front_factor == predictor.card["front"]["factor"] >= 1
    wider = AccuracyPredictor(**{**_parts(predictor), "card": {**predictor.card, "front": {"factor": 2.0}}})
    chosen, known = wider.of_chosen(codes), wider.predict(codes)
    assert chosen.high - chosen.low == pytest.approx(2 * (known.high - known.low))


def _parts(predictor):
    names = ("space", "ensemble", "resolutions", "interval", "leverage", "reach", "additive")
    return {name: getattr(predictor, name) for name in names}
