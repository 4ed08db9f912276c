import itertools

import numpy as np
import pytest

from nagsdk.errors import InfeasibleError
from nagsdk.generator.location import locate


def best_of_all(top1, chances, shares, promised, most):
    """The highest mean top-1 of all choices of models and all ways in which devices may take them."""
    fits = np.where(chances >= 0.5, chances, 0.0)
    best = None
    for count in range(1, most + 1):
        for chosen in itertools.combinations(range(len(top1)), count):
            base = min(chosen, key=lambda model: top1[model])
            options = [{base, *(model for model in chosen if row[model])} for row in fits]
            for taken in itertools.product(*options):
                if sum(s * row[m] for s, row, m in zip(shares, fits, taken, strict=True)) >= promised:
                    mean = sum(share * top1[model] for share, model in zip(shares, taken, strict=True))
                    best = mean if best is None else max(best, mean)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_no_other_choice_is_better(seed):
    rng = np.random.default_rng(seed)
    top1, chances, shares = rng.uniform(60, 80, 5), rng.uniform(0.2, 1, (5, 5)), rng.dirichlet(np.ones(5))
    for most in (1, 2, 3):
        promised = float(rng.uniform(0.5, 0.8))
        expected = best_of_all(top1, chances, shares, promised, most)
        if expected is None:
            with pytest.raises(InfeasibleError):
                locate(top1, chances, shares, promised, most)
            continue
        found = locate(top1, chances, shares, promised, most)
        assert found.top1 == pytest.approx(expected, abs=1e-6) and found.gap == 0
        assert found.held >= promised - 1e-6 and len(found.models) <= most
        assert set(found.model_of.tolist()) == set(found.models)
        assert found.top1 == pytest.approx(float(shares @ top1[found.model_of]))


def test_a_device_that_no_model_suits_takes_the_least_accurate_one():
    top1, shares = np.array([80.0, 70.0, 60.0]), np.array([0.5, 0.45, 0.05])
    chances = np.array([[0.95, 0.99, 0.99], [0.1, 0.97, 0.99], [0.0, 0.1, 0.45]])
    found = locate(top1, chances, shares, 0.9, 2)
    assert found.models == (0, 1) and found.model_of.tolist() == [0, 1, 1]
    assert found.held == pytest.approx(0.5 * 0.95 + 0.45 * 0.97)


def test_what_is_impossible_says_how_far_it_goes():
    chances = np.array([[0.9, 0.4], [0.3, 0.8]])
    with pytest.raises(InfeasibleError, match="85 % of the users at most") as caught:
        locate(np.array([80.0, 70.0]), chances, np.array([0.5, 0.5]), 0.9, 2)
    assert caught.value.excess == pytest.approx(0.85)
    with pytest.raises(InfeasibleError, match="1 of the models cannot hold"):
        locate(np.array([80.0, 70.0]), chances, np.array([0.5, 0.5]), 0.8, 1)
