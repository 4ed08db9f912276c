import math
import pickle
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nagsdk
from nagsdk import ranges
from nagsdk.budget import Budget
from nagsdk.errors import BudgetError, NagsdkError, UsageError
from nagsdk.ranges import Range

WHOLE = Range("A count", 1, 10)
REAL = Range("A share", 0, 1, whole=False, high_open=True)
EVERY = [value for value in vars(ranges).values() if isinstance(value, Range)]
NO_NUMBERS = [None, True, False, np.bool_(True), "1", b"1", [], {}, 1j, math.nan, np.nan, math.inf, -math.inf, object()]


@pytest.mark.parametrize("value", [1, 10, np.int8(3), np.uint64(9)])
def test_legal_whole_numbers_become_plain_ones(value):
    assert type(WHOLE.check(value)) is int and WHOLE.check(value) == value


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.25), Fraction(1, 3), -0.0])
def test_legal_numbers_become_plain_ones(value):
    assert type(REAL.check(value)) is float and REAL.check(value) == pytest.approx(float(value))


@pytest.mark.parametrize("legal", EVERY, ids=lambda legal: legal.what)
@pytest.mark.parametrize(
    "value",
    [*NO_NUMBERS, 2**2000, -(2**2000), 10**5000, 1e308, -1],
    ids=lambda v: repr(v)[:12] if not isinstance(v, int) else "int",
)
def test_what_is_no_number_or_out_of_the_range_is_refused_with_the_range(legal, value):
    with pytest.raises(UsageError) as caught:
        legal.check(value)
    assert f"{legal.high:.12g}" in caught.value.next_step and len(str(caught.value)) < 400


@given(st.text())
def test_a_text_is_a_number_in_ascii_or_refused(text):
    for legal in (WHOLE, REAL):
        with suppress(UsageError):
            assert legal.holds(legal.parse(text)) and text.isascii()


@pytest.mark.parametrize("text", ["٣", "1_0", "0x1", "", "nan", "inf", "1e400", "9" * 5000, "１"])
def test_numbers_of_other_forms_are_refused(text):
    for legal in (WHOLE, REAL):
        with pytest.raises(UsageError):
            legal.parse(text)


@pytest.mark.parametrize("value", [-1, 2**32, 2**200, 1.0, True, "0", None.__class__])
@pytest.mark.parametrize(
    "verb",
    [
        lambda seed: nagsdk.deploy("cpu", "1MMACs", seed=seed),
        lambda seed: nagsdk.generate("cpu", "1MMACs", seed=seed),
        lambda seed: nagsdk.frontier("cpu", metric="macs", seed=seed),
        lambda seed: nagsdk.calibrate("cpu", seed=seed),
        lambda seed: nagsdk.train(data="none", output="out", seed=seed),
        lambda seed: nagsdk.fit_predictor(bundle="glyphs", data="none", output="out", seed=seed),
        lambda seed: nagsdk.train_generator(bundle="glyphs", output="out", seed=seed),
        lambda seed: nagsdk.train_paper_generator("cpu", seed=seed),
    ],
)
def test_every_verb_refuses_a_seed_that_is_none(verb, value):
    with pytest.raises(UsageError, match="A seed cannot be"):
        verb(value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: nagsdk.Target("cpu", threads=2**70), "number of threads"),
        (lambda: nagsdk.Target("cpu", batch=True), "images of one inference"),
        (lambda: nagsdk.generate("cpu", "1MMACs", resolution=1.5), "An input size"),
        (lambda: nagsdk.generate("cpu", min_top1="76"), "A minimum top-1"),
        (lambda: nagsdk.generate("cpu", [[f"{n}ms" for n in range(1, 51)]]), "limits that hold together"),
        (lambda: nagsdk.generate("cpu", ["1ms"] * 20_000), "answered one by one"),
        (lambda: nagsdk.deploy("cpu", "1ms", finetune=-1), "fine-tuning"),
        (lambda: nagsdk.calibrate("cpu", samples=10**9), "reference architectures"),
        (lambda: nagsdk.calibrate("cpu", within_s=math.nan), "time to measure"),
        (lambda: nagsdk.inventory.prune_store(math.inf), "age in days"),
        (lambda: nagsdk.inventory.prune_store(1e6), "age in days"),
        (lambda: nagsdk.train(data="none", output="out", epochs=10**12), "epochs"),
        (lambda: nagsdk.predict(None, typo=1), "no setting typo"),
        (lambda: nagsdk.generate(["cpu", "cpu"], "1MMACs"), "given twice"),
    ],
)
def test_verbs_refuse_other_numbers_before_they_work(call, says):
    with pytest.raises(UsageError, match=says):
        call()


@pytest.mark.parametrize("values", [(math.nan,), (2**2000,), ("5",), (5, "50"), (5, 50, math.nan), (5, 50, True)])
def test_budgets_of_python_are_checked_like_those_of_text(values):
    with pytest.raises(BudgetError):
        Budget("latency", *values)


def test_equal_budgets_count_once():
    once, often = (nagsdk.generate("cpu", [["1MMACs"] * count])[0] for count in (1, 50))
    assert once == often and len(often.budgets) == 1


def test_a_target_can_be_sent_to_another_process(tmp_path):
    target = nagsdk.Target("cpu", threads=2, on_event=lambda event: None)
    _ = target.host
    again = pickle.loads(pickle.dumps(target))
    assert (again.device, again.bundle.folder, again.costs.device) == (
        target.device,
        target.bundle.folder,
        target.device,
    )
    assert nagsdk.generate(again, "1MMACs") == nagsdk.generate(target, "1MMACs")


@given(st.integers() | st.floats() | st.text(max_size=9) | st.booleans() | st.none())
def test_nothing_but_an_error_of_ours_or_a_legal_number_comes_out(value):
    for legal in (ranges.SEED, ranges.LIMIT):
        try:
            assert legal.holds(legal.check(value))
        except NagsdkError as error:
            assert error.next_step
