import numpy as np

from nagsdk_searches.pareto import fronts, survivors
from nagsdk_searches.surrogate import Relaxation, Surrogate, cost_surrogates
from tests.plugins.searches.worlds import SPACE, evaluator, score


def test_a_surrogate_learns_and_its_gradient_is_that_of_its_values():
    rng = np.random.default_rng(0)
    codes = SPACE.sample(300, rng)
    rows = SPACE.one_hot(codes).astype(float)
    surrogate = Surrogate(rows.shape[1], rng).fit(rows[:200], score(codes[:200]))
    assert np.corrcoef(surrogate(rows[200:]), score(codes[200:]))[0, 1] > 0.95
    step = 1e-6 * rng.normal(size=rows[:5].shape)
    change = surrogate(rows[:5] + step) - surrogate(rows[:5])
    assert np.allclose(change, (surrogate.gradient(rows[:5]) * step).sum(1), rtol=1e-3, atol=1e-12)


def test_the_relaxation_of_an_architecture_is_its_row_and_slopes_are_derivatives():
    relaxed, rng = Relaxation(SPACE), np.random.default_rng(0)
    codes = SPACE.sample(20, rng)
    certain = (np.arange(relaxed.exists.shape[1]) == np.maximum(codes, 0)[..., None]).astype(float)
    assert np.array_equal(relaxed.rows(certain)[0], SPACE.one_hot(codes))
    p = rng.random((3, *relaxed.exists.shape)) * relaxed.exists
    p /= p.sum(2, keepdims=True)
    weights = rng.normal(size=SPACE.one_hot_width)
    rows, on = relaxed.rows(p)
    slopes = relaxed.slopes(p, on, np.broadcast_to(weights, rows.shape))
    step = 1e-6 * rng.normal(size=p.shape) * relaxed.exists
    change = (relaxed.rows(p + step)[0] - rows) @ weights
    assert np.allclose(change, (slopes * step).sum((1, 2)), rtol=1e-3, atol=1e-10)


def test_costs_can_be_differentiated_without_an_evaluation():
    one = evaluator()
    (cost,) = cost_surrogates(one)
    codes = one.random(50).reshape(-1, len(SPACE.sizes))
    known = np.log(one.question.cost(codes)[:, 0])
    assert np.abs(cost(SPACE.one_hot(codes).astype(float)) - known).mean() < 0.1
    assert one.left == one.most


def test_fronts_and_survivors():
    aims = np.array([[0, 3], [1, 1], [3, 0], [2, 2], [3, 3]], float)
    assert fronts(aims).tolist() == [0, 0, 0, 1, 2]
    # Of one front the ends survive first.
    assert set(survivors(aims, 2)) == {0, 2} and set(survivors(aims, 4)) == {0, 1, 2, 3}
