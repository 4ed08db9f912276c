import numpy as np
import pytest

from nagsdk.cost import blend as blending
from nagsdk.cost.blend import Blend, judged
from nagsdk.cost.features import FEATURES, FeatureTable
from nagsdk.cost.gp import Sizes
from nagsdk.cost.model import CostModel
from nagsdk.cost.prior import flat_prior
from nagsdk.cost.shape import pooled, population
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3

SPACE = ofa_mobilenet_v3()
TABLE = FeatureTable.of(SPACE)
# A pool that is sure of itself: devices hardly deviate from it.
SIZES = Sizes(np.log([1.0, 0.01, 0.01, 0.02]), np.full(4, 0.4))


def device(seed, spread):
    """A device whose prices scatter around equal shares, with most work in the features of even or odd numbers."""
    mean = TABLE.of_codes(population(SPACE)).mean(0)
    rng = np.random.default_rng(seed)
    own = np.where(np.arange(len(FEATURES)) % 2 == seed % 2, 1.0, 0.02) * np.exp(rng.normal(0, spread, len(FEATURES)))
    return TABLE.priced(np.divide(own, mean, out=np.zeros_like(mean), where=mean > 0))


@pytest.fixture(scope="module")
def pool():
    """Five devices of one kind."""
    return pooled(SPACE, [device(2 * n, 0.1) for n in range(1, 6)], population(SPACE), SIZES)


def measured(seed, count=20):
    codes = SPACE.sample(count + 500, np.random.default_rng(3))
    exact = device(seed, 0.1).cost(codes)
    return codes, exact, exact[:count] * np.exp(np.random.default_rng(5).normal(0, 0.01, count))


def error(model, codes, exact):
    return float(np.sqrt(np.mean((model.mean(codes) / exact - 1) ** 2)))


@pytest.mark.parametrize(("seed", "least", "most"), [(20, 0.6, 1.0), (21, 0.0, 0.3)])
def test_a_pool_is_trusted_on_devices_of_its_kind_only(pool, seed, least, most):
    codes, exact, ms = measured(seed)
    prior = flat_prior(TABLE)
    blend, alone = (CostModel.fit(SPACE, prior, codes[:20], ms, shape=shape) for shape in (pool, None))
    assert least <= blend.trust <= most and alone.trust == 1
    only = Blend.of(pool, codes[:20], ms, 1.0).table().cost(codes[20:])
    other = float(np.sqrt(np.mean((only / exact[20:] - 1) ** 2)))
    assert error(blend, codes[20:], exact[20:]) <= min(error(alone, codes[20:], exact[20:]), other) + 0.01


def test_the_table_of_a_mixture_is_its_mean(pool):
    codes, _, ms = measured(21)
    blend = Blend.of(pool, codes[:20], ms, 0.4)
    mean, deviation = blend.predict(codes[:60])
    parts = [Blend.of(pool, codes[:20], ms, trust) for trust in (1.0, 0.0)]
    np.testing.assert_allclose(mean, 0.4 * parts[0].predict(codes[:60])[0] + 0.6 * parts[1].predict(codes[:60])[0])
    np.testing.assert_allclose(
        blend.table().cost(codes), 0.4 * parts[0].table().cost(codes) + 0.6 * parts[1].table().cost(codes)
    )
    assert (deviation > 0).all()


def test_the_judgement_of_a_sample_does_not_know_its_latency(pool):
    codes, _, ms = measured(20, 9)
    _, mean, _ = judged(pool, codes[:9], ms, alone=True)
    ms[4] *= 1.5
    assert judged(pool, codes[:9], ms, alone=True)[1][4] == pytest.approx(mean[4], rel=1e-12)


@pytest.mark.parametrize(("swapped", "trust"), [(0.01, 0.0), (0.06, 1.0)])
def test_a_pool_that_orders_better_is_not_given_up_for_smaller_errors(pool, monkeypatch, swapped, trust):
    codes, ms = SPACE.sample(20, np.random.default_rng(3)), np.linspace(1, 2, 20)
    deviation = np.full(20, 0.01)
    without = ms * (1 + swapped * np.where(np.arange(20) % 2, 1, -1))
    left_out = iter([(1.3 * ms, deviation), (without, deviation)])
    monkeypatch.setattr(blending, "left_out", lambda *_: next(left_out))
    assert judged(pool, codes, ms, alone=False)[0] == trust


@pytest.mark.parametrize(("misses", "trust"), [(1, 1.0), (2, 0.0)])
def test_a_single_sample_is_no_reason_to_give_up_a_pool(pool, monkeypatch, misses, trust):
    codes, ms = SPACE.sample(20, np.random.default_rng(3)), np.linspace(1, 2, 20)
    deviation = np.full(20, 0.01)
    without = ms * (1 + 0.01 * np.where(np.arange(20) % 2, 1, -1))
    known = without.copy()
    known[:misses] *= 1.5
    left_out = iter([(known, deviation), (without, deviation)])
    monkeypatch.setattr(blending, "left_out", lambda *_: next(left_out))
    assert judged(pool, codes, ms, alone=False)[0] == trust
