import itertools

import numpy as np
import pytest
from scipy.stats import norm

from nagsdk.cost.spread import MOST_EXPONENT, Spread, most_error
from nagsdk.errors import UsageError


def test_the_bound_of_errors_is_the_larger_one_of_two_ranks():
    errors = np.arange(-10.0, 10.0)
    assert most_error(errors, 0.9) == 8.0  # rank 19 of 21
    assert most_error(np.append(errors, -30.0), 0.5) == 0.0
    assert most_error(np.where(errors < -5, 3 * errors, errors), 0.9) == 21.0  # rank 17 of 21 of the absolute values


def test_few_sets_of_twenty_errors_give_a_bound_that_covers_much_less():
    rng = np.random.default_rng(0)
    covered = norm.cdf([most_error(rng.normal(size=20), 0.9) for _ in range(4000)])
    assert 0.9 < covered.mean() < 0.93 and np.mean(covered < 0.8) < 0.05


def test_too_few_errors_are_refused():
    assert most_error(np.arange(9.0), 0.9) == 8.0
    with pytest.raises(UsageError, match="needs a calibration with 9 architectures; this one has 8"):
        most_error(np.arange(8.0), 0.9)


@pytest.mark.parametrize("exponent", [-0.4, 0.0, 0.2, -2.0])
def test_a_spread_is_a_power_of_the_latency_whose_bounds_grow(exponent):
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(1, 0.4, 1000))
    found = Spread.fitted(mean, 0.05 * mean ** (1 + exponent) * np.exp(rng.normal(0, 0.02, 1000)))
    assert found.exponent == pytest.approx(max(exponent, -MOST_EXPONENT), abs=0.01)
    assert found.at_ms == np.median(mean)
    cost = np.geomspace(1e-3, 100, 500)
    for low, high in itertools.pairwise(cost * (1 + 3 * found.of(cost))):
        assert low < high
