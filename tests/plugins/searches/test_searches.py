"""What every search must do, whatever its idea."""

from dataclasses import replace

import numpy as np
import pytest

from nagsdk.generator.counted import Counted
from nagsdk.generator.strategies import Random
from nagsdk_searches.catalogue import searches
from tests.plugins.searches.worlds import SPACE, TABLE, Exact, best_scores, question, score

SEARCHES = {search.id: search for search in searches()}
TREES = ("gbdt", "bayes")
EVERY = [
    pytest.param(name, {option: value}, marks=pytest.mark.nightly if number else (), id=f"{name}-{option}={value}")
    for name, search in SEARCHES.items()
    for option, values in ({"": ("",)} if name == "flat" else search.options or {"": ("",)}).items()
    for number, value in enumerate(values)
]


def asked_of(name, option, **more):
    if name in TREES:
        pytest.importorskip("sklearn")
    options = {"of": "random"} if name == "flat" else {k: v for k, v in option.items() if k}
    return SEARCHES[name], question(options=options, **more)


@pytest.mark.parametrize(("name", "option"), EVERY)
def test_answers_hold_every_limit_within_the_evaluations_and_the_seed_decides(name, option):
    search, asked = asked_of(name, option, evaluations=100)
    codes = search.propose(asked)
    assert codes.dtype == np.int8 and codes.shape == (4, 1, len(SPACE.sizes))
    assert np.array_equal(SPACE.validate(codes[:, 0]), codes[:, 0])
    assert asked.within(codes).all()
    # `Counted` raises an error beyond the evaluations.
    assert (name == "zero-cost" and option == {"predictor": "no"}) or 0 < len(asked.predictor.known) <= 100
    again = replace(asked, predictor=Counted(Exact(), 100))
    assert np.array_equal(search.propose(again), codes)


def lost(name, seed):
    """How far a search stays behind the best, as a share of how far as many random architectures do."""
    search, asked = asked_of(name, {}, seed=seed)
    best = best_scores(asked)
    chance = Random().propose(replace(asked, predictor=Exact()))
    return (best - score(search.propose(asked)[:, 0])).mean() / (best - score(chance[:, 0])).mean()


@pytest.mark.parametrize("name", ["early-exit", "genetic", "pareto-classifier"])
def test_a_search_is_better_than_as_many_random_architectures(name):
    assert lost(name, 0) < 0.8


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in SEARCHES if name not in ("walker", "zero-cost", "flat")])
def test_every_search_is_better_than_as_many_random_architectures(name):
    assert np.mean([lost(name, seed) for seed in range(2)]) < 0.9


@pytest.mark.parametrize("name", SEARCHES)
def test_two_limits_forbidden_choices_and_one_evaluation(name):
    other = replace(TABLE, choice=TABLE.choice[:, ::-1])
    masked = TABLE.masked(np.arange(TABLE.choice.shape[2]) != 2, resolution=0)
    for tables, evaluations in (((TABLE, other), 40), ((masked,), 40), ((TABLE,), 1)):
        search, asked = asked_of(name, {}, tables=tables, evaluations=evaluations)
        assert asked.within(search.propose(asked)).all()
