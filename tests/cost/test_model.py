import itertools

import numpy as np
import pytest

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import flat_prior
from nagsdk.errors import UsageError


def test_a_calibrated_model_predicts_and_knows_its_accuracy(world):
    model, fresh = world.model(), world.sample(1000)
    mean, spread = model.predict(fresh)
    error = mean / world.exact(fresh) - 1
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert 0.5 < np.sqrt(np.mean(error**2 + world.noise**2)) / np.mean(spread / mean) < 2
    assert model.source == "calibration"
    assert set(model.accuracy) == {"samples", "within_5_percent", "within_10_percent", "rmspe"}
    assert 0.01 < model.accuracy["rmspe"] < 0.06


def test_the_mean_is_the_additive_table(world):
    model, fresh = world.model(), world.sample(100)
    np.testing.assert_allclose(model.predict(fresh)[0], model.table.cost(fresh), rtol=1e-12)
    always = [d for d, decision in enumerate(world.space.decisions) if decision.active_if is None]
    assert (model.table.choice[:, always] >= 0).all() and (model.table.base > 0).all()
    assert not model.table.choice[:, 0].any()


def test_fitting_is_deterministic(make_world, world):
    one, other = world.model(), make_world(world.space).model()
    np.testing.assert_array_equal(one.table.choice, other.table.choice)
    assert one.spread == other.spread


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9])
def test_upper_bounds_cover_fresh_measurements_as_often_as_they_say(make_world, world, confidence):
    covered = []
    for seed in range(8):
        one = make_world(world.space, seed)
        model, fresh = one.model(20), one.sample(200)
        covered.append(np.mean(model.upper(fresh, confidence) >= one.measure(fresh)))
    assert confidence - 0.12 < np.mean(covered) < min(confidence + 0.2, 1.0)


def test_bounds_grow_with_confidence_and_percentile(world):
    model, codes = world.model(), world.sample(20)
    bounds = [model.upper(codes, c, p) for c, p in ((0.5, 50), (0.8, 50), (0.95, 50), (0.95, 90), (0.95, 99))]
    for low, high in itertools.pairwise(bounds):
        assert (high > low).all()
    np.testing.assert_allclose(bounds[3] / bounds[2], model.jitter.factor(90))


@pytest.mark.parametrize(("count", "possible", "refused", "needed"), [(9, 0.9, 0.91, 11), (19, 0.95, 0.99, 99)])
def test_a_confidence_beyond_the_samples_is_refused_with_their_number(world, count, possible, refused, needed):
    model, codes = world.model(count), world.sample(2)
    assert np.isfinite(model.upper(codes, possible)).all()
    assert model.most_confidence == pytest.approx(count / (count + 1))
    for ask in (lambda: model.upper(codes, refused), lambda: model.limit_for_mean(10.0, refused)):
        with pytest.raises(
            UsageError, match=f"calibration with {needed} architectures; this one has {count}"
        ) as caught:
            ask()
        assert f"--samples {needed}" in caught.value.next_step


@pytest.mark.parametrize("observations", [0, 1, 3])
@pytest.mark.parametrize(("confidence", "percentile"), [(0.9, 50), (0.6, 90)])
def test_the_limit_for_the_mean_is_the_largest_that_holds(world, observations, confidence, percentile):
    model = world.model()
    for code in world.sample(observations):
        model = model.with_observation(code, 1.06 * float(model.predict(code[None])[0][0]))
    codes = world.sample(4000)
    cost = model.table.cost(codes)
    limit = float(np.median(cost))
    most = model.limit_for_mean(limit, confidence, percentile)
    upper = model.upper(codes, confidence, percentile)
    assert (upper[cost <= most] <= limit * (1 + 1e-9)).all()
    assert (upper[cost > 1.001 * most] > limit).all()
    assert (cost <= most).any() and (cost > most).any()


