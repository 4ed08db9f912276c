from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.images.dividing import UndividedError, divide
from nagsdk.images.split import Item, Split

ROOT = Path("x")


def items(count, seed, label=0):
    numbers = np.random.default_rng(seed).permutation(1000)[:count]
    return [Item.of(ROOT, ROOT / f"class{label}" / f"{number}.png", label) for number in numbers]


def parts_of(given, *rest, **options):
    split, parts, _ = divide(given, *rest, classes=["class0", "class1", "class2"], **options)
    return split, {item.path: part for item, part in zip(given, parts, strict=True)}


@given(st.integers(5, 90), st.integers(0, 60), st.integers(0, 99))
@settings(max_examples=200)
def test_shares_are_exact_and_images_that_are_added_move_none(count, added, seed):
    every = items(count + added, seed)
    split, before = parts_of(every[:count])
    few = max(1, round(0.1 * count))
    assert Counter(before.values()) == {"val": few, "test": few, "train": count - 2 * few}
    again, after = parts_of(every, (), split)
    assert again.cuts == split.cuts and before.items() <= after.items()


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 99))
@settings(max_examples=100)
def test_halves_are_exact_and_stay(count, added, seed):
    every = items(count + added, seed)
    split, before = parts_of(every[:count], train=False)
    assert Counter(before.values()) == +Counter(val=count - count // 2, test=count // 2)
    _, after = parts_of(every, (), split, train=False)
    assert before.items() <= after.items() and "train" not in after.values()


@st.composite
def folders(draw):
    """Images with groups and pairs that look the same, over two classes, and how many of them were there first."""
    count = draw(st.integers(24, 60))
    grouped = draw(st.booleans())
    made = []
    for number in range(count):
        group = draw(st.integers(0, 14)) if grouped and draw(st.integers(0, 3)) else None
        path = ROOT / f"class{number % 2}" / f"{draw(st.integers(0, 9))}-{number}.png"
        made.append(Item.of(ROOT, path, number % 2, group if group is None else str(group)))
    place = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(place, place).filter(lambda pair: pair[0] < pair[1]), max_size=20))
    return made, pairs, draw(st.integers(16, count))


@given(folders())
@settings(max_examples=300, deadline=None)
def test_adding_images_moves_none_and_no_group_is_divided(folder):
    made, pairs, first = folder
    try:
        split, before = parts_of(made[:first], [p for p in pairs if max(p) < first])
    except UndividedError:
        return
    split = Split.of(split.to_dict())  # as a bundle records it
    _, after = parts_of(made, pairs, split)
    for found in (before, after):
        sides = {}
        for item in made[: len(found)]:
            assert sides.setdefault(item.key, found[item.path]) == found[item.path]
    assert before.items() <= after.items()


@given(st.integers(0, 99), st.integers(20, 60))
@settings(max_examples=60)
def test_what_looks_the_same_stays_together_and_what_is_added_joins_it(seed, count):
    every = items(count + 4, seed)
    pairs = [(0, 1), (1, 2), (3, 4), (0, count), (3, count + 1)]
    split, before = parts_of(every[:count], pairs[:3])
    assert len({before[every[place].path] for place in (0, 1, 2)}) == 1
    few = max(1, round(0.1 * count))
    assert all(few - 2 <= Counter(before.values())[part] <= few + 1 for part in ("val", "test"))
    _, after = parts_of(every, pairs, split)
    for old, new in pairs[3:]:
        assert after[every[new].path] == before[every[old].path]


def test_a_class_in_which_everything_looks_the_same_is_divided_all_the_same():
    given = [*items(30, 0), *items(30, 1, 1)]
    pairs = [(0, place) for place in range(1, 30)]
    _, parts, loose = divide(given, [*pairs, (30, 31)], classes=["class0", "class1"])
    assert loose == [0] and Counter(parts[:30]) == {"val": 3, "test": 3, "train": 24} and parts[30] == parts[31]


@pytest.mark.parametrize("groups", [1, 2])
def test_a_class_with_too_few_groups_is_named(groups):
    given = [*items(30, 0), *(Item.of(ROOT, ROOT / f"b{n}", 1, f"{n % groups}") for n in range(30))]
    with pytest.raises(UndividedError) as error:
        divide(given, classes=["class0", "class1"])
    assert error.value.classes == {1: groups}


@pytest.mark.parametrize("size", [1, 4, 40])
def test_three_groups_are_enough_whatever_their_size(size):
    given = [Item.of(ROOT, ROOT / f"{label}-{n}", label, f"{n % 3}") for label in (0, 1) for n in range(3 * size)]
    _, parts = parts_of(given)
    assert set(Counter(zip([i.label for i in given], parts.values(), strict=True)).values()) == {size}


def test_without_a_record_few_images_move():
    every = items(330, 0)
    (_, before), (_, after) = parts_of(every[:300]), parts_of(every)
    assert sum(before[path] != after[path] for path in before) <= 12


def test_other_images_get_every_part_too():
    """The cuts of one folder, applied to a small one, may leave no image on one side of them."""
    for cut in ((0.0, 0.0), (0.99, 0.99), (0.0, 0.99)):
        _, parts = parts_of(items(5, 1), (), Split({"class0": cut}))
        assert set(parts.values()) == {"train", "val", "test"}


def test_where_only_cuts_were_recorded_nothing_moves():
    every = items(60, 3)
    split, before = parts_of(every)
    _, after = parts_of(every, [(0, place) for place in range(1, 60)], Split(split.cuts))
    assert before == after


def test_the_cuts_of_another_kind_of_folder_say_nothing():
    every = items(80, 0)
    split, _ = parts_of(every[:40])
    _, parts = parts_of(every[40:], (), split, train=False)
    assert Counter(parts.values()) == {"val": 20, "test": 20}
