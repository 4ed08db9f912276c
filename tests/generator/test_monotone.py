import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.budget import MACS
from nagsdk.bundle.bundle import load_bundle
from nagsdk.cost.bounds import Completions
from nagsdk.errors import InfeasibleError
from nagsdk.generator.monotone import monotone
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Nag
from nagsdk.generator.training_data import Devices
from nagsdk.pipeline.models import generator_of, question
from nagsdk.pipeline.target import Target

SPACE = load_bundle("glyphs").space


def table(seed):
    return Devices(SPACE).latency(np.random.default_rng(seed))


def careless(costs, seed):
    """Proposes for each limit, by chance, architectures within it; as likely bad ones as good ones."""
    codes = SPACE.sample(400, np.random.default_rng(seed))
    bounds = Completions.of(SPACE, costs)
    codes[0] = bounds.cheapest[bounds.floor.argmin()]
    cost = costs.cost(codes)

    def propose(limits):
        chance = np.random.default_rng(int(limits.sum() * 1e6) % 2**32)
        return np.stack([codes[chance.choice(np.flatnonzero(cost <= limit), 3)] for limit in limits])

    return lambda limits: np.concatenate([propose(limits[i : i + 1]) for i in range(len(limits))])


def worth(seed):
    weights = np.random.default_rng(seed).normal(size=len(SPACE.decisions))
    # The last digits of a product depend on how many rows it has.
    return lambda codes: np.round(codes @ weights, 9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0, 1.2), min_size=2, max_size=12))
def test_answers_never_get_worse_and_do_not_depend_on_other_budgets(seed, shares):
    costs, value = table(seed % 7), worth(seed)
    bounds = Completions.of(SPACE, costs)
    limits = bounds.least + np.sort(shares) * (bounds.most - bounds.least)
    propose = careless(costs, seed)
    codes = monotone(SPACE, costs, limits, propose, value)
    assert codes.shape == (len(limits), 3, len(SPACE.decisions))
    assert (costs.cost(codes.reshape(-1, codes.shape[2])).reshape(-1, 3) <= limits[:, None]).all()
    answers = value(codes[:, 0])
    assert (np.diff(answers) >= 0).all()
    assert (answers[:, None] >= np.stack([value(row) for row in codes])).all()
    for number in (0, len(limits) // 2):
        alone = monotone(SPACE, costs, limits[number : number + 1], propose, value)
        assert np.array_equal(alone[0], codes[number])


def test_a_limit_that_nothing_holds_is_refused():
    costs = table(0)
    least = Completions.of(SPACE, costs).least
    with pytest.raises(InfeasibleError):
        monotone(SPACE, costs, np.array([least, 0.999 * least]), careless(costs, 0), worth(0))


def test_a_space_with_one_cost_has_an_answer():
    costs = table(0)
    flat = type(costs)(np.ones_like(costs.base), np.zeros_like(costs.choice))
    codes = monotone(SPACE, flat, np.array([1.0, 2.0]), careless(flat, 0), worth(0))
    assert np.array_equal(codes[0], codes[1])


@pytest.mark.parametrize("device", range(3))
def test_the_shipped_generator_never_answers_a_larger_budget_with_less_accuracy(device):
    target = Target("cpu", "glyphs")
    costs = table(device) if device else target.costs.table(MACS, None)
    bounds, predictor = Completions.of(SPACE, costs), target.bundle.predictor
    limits = np.sort(np.random.default_rng(device).uniform(bounds.least, 1.01 * bounds.most, 60))
    codes = Nag(8).propose(question(target, [costs], limits, 0))
    best = codes[np.arange(60), choose(predictor, codes)[:, 0]]
    assert (np.diff(predictor.predict(best).mean) >= 0).all() and (costs.cost(best) <= limits).all()
    plain = generator_of(target).propose([costs], limits[:, None], 8)
    plain = plain[np.arange(60), choose(predictor, plain)[:, 0]]
    assert predictor.predict(best).mean.mean() > predictor.predict(plain).mean.mean() - 0.02
