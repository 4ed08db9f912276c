from types import SimpleNamespace

import numpy as np

from nagsdk.generator.ranking import best_of_every_cost, choose


class ByTable:
    """Returns top-1 from a dictionary of codes and counts the requested architectures."""

    def __init__(self, top1):
        self.top1, self.asked = top1, 0

    def predict(self, codes):
        self.asked += len(codes)
        return SimpleNamespace(mean=np.array([self.top1[tuple(c)] for c in codes.tolist()]))


def test_best_first_among_those_that_hold_the_limit():
    codes = np.array([[[0, 0], [0, 1], [1, 0], [1, 1]]] * 2, np.int8)
    predictor = ByTable({(0, 0): 70.0, (0, 1): 72.0, (1, 0): 71.0, (1, 1): 75.0})
    upper = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)
    assert choose(predictor, codes).tolist() == [[3, 1, 2, 0]] * 2
    assert predictor.asked == 4
    # Candidates that exceed the limit follow, the nearest first, whatever their accuracy.
    assert choose(predictor, codes, upper, [2.5, 0.5]).tolist() == [[1, 0, 2, 3], [0, 1, 2, 3]]
    assert choose(predictor, codes[0], upper[0], 3.0).tolist() == [1, 2, 0, 3]


def test_ties_go_to_the_cheaper_then_to_the_earlier():
    codes = np.array([[0, 0], [0, 1], [1, 0], [0, 0]], np.int8)
    predictor = ByTable({(0, 0): 70.0, (0, 1): 70.0, (1, 0): 70.0})
    assert choose(predictor, codes).tolist() == [0, 1, 2, 3]
    assert choose(predictor, codes, np.array([3.0, 2.0, 1.0, 3.0]), 5.0).tolist() == [2, 1, 0, 3]


def test_the_best_of_every_cost_is_the_most_accurate_of_each_equal_part():
    cost, top1 = np.array([4.0, 1.0, 3.0, 2.0]), np.array([70.0, 60.0, 75.0, 65.0])
    assert best_of_every_cost(cost, top1, 2).tolist() == [3, 2]
    assert best_of_every_cost(cost, top1, 4).tolist() == [1, 3, 2, 0]
