import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.budget import MACS
from nagsdk.cost.bounds import Completions
from nagsdk.errors import InfeasibleError
from nagsdk.generator.monotone import monotone
from nagsdk.generator.ranking import choose
from nagsdk.generator.strategies import Nag
from nagsdk.generator.training_data import Devices
from nagsdk.pipeline.models import generator_of, question
from nagsdk.pipeline.target import Target

TARGET = Target("cpu", "glyphs")
SPACE = TARGET.bundle.space
MACS_TABLE = TARGET.costs.table(MACS, None)


def table(seed):
    return Devices(SPACE).latency(np.random.default_rng(seed))


def careless(costs, seed):
    """Proposes for each limit, by chance, architectures within it; as likely bad ones as good ones."""
    codes = np.concatenate(
        [SPACE.sample(400, np.random.default_rng(seed)), *(Completions.of(SPACE, cost).cheapest for cost in costs)]
    )
    spent = np.stack([cost.cost(codes) for cost in costs], 1)

    def propose(limits, counts):
        found = []
        for limit, count in zip(limits, counts, strict=True):
            chance = np.random.default_rng(int(limit.sum() * 1e6) % 2**32)
            found.append(codes[chance.choice(np.flatnonzero((spent <= limit).all(1)), 3)][:count])
        return np.concatenate(found)

    return propose


def worth(seed):
    weights = np.random.default_rng(seed).normal(size=len(SPACE.decisions))
    # The last digits of a product depend on how many rows it has.
    return lambda codes: np.round(codes @ weights, 9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0, 1.2), min_size=2, max_size=12), st.booleans())
def test_answers_never_get_worse_and_do_not_depend_on_other_budgets(seed, shares, two):
    costs, value = [table(seed % 7), *([MACS_TABLE] if two else [])], worth(seed)
    bounds = [Completions.of(SPACE, cost) for cost in costs]
    first = bounds[0].least + np.sort(shares) * (bounds[0].most - bounds[0].least)
    # The second limit is the same for all, and held by the cheapest architecture of the first cost.
    cheapest = bounds[0].cheapest[bounds[0].floor.argmin()][None]
    rest = [np.full(len(first), cost.cost(cheapest)[0] * 1.01) for cost in costs[1:]]
    limits, propose = np.column_stack([first, *rest]), careless(costs, seed)
    codes = monotone(question(TARGET, costs, limits, 0), propose, value, 3)
    assert codes.shape == (len(limits), 3, len(SPACE.decisions))
    for number, cost in enumerate(costs):
        assert (cost.cost(codes.reshape(-1, codes.shape[2])).reshape(-1, 3) <= limits[:, number, None]).all()
    answers = value(codes[:, 0])
    assert (np.diff(answers) >= 0).all()
    assert (answers[:, None] >= np.stack([value(row) for row in codes])).all()
    for number in (0, len(limits) // 2):
        alone = monotone(question(TARGET, costs, limits[number : number + 1], 0), propose, value, 3)
        assert np.array_equal(alone[0], codes[number])


def test_a_limit_that_nothing_holds_is_refused():
    costs = table(0)
    least = Completions.of(SPACE, costs).least
    with pytest.raises(InfeasibleError):
        monotone(question(TARGET, [costs], [least, 0.999 * least], 0), careless([costs], 0), worth(0), 3)


def test_a_space_with_one_cost_has_an_answer():
    costs = table(0)
    flat = type(costs)(np.ones_like(costs.base), np.zeros_like(costs.choice))
    codes = monotone(question(TARGET, [flat], [1.0, 2.0], 0), careless([flat], 0), worth(0), 3)
    assert np.array_equal(codes[0], codes[1])


@pytest.mark.parametrize("device", range(3))
def test_the_shipped_generator_never_answers_a_larger_budget_with_less_accuracy(device):
    costs = [table(device) if device else MACS_TABLE, *([MACS_TABLE] if device == 2 else [])]
    predictor, rng = TARGET.bundle.predictor, np.random.default_rng(device)
    bounds = [Completions.of(SPACE, cost) for cost in costs]
    first = np.sort(rng.uniform(bounds[0].least, 1.01 * bounds[0].most, 60))
    limits = np.column_stack([first, *(np.full(60, (b.least + b.most) / 2) for b in bounds[1:])])
    codes = Nag(8).propose(question(TARGET, costs, limits, 0))
    best = codes[np.arange(60), choose(predictor, codes)[:, 0]]
    # Another number of rows rounds float32 in another way.
    assert (np.diff(predictor.predict(best).mean) > -1e-6).all()
    assert all((cost.cost(best) <= limit).all() for cost, limit in zip(costs, limits.T, strict=True))
    plain = generator_of(TARGET).propose(costs, limits, 8)
    plain = plain[np.arange(60), choose(predictor, plain)[:, 0]]
    assert predictor.predict(best).mean.mean() > predictor.predict(plain).mean.mean() - 0.02
