from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.budget import Budget
from nagsdk.errors import BudgetError
from nagsdk.manifest.result import budget_of


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
        ("300ms@init", "init", 300, 50),
        (" 1.5 s @ Init ", "init", 1500, 50),
        ("150MiB@ram", "ram", 157.286400, 50),
        ("150MB@ram", "ram", 150, 50),
        ("1GiB@ram", "ram", 1073.741824, 50),
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


@pytest.mark.parametrize(
    ("text", "shown", "limit_of_8", "percentile"),
    [
        ("200FPS", "200FPS", 40, 50),
        ("200 fps", "200FPS", 40, 50),
        ("200Fps@p90", "200FPS@p90", 40, 90),
        ("200 images/s", "200FPS", 40, 50),
        ("200img / sec @p95", "200FPS@p95", 40, 95),
        ("0.5 frames/second", "0.5FPS", 16000, 50),
        ("5ms/image", "5ms/image", 40, 50),
        ("5 MS / Images@p90", "5ms/image@p90", 40, 90),
        ("250us/img", "0.25ms/image", 2, 50),
        ("2s/image", "2s/image", 16000, 50),
    ],
)
def test_a_budget_per_image_limits_the_inference_of_a_batch(text, shown, limit_of_8, percentile):
    budget = Budget.parse(text)
    assert budget.images == 1 and budget.metric == "latency"
    of_8 = budget.for_batch(8)
    assert of_8.limit == pytest.approx(limit_of_8) and of_8.percentile == percentile and of_8.images == 8
    assert of_8.for_batch(1) == budget
    assert str(of_8) == str(budget) == shown  # whatever the batch, it is shown as it was asked
    assert of_8.to_dict()["text"] == shown
    figures = of_8.to_dict()
    assert figures["limit"] / figures["unit_factor"] == pytest.approx(limit_of_8 / 8) and figures["unit"] == "ms/image"


def test_budgets_that_are_not_per_image_do_not_depend_on_the_batch():
    for text in ("80ms@p90", "12MB", "300MMACs"):
        budget = Budget.parse(text)
        assert budget.for_batch(8) == budget and budget.to_dict()["images"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0FPS", "positive"),
        ("-3fps", "positive"),
        ("nan images/s", "positive"),
        ("infFPS", "positive"),
        ("1e-320FPS", "positive"),
        ("200FPS/image", "200 images/s"),
        ("200FPS/s", "200 images/s"),
        ("5MB/image", "5ms/image"),
        ("5ms/s", "5ms/image"),
        ("200/s", "200 images/s"),
        ("200images", "not a unit"),
        ("200 images/min", "200 images/s"),
        ("200FPS@p100", "from 1 to 99"),
        ("5ms/", "Write a number"),
    ],
)
def test_what_is_no_budget_per_image_is_told_how_to_write_one(text, says):
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    assert says in str(caught.value)


@given(
    st.floats(1e-3, 1e6),
    st.sampled_from(["FPS", " images/s", "ms/image", "s/image", "us/img"]),
    st.sampled_from([1, 50, 90.5]),
    st.integers(1, 4096),
)
def test_a_budget_per_image_reads_back_at_any_batch(value, unit, percentile, batch):
    budget = Budget.parse(f"{value}{unit}@p{percentile}").for_batch(batch)
    again = Budget.parse(str(budget)).for_batch(batch)
    assert again.limit == pytest.approx(budget.limit, rel=1e-5)
    assert (again.percentile, again.images, again.throughput) == (percentile, batch, budget.throughput)
    assert budget_of(budget.to_dict()) == budget and str(budget_of(budget.to_dict())) == str(budget)
    assert budget.rounded(up=True).limit >= budget.limit * (1 - 1e-12)
    assert budget.rounded(up=False).limit <= budget.limit * (1 + 1e-12)
    assert budget.eased(1.5).limit == pytest.approx(1.5 * budget.limit, rel=0.01)
    assert not set(budget.file_name) & set('/\\:*?"<>|')


def test_throughput_needs_a_latency():
    with pytest.raises(BudgetError, match="Only a latency"):
        Budget("size", 1.0, images=1)
    with pytest.raises(BudgetError, match="Only a latency"):
        Budget("latency", 1.0, throughput=True)
    with pytest.raises(BudgetError, match="from 1 to 4096"):
        Budget("latency", 1.0, images=0)


NAMED = {"sram": {"KiB@sram": 1024.0, "MB@sram": 1e6}, "flash": {"KiB@flash": 1024.0}}


@pytest.mark.parametrize("text", ["256KiB@sram", "256 kib @ SRAM", "0.262144mb@sram"])
def test_a_unit_may_name_its_metric(text):
    budget = Budget.parse(text, units=NAMED)
    assert budget.metric == "sram" and budget.limit == pytest.approx(256 * 1024)
    assert Budget.parse(str(budget), units=NAMED) == budget


@pytest.mark.parametrize("text", ["256KiB@rom", "256ms@sram", "256MB@flash", "5ms/image@sram"])
def test_a_unit_that_its_metric_does_not_have_is_refused(text):
    with pytest.raises(BudgetError):
        Budget.parse(text, units=NAMED)


@pytest.mark.parametrize("text", ["300ms@init", "1.5s@init", "150MiB@ram", "2048MiB@ram"])
def test_budgets_on_what_is_only_measured_are_written_as_they_are_read(text):
    budget = Budget.parse(text)
    assert str(budget) == text and Budget.parse(str(budget)) == budget == budget_of(budget.to_dict())
    assert budget.for_batch(8) == budget and budget.eased(2).limit == pytest.approx(2 * budget.limit, rel=0.01)


@pytest.mark.parametrize("text", ["3MB@init", "5ms@ram", "@ram", "300@init", "3ms/image@init", "2FPS@init"])
def test_units_that_do_not_go_with_what_is_measured_are_refused_with_the_legal_ones(text):
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    assert "the units are" in caught.value.next_step and text[-4:].strip("@") in caught.value.next_step
