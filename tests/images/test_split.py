from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nagsdk.errors import DamagedBundleError
from nagsdk.images.split import Item, Split

SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))
KEYS = st.binary(min_size=6, max_size=6)


@given(
    st.builds(
        Split,
        st.dictionaries(st.text(max_size=5), SHARES, max_size=4),
        st.dictionaries(KEYS, st.sampled_from(["train", "val", "test"]), max_size=9),
        st.none() | st.text(max_size=20),
    )
)
def test_a_split_is_read_as_it_was_written(split):
    assert Split.of(split.to_dict()) == split


@pytest.mark.parametrize("cuts", [[], {"a": 1}, {"a": [0.1]}, {"a": [0.1, 2]}, {"a": ["x", 1]}, "a", None])
def test_damaged_cuts_are_named(cuts):
    with pytest.raises(DamagedBundleError, match="split"):
        Split.of({"cuts": cuts})


@pytest.mark.parametrize(
    "more", [{"held": {"train": "?"}}, {"held": {"train": "AAAA"}}, {"held": {"all": ""}}, {"held": 1}, {"group_by": 1}]
)
def test_damaged_records_are_named(more):
    with pytest.raises(DamagedBundleError, match="split"):
        Split.of({"cuts": {}, **more})
    with pytest.raises(DamagedBundleError, match="split"):
        Split.of([])


def test_a_name_does_not_depend_on_the_place_of_its_folder():
    one, other = (Item.of(Path(root), Path(root, "a", "1.png"), 0) for root in ("x", "y"))
    assert one.key == other.key and 0 <= one.share < 1
    grouped = [Item.of(Path("x"), Path("x", folder, "1.png"), 0, "p1") for folder in "ab"]
    assert grouped[0].key == grouped[1].key != one.key
