from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from nagsdk.errors import ArchitectureError, UsageError
from nagsdk.events import Advanced, Finished, Started
from nagsdk.predictor.fit import fit_predictor
from nagsdk.predictor.fitter import Fitter
from nagsdk.predictor.groups import MeasuredSubnets, folds
from nagsdk.predictor.intervals import Judged
from nagsdk.predictor.train import EnsembleRecipe
from tests.predictor.conftest import SHORT


def test_recovers_a_synthetic_truth_on_architectures_not_measured(truth, predictor):
    fresh = truth.space.sample(2000, np.random.default_rng(9))
    prediction, exact = predictor.predict(fresh), truth.exact(fresh)
    assert kendalltau(prediction.mean, exact)[0] > 0.93
    assert np.sqrt(np.mean((prediction.mean - exact) ** 2)) < 0.25 * exact.std()
    measured = exact + np.random.default_rng(0).normal(0, truth.noise, len(exact))
    assert 0.8 < np.mean((prediction.low <= measured) & (measured <= prediction.high)) < 0.99
    score = predictor.additive
    assert kendalltau(score.score(fresh), exact)[0] > 0.9


def test_a_shuffled_truth_is_not_recovered(truth):
    rng = np.random.default_rng(0)
    made = fit_predictor(
        truth.space,
        truth.codes,
        rng.permutation(truth.top1),
        source="noise",
        groups=truth.groups,
        recipe=replace(SHORT, steps=50),
    )
    assert abs(made.card["folds"]["kendall_tau"]) < 0.2
    assert (made.predict(truth.codes).high - made.predict(truth.codes).low).mean() > truth.top1.std()


def test_card_has_counts_and_figures(truth, predictor):
    card = predictor.card
    assert card["source"] == "made up"
    assert card["extra"] == 1
    assert card["data"]["evaluations"] == 280
    assert card["data"]["architectures"] == len(np.unique(truth.codes, axis=0))
    assert sum(card["data"]["groups"].values()) == 280
    assert 0.4 * truth.noise < card["data"]["repeat_sd"] < 2 * truth.noise
    assert [row["left_out"] for row in card["left_out"]] == ["a", "b", "c"]
    assert sum(row["evaluations"] for row in card["left_out"]) == card["folds"]["evaluations"] == 280
    assert all(0.7 < row["coverage_90"] <= 1 for row in card["left_out"])


def test_one_seed_gives_one_predictor(truth):
    recipe = EnsembleRecipe(members=2, hidden=4, steps=20)
    made = [
        fit_predictor(truth.space, truth.codes, truth.top1, source="x", recipe=recipe, seed=seed) for seed in (3, 3, 4)
    ]
    assert made[0].hash == made[1].hash != made[2].hash
    assert [row["left_out"] for row in made[0].card["left_out"]] == [f"fold {i}" for i in range(1, 6)]


def test_progress_adds_up(truth):
    events = []
    fit_predictor(
        truth.space,
        truth.codes,
        truth.top1,
        source="x",
        groups=truth.groups,
        recipe=EnsembleRecipe(2, 4, 5),
        on_event=events.append,
    )
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    done = [event.done for event in events if isinstance(event, Advanced)]
    assert done == list(range(1, int(events[0].total) + 1))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 100))
def test_no_architecture_is_in_two_folds(architecture, seed):
    architecture = np.array(architecture)
    fold = folds(architecture, seed)
    assert all(len(set(fold[architecture == a])) == 1 for a in set(architecture.tolist()))
    assert len(set(fold)) == min(5, len(set(architecture.tolist())))


def test_left_out_groups_leave_no_architecture_behind(truth):
    measured = MeasuredSubnets.of(truth.space, truth.codes, truth.top1, truth.groups, 0)
    for groups in ((0,), (0, 2)):
        kept = measured.codes[measured.outside(*groups)]
        left_out = measured.codes[np.isin(measured.group, groups)]
        assert len(kept)
        assert not {tuple(c) for c in kept.tolist()} & {tuple(c) for c in left_out.tolist()}