@pytest.mark.parametrize("factor", [1.03, 1.2, 0.9])
def test_a_candidate_that_missed_is_not_missed_by_the_same_amount_again(world, factor):
    model = world.model()
    codes = world.sample(3000)
    cost = model.table.cost(codes)
    order = cost.argsort()
    seen, near = codes[order[1500]], codes[order[1480:1520]]
    before = model.predict(near)[0]
    after = model.with_observation(seen, factor * float(cost[order[1500]])).predict(near)[0]
    assert np.median(after / before) == pytest.approx(factor, abs=0.25 * abs(factor - 1))


def test_far_away_an_observation_changes_little_and_near_it_narrows_the_margin(world):
    model = world.model()
    codes = world.sample(3000)
    order = model.table.cost(codes).argsort()
    seen = codes[order[-30]]
    updated = model.with_observation(seen, 1.1 * float(model.predict(seen[None])[0][0]))
    far = codes[order[:30]]
    assert np.abs(updated.predict(far)[0] / model.predict(far)[0] - 1).max() < 0.05

    def width(m, c):
        return m.upper(c, 0.9) / m.predict(c)[0] - 1

    near = codes[order[-35:-25]]
    assert (width(updated, near) < 0.7 * width(model, near)).all()
    assert len(updated.observed) == 1 and len(model.observed) == 0


def test_an_observed_percentile_widens_the_factor_and_never_narrows_it(world):
    model, code = world.model(), world.sample(1)
    wide = model.with_observation(code, 10.0, {90.0: 13.0})
    assert wide.jitter.factor(90) == pytest.approx(1.3)
    narrow = model.with_observation(code, 10.0, {90.0: 10.1})
    assert narrow.jitter.factor(90) == pytest.approx(model.jitter.factor(90))


def test_a_bare_prior_is_wide_and_any_confidence_can_be_asked(world):
    model, codes = CostModel.from_prior(world.space, world.prior), world.sample(50)
    mean, spread = model.predict(codes)
    assert model.source == "prior" and model.accuracy == {}
    np.testing.assert_allclose(mean, world.table.of_codes(codes) @ world.prior.weights)
    np.testing.assert_allclose(spread / mean, np.hypot(0.5, 0.01))
    assert (model.upper(codes, 0.9) > 1.8 * mean).all()
    assert np.isfinite(model.upper(codes, 0.999)).all()


def test_observations_give_a_bare_prior_its_scale(world):
    model, codes = CostModel.from_prior(world.space, world.prior), world.sample(200)
    updated = model.with_observation(codes[0], float(world.exact(codes[:1])[0]))
    truth = world.exact(codes)
    assert np.median(np.abs(updated.predict(codes)[0] / truth - 1)) < 0.5 * np.median(
        np.abs(model.predict(codes)[0] / truth - 1)
    )
    assert (updated.upper(codes, 0.9) / updated.predict(codes)[0]).max() < (
        model.upper(codes, 0.9) / model.predict(codes)[0]
    ).min()
    assert updated.source == "prior"


def test_other_threads_than_the_priors_are_less_certain(world):
    one, four = (CostModel.from_prior(world.space, world.prior.for_threads(n)) for n in (1, 4))
    codes = world.sample(5)
    assert (four.upper(codes, 0.9) > 1.3 * one.upper(codes, 0.9)).all()


def test_without_samples_or_prior_there_is_no_model(world):
    codes = world.sample(10)
    with pytest.raises(UsageError, match="speed of this device is not known"):
        CostModel.from_prior(world.space, flat_prior(FeatureTable.of(world.space)))
    with pytest.raises(UsageError, match="too few"):
        CostModel.fit(world.space, world.prior, codes[:4], world.exact(codes[:4]))
    with pytest.raises(UsageError, match="not a positive number"):
        CostModel.fit(world.space, world.prior, codes, np.where(np.arange(10) == 3, np.nan, world.exact(codes)))


def test_samples_without_any_prior_still_make_a_model(world):
    codes, fresh = world.sample(30), world.sample(500)
    model = CostModel.fit(world.space, flat_prior(FeatureTable.of(world.space)), codes, world.measure(codes))
    assert np.sqrt(np.mean((model.predict(fresh)[0] / world.exact(fresh) - 1) ** 2)) < 0.05
