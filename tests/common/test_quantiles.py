import math

import pytest
from scipy.special import ndtri, stdtrit

from nagsdk.common.quantiles import normal_quantile, student_quantile

PROBABILITIES = (0.001, 0.05, 0.25, 0.5, 0.51, 0.6, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_normal_quantiles_are_those_of_scipy(probability):
    assert normal_quantile(probability) == pytest.approx(float(ndtri(probability)), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 8, 19, 20, 29, 60, 199, 500])
@pytest.mark.parametrize("probability", PROBABILITIES)
def test_quantiles_of_students_t_are_those_of_scipy(freedom, probability):
    assert student_quantile(freedom, probability) == pytest.approx(
        float(stdtrit(freedom, probability)), rel=1e-12, abs=1e-12
    )


def test_one_degree_of_freedom_is_the_cauchy_distribution():
    assert student_quantile(1, 0.75) == pytest.approx(1, rel=1e-14)
    assert student_quantile(1, 0.9) == pytest.approx(math.tan(0.4 * math.pi), rel=1e-14)


@pytest.mark.parametrize(("freedom", "probability"), [(0, 0.9), (-1, 0.9), (5, 0.0), (5, 1.0), (5, math.nan)])
def test_what_has_no_quantile_is_refused(freedom, probability):
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(freedom, probability)
