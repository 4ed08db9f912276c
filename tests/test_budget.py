from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.budget import Budget
from nagsdk.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "metric", "limit", "percentile"),
    [
        ("80ms", "latency", 80, 50),
        ("80ms@p90", "latency", 80, 90),
        (" 0.5 s ", "latency", 500, 50),
        ("500us", "latency", 0.5, 50),
        ("500µs", "latency", 0.5, 50),
        ("12MB", "size", 12e6, 50),
        ("300MMACs", "macs", 300e6, 50),
        ("1.5GMACs", "macs", 1.5e9, 50),
        ("1e2ms", "latency", 100, 50),
    ],
)
def test_reads_what_it_documents(text, metric, limit, percentile):
    budget = Budget.parse(text)
    assert (budget.metric, budget.percentile, budget.confidence) == (metric, percentile, 0.9)
    assert budget.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("80", "80ms"),
        ("80 parsecs", "ms, s, kB"),
        ("-3ms", "1e-12"),
        ("0ms", "1e-12"),
        ("nanms", "1e-12"),
        ("infms", "1e-12"),
        ("", "80ms@p90"),
        ("ms", "80ms"),
        ("12MB@p90", "only a latency"),
        ("80ms@p0", "from 1 to 99"),
        ("80ms@p100", "from 1 to 99"),
        ("1e999ms", "1e-12"),
        ("80ms 90ms", "Write a number"),
    ],
)
def test_errors_name_a_next_step(text, says):
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


@given(st.text(max_size=40))
def test_any_text_is_a_budget_or_a_budget_error(text):
    try:
        assert Budget.parse(text).limit > 0
    except BudgetError as error:
        assert error.next_step


@given(st.floats(1e-3, 1e6), st.sampled_from(["ms", "MB", "MMACs"]), st.integers(1, 99))
def test_its_text_reads_back(value, unit, percentile):
    budget = Budget.parse(f"{value}{unit}" + (f"@p{percentile}" if unit == "ms" else ""))
    again = Budget.parse(str(budget))
    assert again.limit == pytest.approx(budget.limit, rel=1e-5)
    assert (again.metric, again.percentile) == (budget.metric, budget.percentile)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1kB", "1kB"),
        ("0.381MB", "381kB"),
        ("1MB", "1MB"),
        ("1000ms", "1s"),
        ("2500ms@p90", "2.5s@p90"),
        ("999ms", "999ms"),
        ("20us", "0.02ms"),
    ],
)
def test_its_text_is_in_a_unit_of_its_size(text, shown):
    assert str(Budget.parse(text)) == shown


@given(st.floats(1e-3, 1e6), st.booleans())
def test_rounding_never_goes_the_wrong_way(value, up):
    rounded = Budget("macs", value * 1e6).rounded(up=up)
    assert (rounded.limit >= value * 1e6) if up else (rounded.limit <= value * 1e6)
    assert rounded.limit == pytest.approx(value * 1e6, rel=1.1e-3)
    assert Budget.parse(str(rounded)).limit == rounded.limit


def test_confidence_is_a_probability():
    with pytest.raises(BudgetError):
        Budget("latency", 1.0, confidence=1.0)


def test_budgets_carry_how_they_are_shown():
    budget = Budget("energy", 2500.0, unit=("mJ", 1000.0))
    assert str(budget) == "2.5mJ" and str(replace(budget, limit=1234567.0).rounded(up=False)) == "1234mJ"
    assert budget == Budget("energy", 2500.0, unit=("uJ", 1.0)) and hash(budget) == hash(
        replace(budget, unit=("uJ", 1.0))
    )
    assert budget.to_dict() | {"unit": "mJ", "unit_factor": 1000.0} == budget.to_dict()
    with pytest.raises(BudgetError, match="no unit was given"):
        Budget("energy", 2500.0)
    with pytest.raises(BudgetError, match="cannot be"):
        Budget("energy", 2500.0, unit=("mJ", 0.0))
