import numpy as np
import pytest
from hypothesis import given, settings

from nagsdk.cost.table import exact_table
from nagsdk.errors import InfeasibleError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.frontier import Frontier, frontier, frontiers, score_of
from tests.generator.spaces import PlainScore, coupled_space, problems, random_tables, staged_space


def brute_force(space, table, score):
    codes = space.all_codes()
    cost, top1 = table.cost(codes), score.inverse(score_of(score, codes))
    keep = np.isfinite(cost)
    return cost[keep], top1[keep]


@settings(max_examples=80, deadline=None)
@given(problems())
def test_equals_brute_force_under_a_monotone_link(problem):
    space, table, score = problem
    cost, top1 = brute_force(space, table, score)
    result = frontier(space, table, score)
    if not len(cost):
        assert len(result) == 0
        return
    assert (np.diff(result.cost) > 0).all() and (np.diff(result.score) > 0).all()
    assert np.array_equal(space.validate(result.codes), result.codes)
    assert np.array_equal(table.cost(result.codes), result.cost)
    # At every cost that occurs, lookup and enumeration agree; rounding may change a cost by the last digit.
    limits = cost + 1e-9
    best = np.array([top1[cost <= limit].max() for limit in limits])
    assert np.allclose(score.inverse(result.score[result.lookup(limits)]), best, rtol=0, atol=1e-9)


def test_coupled_widths_equal_brute_force():
    space = coupled_space()
    table, score = random_tables(space, 5)
    cost, top1 = brute_force(space, table, score)
    assert len(cost) == 23_328
    result = frontier(space, table, score)
    order = np.argsort(cost)
    # At every cost that occurs, lookup and enumeration agree; rounding may change a cost by the last digit.
    limits = cost + 1e-9
    best = np.maximum.accumulate(top1[order])[np.searchsorted(cost[order], limits, side="right") - 1]
    assert np.allclose(score.inverse(result.score[result.lookup(limits)]), best, rtol=0, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(problems())
def test_each_resolution_has_its_own(problem):
    space, table, score = problem
    for index, part in enumerate(frontiers(space, table, score)):
        pinned = frontier(space, table.masked(resolution=index), score)
        assert np.array_equal(part.codes, pinned.codes)
        assert (part.codes[:, 0] == index).all()


def test_whole_imagenet_space_beats_samples():
    space = ofa_mobilenet_v3()
    table = exact_table(space, lambda layer: float(layer.macs))
    rng = np.random.default_rng(0)
    score = PlainScore(0.0, rng.uniform(0, 0.1, (len(space.decisions), int(space.sizes.max()))))
    result = frontier(space, table, score)
    assert np.array_equal(table.cost(result.codes), result.cost)
    codes = space.sample(2000, rng)
    assert (result.score[result.lookup(table.cost(codes))] >= score_of(score, codes)).all()
    # Local optimality: no mutation of a point of the frontier is both cheaper and better.
    mutants = space.mutate(np.repeat(result.codes, 20, axis=0), rng, 0.1)
    assert (result.score[result.lookup(table.cost(mutants))] >= score_of(score, mutants) - 1e-12).all()


def test_lookup_takes_any_shape_and_refuses_limits_that_no_architecture_holds():
    space = staged_space()
    result = frontier(space, *random_tables(space, 0))
    assert result.lookup(result.cost[:6].reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert result.lookup(np.inf) == len(result) - 1
    with pytest.raises(InfeasibleError, match=f"cheapest costs {result.cost[0]:.6g}"):
        result.lookup([result.cost[3], result.cost[0] * 0.99])
    with pytest.raises(InfeasibleError):
        result.lookup(np.nan)


def test_everything_masked_is_infeasible():
    space = staged_space()
    table, score = random_tables(space, 0)
    empty = frontier(space, table.masked(np.zeros_like(table.choice, dtype=bool)), score)
    assert isinstance(empty, Frontier) and len(empty) == 0
    with pytest.raises(InfeasibleError, match="that is excluded"):
        empty.lookup(1e9)
