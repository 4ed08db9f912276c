import numpy as np
import pytest
from hypothesis import given, settings

from nagsdk.cost.table import AdditiveTable
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.generator.episode import Walk
from nagsdk.generator.frontier import frontier, score_of
from nagsdk.generator.prices import Paths, mixes
from tests.generator.spaces import problems, random_tables, staged_space


def test_mixes_are_each_alone_pairs_and_all():
    assert mixes(1).tolist() == [[1.0]]
    assert mixes(2).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    assert len(mixes(3)) == 7 and np.allclose(mixes(3).sum(1), 1)
    assert mixes(3)[-1] == pytest.approx(1 / 3)


@settings(max_examples=60, deadline=None)
@given(problems(costs=2))
def test_points_of_a_path_maximise_score_less_price(problem):
    """Every point is the best architecture at its price by enumeration, at every resolution and for every mix."""
    space, tables, score = problem
    paths = Paths.of(space, tables, score)
    codes = space.all_codes()
    cost = np.stack([table.cost(codes) for table in tables], 1) / paths.scale
    worth = (score_of(score, codes) - score.base) / paths.worth
    for r in range(len(space.resolutions)):
        own = (codes[:, 0] == r) & np.isfinite(cost).all(1)
        if not own.any():
            assert np.isinf(paths.cost[r]).all()
            continue
        for k, (mix, totals, scores, last) in enumerate(
            zip(mixes(2), paths.cost[r], paths.score[r], paths.cheapest[:, r], strict=True)
        ):
            assert paths.price[k, 0] == 0 and paths.price[k, -1] == 1 and (np.diff(paths.price[k]) >= 0).all()
            for p, total, found in zip(
                paths.price[k, :-1] / np.maximum(1 - paths.price[k, :-1], 1e-9), totals, scores, strict=False
            ):
                if p > 1e3:
                    continue
                best = (worth[own] - p * cost[own] @ mix).max()
                # Because of float32 and ties, the price may be off by one step at most.
                assert found - p * total @ mix == pytest.approx(best, abs=1e-6)
            assert totals[-1] @ mix == pytest.approx((cost[own] @ mix).min(), abs=1e-9)
            assert np.stack([t.cost(last[None])[0] for t in tables]) / paths.scale == pytest.approx(
                totals[-1], abs=1e-9
            )


@settings(max_examples=60, deadline=None)
@given(problems(costs=2))
def test_a_walk_ends_with_the_costs_of_what_was_chosen(problem):
    space, tables, score = problem
    codes = space.all_codes()
    codes = codes[np.isfinite([table.cost(codes) for table in tables]).all(0)]
    if not len(codes):
        return
    walk = Walk(Paths.of(space, tables, score), np.zeros((len(codes), 2)))
    walk.first()
    walk.start(codes[:, 0].astype(np.intp))
    for d in range(1, codes.shape[1]):
        rows = np.flatnonzero(codes[:, d] >= 0)
        walk.take(d, rows, codes[rows, d].astype(np.intp))
    cost = np.stack([table.cost(codes) for table in tables], 1) / walk.paths.scale
    assert np.allclose(walk._over, cost[:, None], atol=1e-9)
    assert np.allclose(walk._least, cost[:, None], atol=1e-9)
    assert np.allclose(walk._score, ((score_of(score, codes) - score.base) / walk.paths.worth)[:, None], atol=1e-5)


def test_the_price_alone_comes_near_the_frontier():
    """Taking the choice of highest worth at the current price loses little.

    This is why the universal generator can be learned.
    """
    space = ofa_mobilenet_v3()
    table, score = random_tables(space, 0)
    table = table.masked(resolution=16)
    best, paths = frontier(space, table, score), Paths.of(space, [table], score)
    limits = np.linspace(best.cost[0], best.cost[-1], 50)
    walk = Walk(paths, limits[:, None])
    walk.first()
    codes = np.full((50, len(space.sizes)), -1, np.int8)
    codes[:, 0] = 16
    walk.start(codes[:, 0].astype(np.intp))
    for d, decision in enumerate(space.decisions[1:], 1):
        parent = decision.active_if
        rows = np.arange(50) if parent is None else np.flatnonzero(codes[:, parent[0]] >= parent[1])
        view = walk.look(d, rows, int(space.sizes[d]))
        codes[rows, d] = np.where(view.allowed, view.choices[0], -np.inf).argmax(1)
        walk.take(d, rows, codes[rows, d].astype(np.intp))
    assert (table.cost(codes) <= limits + 1e-9).all()
    lost = (best.score[best.lookup(limits)] - score_of(score, codes)) / (best.score[-1] - best.score[0])
    assert 0 <= lost.mean() < 0.03


def test_depths_have_prices_where_only_calls_cost():
    """If all layers cost the same, choices do not differ in cost, but depths do.

    The depths must then get several prices, rather than all of them changing at the same price.
    """
    space = staged_space(resolutions=(32,), stages=3, blocks=3)
    _, score = random_tables(space, 0)
    blocks = np.array([[".block" in decision.name] for decision in space.decisions], float)
    table = AdditiveTable(np.ones(1), np.broadcast_to(blocks, (1, *score.table.shape)).copy())
    paths = Paths.of(space, [table], score)
    assert paths.scale == pytest.approx(6) and np.all(np.diff(paths.cost[0, 0, :, 0]) <= 0)
    assert len(np.unique(paths.cost[0, 0, :, 0])) >= 4


def test_prices_fall_with_the_limit():
    space = staged_space()
    table, score = random_tables(space, 1)
    paths, best = Paths.of(space, [table], score), frontier(space, table, score)
    view = Walk(paths, np.linspace(best.cost[0], best.cost[-1] * 1.1, 40)[:, None]).first()
    assert (np.diff(view.state[:, 0]) <= 1e-6).all() and view.state[0, 0] > 0.4 and view.state[-1, 0] == -1
    assert view.allowed[-1].all() and view.allowed[0].any()
