from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import DamagedBundleError
from nagsdk.images.split import divide, read_cuts

ROOT = Path("x")


def _names(count, seed):
    numbers = np.random.default_rng(seed).permutation(1000)[:count]
    return [ROOT / "azure" / f"{number}.png" for number in numbers]


@given(st.integers(5, 90), st.integers(0, 60), st.integers(0, 99))
@settings(max_examples=200)
def test_shares_are_exact_and_images_that_are_added_move_none(count, added, seed):
    names = _names(count + added, seed)
    cut, *before = divide(ROOT, names[:count])
    few = max(1, round(0.1 * count))
    assert list(map(len, before)) == [few, few, count - 2 * few]
    again, *after = divide(ROOT, names, cut)
    assert again == cut and sorted(path for part in after for path in part) == sorted(names)
    assert all(set(old) <= set(new) for old, new in zip(before, after, strict=True))


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 99))
@settings(max_examples=100)
def test_halves_are_exact_and_stay(count, added, seed):
    names = _names(count + added, seed)
    cut, val, test, train = divide(ROOT, names[:count], train=False)
    assert (len(val), len(test), train) == (count - count // 2, count // 2, [])
    _, more, others, rest = divide(ROOT, names, cut, train=False)
    assert set(val) <= set(more) and set(test) <= set(others) and not rest


def test_without_the_cuts_few_images_move():
    names = _names(330, 0)
    _, *before = divide(ROOT, names[:300])
    _, *after = divide(ROOT, names)
    moved = sum(len(set(old) - set(new)) for old, new in zip(before, after, strict=True))
    assert moved <= 12


def test_other_images_get_every_part_too():
    """The cuts of one folder, applied to a small one, may leave no image on one side of them."""
    for cut in ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0)):
        _, *parts = divide(ROOT, _names(5, 1), cut)
        assert all(parts) and sum(map(len, parts)) == 5


@pytest.mark.parametrize("record", [[], {"a": 1}, {"a": [0.1]}, {"a": [0.1, 2]}, {"a": ["x", 1]}, "a"])
def test_a_damaged_record_of_cuts_is_named(record):
    with pytest.raises(DamagedBundleError, match="split"):
        read_cuts({"images": {"cuts": record}})


def test_a_bundle_without_cuts_has_none():
    assert read_cuts({}) == read_cuts({"images": "none"}) == read_cuts({"images": {}}) == {}
    assert read_cuts({"images": {"cuts": {"a": [0.1, 0.2]}}}) == {"a": (0.1, 0.2)}
