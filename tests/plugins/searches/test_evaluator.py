import numpy as np
import pytest

from nagsdk_searches.evaluator import SpentError, top, uses
from tests.plugins.searches.worlds import SCORE, SPACE, evaluator, question, score


def test_each_architecture_is_asked_for_once_and_the_budget_is_hard():
    one = evaluator(question(evaluations=10, points=2))
    codes = one.random(4)
    values = one.top1(codes)
    assert np.array_equal(one.top1(codes), values) and one.left == 10 - len(np.unique(codes.reshape(8, -1), axis=0))
    with pytest.raises(SpentError):
        one.top1(SPACE.sample(50, np.random.default_rng(1)))
    assert one.left == 0 and len(one.seen()[0]) == 10
    assert len(one.question.predictor.known) == 10


def test_a_search_that_finds_nothing_new_ends():
    one = evaluator()
    codes = one.random(1)
    with pytest.raises(SpentError):
        for _ in range(100):
            one.top1(codes)
    assert one.left > 0
    other = evaluator()
    with pytest.raises(SpentError):  # nothing at all is evaluated, since nothing holds
        for _ in range(100):
            assert other.top1(codes[:, :0]).shape == (4, 0)


def test_what_one_budget_evaluates_may_answer_the_others():
    one = evaluator(question(points=3))
    codes = SPACE.sample(200, np.random.default_rng(0))
    one.top1(codes)
    cost = one.question.cost(codes)[:, 0]
    for limit, best, value in zip(one.question.limits[:, 0], *(part[:, 0] for part in one.best(1)), strict=True):
        held = codes[cost <= limit]
        assert score(best[None]) == pytest.approx(score(held).max()) and np.isfinite(value)
    assert np.array_equal(one.answers()[:, 0], one.best(1)[0][:, 0])


def test_children_and_repaired_architectures_hold_the_limits():
    one = evaluator()
    wild = SPACE.sample(80, np.random.default_rng(0)).reshape(4, 20, -1)
    assert not one.question.within(wild).all()
    repaired = one.repaired(wild)
    assert one.question.within(repaired).all()
    assert np.array_equal(repaired[one.question.within(wild)], wild[one.question.within(wild)])
    children = one.children(repaired, 30, 0.3)
    assert children.shape == (4, 30, wild.shape[2]) and one.question.within(children).all()


def test_choices_that_are_left_and_the_highest_values():
    left = np.ones((1, 2, 3), bool)
    left[0, 1, 2] = False
    codes = np.array([[[0, 1], [0, 2], [0, -1]]], np.int8)
    assert uses(left, codes).tolist() == [[True, False, True]]
    assert top(np.array([[1.0, 3.0, 2.0]]), 2).tolist() == [[1, 2]]


def test_lessons_are_the_best_and_the_latest():
    one = evaluator(question(points=2, evaluations=400))
    codes = np.unique(SPACE.sample(300, np.random.default_rng(0)), axis=0)
    one.top1(codes)
    assert len(one.lessons(1000)[0]) == len(codes)
    some, values = one.lessons(60)
    assert len(codes) > 60 >= len(some) > 40 and np.allclose(SCORE.inverse(score(some)), values)
    known = {row.tobytes() for row in some}
    assert {row.tobytes() for row in one.best(15)[0].reshape(30, -1)} <= known
    assert {row.tobytes() for row in one.seen()[0][-20:]} <= known


def test_promising_candidates_are_new_ones_first_and_each_once():
    one = evaluator(question(points=1))
    a, b, c = np.unique(SPACE.sample(50, np.random.default_rng(0)), axis=0)[:3]
    one.top1(a[None])
    found = one.promising(np.stack([[a, b, b, c]]), np.array([[4.0, 3.0, 3.0, 1.0]]), 3)
    assert np.array_equal(found[0], [b, c, a])
