from dataclasses import replace

import numpy as np
import pytest

from nagsdk.cost.features import FeatureTable
from nagsdk.cost.gp import TERMS, Sizes, fit, left_out, most_informative
from nagsdk.cost.prior import Prior
from nagsdk.cost.shape import Choices, directions_of, pooled, population
from nagsdk.cost.table import AdditiveTable
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

SPACE = ofa_mobilenet_v3()
FEATURES = FeatureTable.of(SPACE)
SIZES = Sizes(np.log([1.0, 0.1, 0.02, 0.02]), np.full(4, 0.8))


@pytest.fixture(scope="module")
def devices():
    """Additive tables of devices whose prices differ along two hidden directions."""
    rng = np.random.default_rng(0)
    mean = FEATURES.of_codes(population(SPACE)).mean(0)
    flat = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)
    # Features that came later, which the space has not, change no other draw.
    last = 1 + int(np.flatnonzero(mean)[-1])
    hidden = np.pad(rng.normal(0, 0.6, (2, last)), ((0, 0), (0, len(flat) - last)))
    return [FEATURES.priced(flat * np.exp(rng.normal(0, 1, 2) @ hidden) * scale) for scale in rng.uniform(1, 9, 9)]


def test_a_pool_of_devices_predicts_another_one_from_few_samples(devices):
    *known, target = devices
    codes = SPACE.sample(508, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    ms = target.cost(codes)

    def error(shape):
        found = fit(shape.design(codes[:8]), ms[:8] * np.exp(rng.normal(0, 0.01, 8)), shape.sizes)
        return np.sqrt(np.mean((shape.table(found).cost(codes[8:]) / ms[8:] - 1) ** 2))

    with_pool = error(pooled(SPACE, known, population(SPACE), SIZES))
    one = error(pooled(SPACE, known[:1], population(SPACE), SIZES))
    assert with_pool < 0.03 and with_pool < 0.9 * one


def test_the_table_is_the_mean_of_the_regression(devices):
    shape = pooled(SPACE, devices[:5], population(SPACE), SIZES)
    codes = SPACE.sample(40, np.random.default_rng(3))
    found = fit(shape.design(codes[:12]), devices[7].cost(codes[:12]), SIZES)
    mean, deviation = found.predict(shape.design(codes))
    np.testing.assert_allclose(shape.table(found).cost(codes), mean, rtol=1e-9)
    assert (deviation > 0).all() and deviation[:12].mean() < deviation[12:].mean()


@pytest.mark.parametrize("count", [7, 45])
def test_left_out_predictions_are_those_of_a_fit_without_the_sample(devices, count):
    shape = pooled(SPACE, devices[:5], population(SPACE), SIZES)
    codes = SPACE.sample(count, np.random.default_rng(4))
    ms = devices[7].cost(codes)
    mean, deviation = left_out(shape.fit, shape.design(codes), ms)
    for i in (0, count // 2, count - 1):
        rest = np.arange(count) % 20 != i % 20
        without = fit(shape.design(codes[rest]), ms[rest], SIZES).predict(shape.design(codes[i : i + 1]))
        np.testing.assert_allclose([mean[i], deviation[i]], np.ravel(without), rtol=1e-4)
    changed = ms.copy()
    changed[0] *= 3
    assert left_out(shape.fit, shape.design(codes), changed)[0][0] == pytest.approx(mean[0], rel=1e-12)


def test_an_outlier_hardly_changes_the_rest(devices):
    shape = pooled(SPACE, devices[:6], population(SPACE), SIZES)
    codes = SPACE.sample(320, np.random.default_rng(5))
    ms = devices[8].cost(codes)
    outlier = ms[:20].copy()
    outlier[3] *= 2.5

    def error(values):
        found = fit(shape.design(codes[:20]), values, SIZES)
        return np.sqrt(np.mean((shape.table(found).cost(codes[20:]) / ms[20:] - 1) ** 2))

    assert error(outlier) < error(ms[:20]) + 0.03


def test_prices_stay_non_negative_where_the_shape_is_physical(make_world):
    world = make_world(SPACE, seed=3, noise=0.05)
    world.prices[::2] = 0.0
    shape = replace(world.prior.on(SPACE), sizes=Sizes(np.log([1.0, 1.0, 0.01, 0.03]), np.full(4, 0.1)))
    codes = world.sample(30)
    design, ms = shape.design(codes), world.measure(codes)
    found = fit(design, ms, shape.sizes)
    moved = found.coefficients[1] * shape.unit
    assert (shape.prices.mean * (1 + found.slope) + moved < 0).any(), (
        "the test needs an unconstrained price that is negative"
    )
    blocks = [block.decision for block in SPACE.blocks]
    found = shape.fit(design, ms)
    table = shape.table(found)
    assert (table.choice[:, blocks, :9] > 0).all()
    np.testing.assert_allclose(found.predict(design)[0], table.cost(codes), rtol=1e-9)


def test_terms_of_unknown_size_are_found(devices):
    shape = pooled(SPACE, devices[:6], population(SPACE), SIZES)
    codes = SPACE.sample(60, np.random.default_rng(6))
    noise = [
        np.exp(
            fit(
                shape.design(codes), devices[8].cost(codes) * np.exp(np.random.default_rng(7).normal(0, s, 60)), SIZES
            ).sizes[TERMS.index("noise")]
        )
        for s in (0.01, 0.1)
    ]
    assert noise[0] < 0.03 < 0.06 < noise[1] < 0.16


def test_informative_picks_make_the_population_more_certain_than_random_ones(devices):
    shape = pooled(SPACE, devices[:6], population(SPACE), SIZES)
    codes = SPACE.sample(500, np.random.default_rng(8))
    design, others = shape.design(codes[:300]), shape.design(codes[300:])

    def variance(rows):
        found = fit(shape.design(codes[rows]), devices[7].cost(codes[rows]), Sizes(SIZES.medians, np.zeros(4)))
        mean, deviation = found.predict(others)
        return np.mean((deviation / mean) ** 2)

    picked = most_informative(design, others, 8, SIZES, 0.05, given=1)
    assert picked[0] == 0 and len(set(picked)) == 8
    at_random = [np.random.default_rng(s).choice(300, 8, replace=False) for s in range(5)]
    assert variance(picked) < np.mean([variance(rows) for rows in at_random])


def test_directions_leave_the_mean_alone():
    values = np.abs(np.random.default_rng(9).normal(1, 0.2, (50, 5)))
    mean, directions = directions_of(values)
    np.testing.assert_allclose(values @ mean, values.mean(1))
    np.testing.assert_allclose(directions.sum(1), 0, atol=1e-12)
    assert directions.shape == (4, 5)


def test_tables_of_choices_price_their_columns():
    choices = Choices(SPACE, population(SPACE))
    codes = SPACE.sample(30, np.random.default_rng(10))
    prices = np.random.default_rng(11).normal(size=choices.centre.size)
    np.testing.assert_allclose(choices.table(prices).cost(codes), choices.columns(codes) @ prices, rtol=1e-9)


def test_a_prior_with_directions_reaches_the_shape():
    weights = np.full(FEATURES.base.shape[1], 1.0)
    prior = Prior(weights, 0.3, None, directions=np.eye(len(weights))[:2])
    shape = prior.on(SPACE)
    assert len(shape.directions) == 2 and isinstance(shape.directions[0], AdditiveTable)
    assert shape.mean.cost(population(SPACE)).mean() == pytest.approx(1.0)
