from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nagsdk.errors import DataError
from nagsdk.images.entries import image_files
from nagsdk.images.folder import _split, scan
from tests.pictures import fill


def test_a_folder_of_classes_is_split_and_always_in_the_same_way(tmp_path):
    fill(tmp_path, {"azure": 30, "brick": 12, "clover": 5})
    found = scan(tmp_path)
    assert found.classes == ("azure", "brick", "clover") and found.split == "automatic"
    counts = found.counts()
    assert (
        np.sum(list(counts.values()), axis=0).tolist() == [30, 12, 5]
        and min(min(of_class) for of_class in counts.values()) > 0
    )
    assert counts["train"][0] > 18
    names = [path for part in found.parts.values() for path in part.paths]
    assert len(set(names)) == len(names) == 47
    assert all(
        path.parent.name == found.classes[label]
        for p in found.parts.values()
        for path, label in zip(p.paths, p.labels, strict=True)
    )
    assert scan(tmp_path) == found
    before = found.fingerprint
    (tmp_path / "azure" / "000.png").write_bytes(b"changed")
    assert scan(tmp_path).fingerprint != before


def test_classes_and_images_have_one_order_on_every_system(tmp_path, monkeypatch):
    for name, colour in (("Zebra", "azure"), ("apple", "brick")):
        fill(tmp_path, {colour: 12})
        (tmp_path / colour).rename(tmp_path / name)
    (tmp_path / "apple" / "000.png").rename(tmp_path / "apple" / "A.png")
    (tmp_path / "apple" / "001.png").rename(tmp_path / "apple" / "a-1.png")
    before = scan(tmp_path), image_files(tmp_path, 100)
    assert before[0].classes == ("Zebra", "apple")
    monkeypatch.setattr(
        type(tmp_path), "__lt__", lambda self, other: str(self).lower() < str(other).lower()
    )  # as on Windows
    assert (scan(tmp_path), image_files(tmp_path, 100)) == before


def test_a_tenth_is_set_aside(tmp_path):
    fill(tmp_path, {"azure": 400, "brick": 400})
    counts = scan(tmp_path).counts()
    assert all(25 <= count <= 60 for part in ("val", "test") for count in counts[part])


@given(st.integers(5, 60), st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=200)
def test_images_that_are_added_move_none_out_of_training(count, added, seed):
    root, rng = Path("x"), np.random.default_rng(seed)
    names = [root / "azure" / f"{number}.png" for number in rng.permutation(1000)[: count + added]]
    before, after = _split(root, names[:count]), _split(root, names)
    assert all(before) and all(after) and {*after[0], *after[1], *after[2]} == {*names}
    if len(before[2]) > 1:
        assert not set(before[2]) & {*after[0], *after[1]}


def test_given_parts_are_kept_and_the_test_is_set_aside_from_val(tmp_path):
    fill(tmp_path / "train", {"azure": 4, "brick": 3})
    fill(tmp_path / "valid", {"azure": 4, "brick": 6})
    found = scan(tmp_path)
    assert found.counts() == {"train": [4, 3], "val": [2, 3], "test": [2, 3]} and found.split == "folders"
    assert not set(found.parts["val"].paths) & set(found.parts["test"].paths)
    fill(tmp_path / "test", {"azure": 1})
    assert scan(tmp_path).counts() == {"train": [4, 3], "val": [4, 6], "test": [1, 0]}


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"azure": 9}, "only the class folder azure"),
        ({}, "no class folders"),
        ({"azure": 9, "brick": 0}, "have no image: brick"),
        ({"azure": 9, "brick": 4}, r"brick \(4\)"),
        ({"azure": 9, "brick": 4, "dune": 0}, r"have no image: dune.*cannot be split: brick \(4\)"),
    ],
)
def test_problems_of_class_folders_are_named(tmp_path, counts, says):
    fill(tmp_path, counts)
    with pytest.raises(DataError, match=says) as caught:
        scan(tmp_path)
    assert caught.value.exit_code == 2 and caught.value.next_step


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        ({"azure": 3, "brick": 3}, {"azure": 3, "brick": 3, "dune": 1}, "dune"),
        ({"azure": 3, "brick": 3}, {"azure": 3}, "have no image in val: brick"),
        ({"azure": 3, "brick": 3}, {"azure": 1, "brick": 1}, "too few images in val"),
        ({"azure": 3, "brick": 0}, {"azure": 3, "brick": 3}, "have no image: brick"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, train, val, says):
    fill(tmp_path / "train", train)
    fill(tmp_path / "val", val)
    with pytest.raises(DataError, match=says):
        scan(tmp_path)


def test_a_missing_folder_and_a_missing_val_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        scan(tmp_path / "none")
    fill(tmp_path / "train", {"azure": 3, "brick": 3})
    with pytest.raises(DataError, match="but no folder val"):
        scan(tmp_path)


def test_links_that_lead_back_and_other_files_are_reported(tmp_path):
    fill(tmp_path, {"azure": 6, "brick": 6})
    (tmp_path / "azure" / "back").symlink_to(tmp_path)
    (tmp_path / "brick" / "self").symlink_to(tmp_path / "brick")
    (tmp_path / "brick" / "notes.txt").write_text("x")
    (tmp_path / "brick" / "round.png").symlink_to(tmp_path / "brick" / "round.png")
    found = scan(tmp_path)
    assert sum(map(sum, found.counts().values())) == 12
    assert (
        all(name in found.notes[0] for name in ("azure/back", "brick/self", "brick/round.png"))
        and "1 other file was skipped" in found.notes[1]
    )