def test_intervals_for_a_group_do_not_depend_on_it(truth):
    changed = truth.top1.copy()
    changed[truth.groups == "a"] += np.random.default_rng(0).normal(0, 3, (truth.groups == "a").sum()).clip(-5, 1)
    intervals = []
    for top1 in (truth.top1, changed):
        # The same holds for rows of other groups that have an architecture in common with this group.
        measured = MeasuredSubnets.of(truth.space, truth.codes, top1, truth.groups, 0)
        fitter = Fitter(truth.space, measured, EnsembleRecipe(2, 4, 20), 0)
        intervals.append({group.name: group.interval for group in fitter.left_out()})
    assert intervals[0]["a"] == intervals[1]["a"]
    assert intervals[0]["b"] != intervals[1]["b"]


@pytest.mark.parametrize(
    ("rows", "top1", "groups"),
    [(slice(0, 10), None, None), (slice(None), np.nan, None), (slice(None), 70.0, None), (slice(None), None, "same")],
)
def test_too_little_to_fit_on_is_refused(truth, rows, top1, groups):
    values = truth.top1[rows] if top1 is None else np.full(len(truth.codes[rows]), top1)
    names = None if groups is None else [groups] * len(truth.codes[rows])
    with pytest.raises(UsageError):
        fit_predictor(truth.space, truth.codes[rows], values, source="x", groups=names)


def test_invalid_codes_are_refused(truth):
    with pytest.raises(ArchitectureError):
        fit_predictor(truth.space, np.full_like(truth.codes, 99), truth.top1, source="x")


def test_a_fit_to_few_uncertain_measurements_leans_on_the_sum_over_choices(truth):
    top1 = truth.top1[:40] + np.random.default_rng(0).normal(0, 0.5, 40)
    measured = MeasuredSubnets.of(truth.space, truth.codes[:40], top1, None, 0)
    fitter = Fitter(truth.space, measured, replace(SHORT, members=3, steps=400), 0)
    fresh, every = truth.space.sample(1000, np.random.default_rng(9)), np.ones(40, bool)
    errors = [
        np.square(fitted.predict(truth.space, fresh) - truth.exact(fresh)).mean()
        for fitted in (fitter.alone(every), fitter.fit(every))
    ]
    assert fitter.share > 0.2 and errors[1] < errors[0]


def test_where_the_sum_is_wrong_the_fit_hardly_leans_on_it(truth):
    fitted, rng = SHORT, np.random.default_rng(2)
    codes = truth.space.sample(280, rng)
    # The effect of one choice is turned round by another one, which no sum expresses.
    sign = np.where(codes[:, 1] == 0, 1.0, -1.0)
    top1 = 70 + 5 * sign * np.where(codes[:, 2] > codes[:, 2].mean(), 1.0, -1.0)
    fitter = Fitter(truth.space, MeasuredSubnets.of(truth.space, codes, top1, None, 0), fitted, 0)
    assert fitter.share < 0.2


def test_the_mixture_of_an_ensemble_and_a_sum_is_their_weighted_mean(truth):
    measured = MeasuredSubnets.of(truth.space, truth.codes, truth.top1, None, 0)
    fitted = Fitter(truth.space, measured, EnsembleRecipe(2, 4, 20), 0).alone(np.ones(len(truth.codes), bool))
    rows = truth.space.one_hot(truth.codes)
    sums = (rows @ fitted.weights + fitted.level)[:, None]
    assert fitted.leaning(0.7).ensemble(rows) == pytest.approx(0.3 * fitted.ensemble(rows) + 0.7 * sums, abs=1e-4)


def test_random_folds_are_one_group_for_intervals_and_runs_are_not(truth):
    def part(rng, miss):
        predicted = np.arange(200.0)  # grows with the costs, so that all are on the front
        return Judged(predicted + miss * rng.normal(0, 1, 200), predicted, np.ones(200), np.ones(200), predicted)

    rng = np.random.default_rng(4)
    parts = [part(rng, 1.0), part(rng, 1.0), part(rng, 2.0)]
    for groups, least, most in ((None, 0.89, 0.91), (truth.groups, 0.93, 1.0)):
        measured = MeasuredSubnets.of(truth.space, truth.codes, truth.top1, groups, 0)
        interval, factor = Fitter(truth.space, measured, SHORT, 0).calibrated(parts)
        every = Judged.joined(parts)
        half = interval.half_width(every.spread, every.leverage)
        for width in (half, factor * half):
            assert least <= np.mean(np.abs(every.predicted - every.top1) <= width) <= most
