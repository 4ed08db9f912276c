from dataclasses import replace

import numpy as np
import pytest

from nagsdk.cost.bounds import Completions
from nagsdk.cost.table import mixed
from nagsdk.generator.counted import Counted
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.generator import Generator
from nagsdk.generator.strategies import STRATEGIES, Enumeration, Evolution, Lookup, Nag, Nsga2, Polished, Random
from nagsdk.generator.strategy import Question
from nagsdk.generator.train import GeneratorRecipe
from tests.generator.spaces import random_tables, staged_space
from tests.generator.test_train import Teacher

SHORT = {
    "evolution": Evolution(20, 20),
    "nsga2": Nsga2(1000, 50),
    "random": Random(1000),
    "polished": Polished(Random(1000), 10, 20),
}


# Those that can be asked about spaces of any size.
LARGE = [strategy for strategy in STRATEGIES if not isinstance(strategy, Enumeration)]


@pytest.fixture(scope="module")
def world():
    space = staged_space(resolutions=(32, 48, 64))
    table, score = random_tables(space, 0)
    teacher = Teacher(score)
    recipe = GeneratorRecipe(problems=20, steps=50, batch=32, hidden=8, gradient_steps=0)
    return space, table, teacher, Generator.trained(space, teacher, recipe)


def ask(world, tables, limits):
    space, _, teacher, generator = world
    return Question(space, teacher, tables, np.asarray(limits, float), lambda: generator)


@pytest.mark.parametrize("strategy", [SHORT.get(s.id, s) for s in LARGE], ids=lambda s: s.id)
def test_every_answer_holds_every_limit_and_more_budget_buys_more(world, strategy):
    space, table, teacher, _ = world
    other = replace(table, choice=table.choice[:, ::-1])
    for tables in ([table], [table.masked(resolution=1)], [table, other]):
        bounds = [Completions.of(space, t) for t in tables]
        cheapest = np.max([t.cost(b.cheapest[[b.floor.argmin()]])[0] for t in tables for b in bounds])
        limits = np.linspace([max(cheapest, b.least) for b in bounds], [b.most for b in bounds], 7)
        codes = strategy.propose(ask(world, tables, limits))
        assert codes.dtype == np.int8 and codes.shape[::2] == (7, len(space.sizes))
        rows = codes.reshape(-1, codes.shape[2])
        assert np.array_equal(space.validate(rows), rows)
        for t, limit in zip(tables, limits.T, strict=True):
            assert (t.cost(rows).reshape(codes.shape[:2]) <= limit[:, None]).all()
        best = np.array([score_of(teacher.additive, part).max() for part in codes])
        assert best[-1] > best[0]


@pytest.mark.parametrize("strategy", LARGE, ids=lambda s: s.id)
@pytest.mark.parametrize("evaluations", [1, 30, 200])
def test_evaluations_are_a_hard_limit(world, strategy, evaluations):
    space, table, teacher, _ = world
    bounds = Completions.of(space, table)
    question = ask(world, [table], np.linspace(bounds.least, bounds.most, 5)[:, None])
    counted = Counted(teacher, evaluations)  # refuses more
    codes = strategy.propose(replace(question, predictor=counted, evaluations=evaluations))
    assert question.within(codes).all()


def test_a_small_space_is_enumerated_as_far_as_the_evaluations_go():
    space = staged_space(stages=1)
    table, score = random_tables(space, 0)
    best = frontier(space, table, score)
    question = Question(space, Teacher(score), [table], np.linspace(best.cost[0], best.cost[-1], 5)[:, None], None)
    assert np.array_equal(
        score_of(score, Enumeration().propose(question)[:, 0]), best.score[best.lookup(question.limits[:, 0])]
    )
    counted = Counted(question.predictor, 20)
    assert question.within(Enumeration().propose(replace(question, predictor=counted, evaluations=20))).all()
    assert len(counted.known) == 20


def test_lookup_is_exact_and_the_searches_come_near_it(world):
    space, table, teacher, _ = world
    best = frontier(space, table, teacher.additive)
    limits = np.linspace(best.cost[0], best.cost[-1], 9)[:, None]
    known = best.score[best.lookup(limits[:, 0])]
    found = {
        s.id: np.array([score_of(teacher.additive, part).max() for part in s.propose(ask(world, [table], limits))])
        for s in (Lookup(), Nag(), *SHORT.values())
    }
    assert np.array_equal(found["lookup"], known)
    assert all((known - values).mean() >= 0 for values in found.values())
    assert (known - found["nsga2"]).mean() < (known - found["random"]).mean()
    assert (known - found["evolution"]).mean() < (known - found["random"]).mean()
    assert (found["polished"] >= found["random"]).all() and (known - found["polished"]).mean() < 0.5 * (
        known - found["random"]
    ).mean()


def test_lookup_under_two_limits_beats_either_frontier_alone(world):
    space, table, teacher, _ = world
    other = replace(table, choice=table.choice[:, :, ::-1])
    bounds = [Completions.of(space, t) for t in (table, other)]
    limits = np.array([[b.least + share * (b.most - b.least) for b in bounds] for share in (0.5, 0.6, 0.7)])
    codes = Lookup().propose(ask(world, [table, other], limits))[:, 0]
    every = space.sample(20_000, np.random.default_rng(0))
    for code, limit in zip(codes, limits, strict=True):
        within = np.all([t.cost(every) <= v for t, v in zip((table, other), limit, strict=True)], axis=0)
        assert score_of(teacher.additive, code[None])[0] > score_of(teacher.additive, every[within]).max() - 0.02


def test_a_mix_forbids_what_one_of_its_costs_forbids(world):
    space, table, _, _ = world
    sum_ = mixed([table.masked(resolution=1), table], np.array([0.0, 2.0]))
    assert np.isfinite(sum_.base).tolist() == [False, True, False]
    codes = space.sample(20, np.random.default_rng(0), 48)
    assert np.allclose(sum_.cost(codes), 2 * table.cost(codes))


def test_searches_repeat_themselves(world):
    _, table, _, _ = world
    limits = np.array([[Completions.of(world[0], table).most * 0.7]])
    for strategy in SHORT.values():
        assert np.array_equal(
            strategy.propose(ask(world, [table], limits)), strategy.propose(ask(world, [table], limits))
        )
