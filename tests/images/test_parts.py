import pytest

from nagsdk.errors import DataError
from nagsdk.images.folder import scan
from nagsdk.images.parts import find_parts
from tests.images.layouts import lay, of


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Train", "Val", "Test"),
        ("TRAIN", "VALIDATION", "TEST"),
        ("training", "validation", "testing"),
        ("training_set", "val_set", "test_set"),
        ("seg_train", "seg_val", "seg_test"),
        ("Training Data", "valid-data", "test.images"),
        ("trainset", "valset", "testset"),
        ("TrainImages", "DevImages", "TestImages"),
        ("01_train", "02_dev", "03_test"),
        ("train2017", "val2017", "test2017"),
        ("flowers_train", "flowers_eval", "flowers_test"),
    ],
)
def test_parts_have_many_names(tmp_path, train, val, test):
    lay(tmp_path, of([f"{part}/{name}" for part in (train, val, test) for name in ("cat", "dog")], 3))
    found = scan(tmp_path)
    assert found.classes == ("cat", "dog") and found.split == "folders"
    assert all(
        path.relative_to(tmp_path).parts[0] == folder
        for part, folder in (("train", train), ("val", val), ("test", test))
        for path in found.parts[part].paths
    )
    assert found.counts() == {"train": [3, 3], "val": [3, 3], "test": [3, 3]}


@pytest.mark.parametrize(
    "names",
    [("cat", "dog"), ("steam train", "bullet train"), ("test tube", "beaker"), ("training shoe", "sandal"),
     ("valid", "invalid"), ("Valid", "Invalid"), ("set", "image"), ("protest", "detrain")],
)  # fmt: skip
def test_classes_are_not_taken_for_parts(tmp_path, names):
    lay(tmp_path, of(names, 8))
    found = scan(tmp_path)
    assert set(found.classes) == set(names) and found.split == "automatic" and found.notes == ()


def test_a_train_among_vehicles_is_a_class_and_said_to_be_one(tmp_path):
    lay(tmp_path, of(["Bus", "Train", "ship"], 8))
    found = scan(tmp_path)
    assert (
        found.classes == ("Bus", "Train", "ship") and "Read as classes" in found.notes[0] and "Train" in found.notes[0]
    )


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        (["Training/cat", "Training/dog", "Testing/cat", "Testing/dog"], "a folder Training, but no folder val"),
        (["seg_train/seg_train/cat", "seg_test/seg_test/cat", "seg_pred"], "a folder seg_train, but no folder val"),
        (["cat", "dog", "test"], r"named like parts of a data set \(test\), but no folder train"),
        (["cat", "dog", "Valid"], r"\(Valid\), but no folder train"),
        (["val/cat", "val/dog", "test/cat", "test/dog"], "no folder train"),
        (["train", "test1"], "train that holds no class folders"),
        (["a_train", "b_train", "a_val", "b_val"], "several folders for the part train: a_train, b_train"),
    ],
)
def test_parts_that_cannot_be_used_are_refused(tmp_path, folders, says):
    lay(tmp_path, of(folders, 8))
    with pytest.raises(DataError, match=says) as caught:
        scan(tmp_path)
    assert "rename" in caught.value.next_step or "name the right one" in caught.value.next_step


def test_the_plain_names_come_before_others_which_are_said_to_be_unread(tmp_path):
    lay(tmp_path, of([f"{part}/{name}" for part in ("train", "val", "valid", "dev", "extra") for name in "ab"], 4))
    found = scan(tmp_path)
    assert {path.relative_to(tmp_path).parts[0] for part in found.parts.values() for path in part.paths} == {
        "train",
        "val",
    }
    assert found.notes == ("Folders beside the parts were not read: dev, extra, valid.",)


def test_a_part_inside_a_folder_of_its_own_name_is_found(tmp_path):
    lay(tmp_path, of([f"seg_{part}/seg_{part}/{name}" for part in ("train", "val") for name in "ab"], 4))
    lay(tmp_path, of(["seg_pred"], 3))
    found = scan(tmp_path)
    assert found.counts() == {"train": [4, 4], "val": [2, 2], "test": [2, 2]}
    assert found.notes == (
        "Folders that were read as parts: seg_train (train), seg_val (val).",
        "Folders beside the parts were not read: seg_pred.",
    )


def test_no_folder_is_no_part(tmp_path):
    assert find_parts(tmp_path, []) == ({}, ())
