import os
import sys
import unicodedata

import numpy as np
import pytest

from nagsdk.errors import DataError, UsageError
from nagsdk.images import entries
from nagsdk.images.entries import image_files
from nagsdk.images.folder import scan
from nagsdk.images.split import Split
from tests.images.layouts import ACUTE, FINGERPRINTS, lay, of
from tests.pictures import fill


@pytest.fixture(autouse=True)
def _without_heif(monkeypatch):
    """The same results with and without the extra heif."""
    monkeypatch.setattr(entries, "reads_heif", lambda: False)


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


def test_a_tenth_of_every_class_is_set_aside(tmp_path):
    sizes = {"azure": 60, "brick": 5, "clover": 14, "dune": 26}
    fill(tmp_path, sizes)
    found = scan(tmp_path)
    assert found.counts() == {"train": [48, 3, 12, 20], "val": [6, 1, 1, 3], "test": [6, 1, 1, 3]}
    fill(tmp_path, {name: 2 * size for name, size in sizes.items()})
    again = scan(tmp_path, found.division)
    for part in ("train", "val", "test"):  # whatever is added, no image moves
        assert set(found.parts[part].paths) <= set(again.parts[part].paths)
    assert again.division.cuts == found.division.cuts


def test_the_halves_of_val_stay_when_images_are_added(tmp_path):
    fill(tmp_path / "train", {"azure": 4, "brick": 3})
    fill(tmp_path / "val", {"azure": 7, "brick": 6})
    found = scan(tmp_path)
    assert (found.counts()["val"], found.counts()["test"]) == ([4, 3], [3, 3])
    fill(tmp_path / "val", {"azure": 20, "brick": 13})
    again = scan(tmp_path, found.division)
    assert all(set(found.parts[part].paths) <= set(again.parts[part].paths) for part in ("val", "test"))


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


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems change these names")
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_and_splits_stay_as_bundles_recorded_them(tmp_path, name):
    names, fingerprint, counts = FINGERPRINTS[name]
    found = scan(lay(tmp_path, names))
    assert (found.fingerprint, found.counts()) == (fingerprint, counts)


@pytest.mark.parametrize("parts", [("", ""), ("train/", "val/")])
def test_folders_that_all_hold_the_same_folders_are_not_classes(tmp_path, parts):
    for part in parts:
        lay(tmp_path, of([f"{part}{year}/{name}" for year in (2019, 2020) for name in ("cat", "dog")], 6))
    lay(tmp_path, of([f"{parts[0]}2020/cow"], 6))
    with pytest.raises(DataError, match=r"all of them hold the same folders \(cat, dog\)"):
        scan(tmp_path)


def test_parts_inside_class_folders_are_named(tmp_path):
    lay(tmp_path, of([f"{name}/{part}" for name in ("cat", "dog") for part in ("Train", "Test")], 6))
    with pytest.raises(DataError, match=r"cat, dog\) hold the parts: test, train") as caught:
        scan(tmp_path)
    assert "test/cat" in caught.value.next_step


def test_a_single_folder_that_holds_the_classes_is_named(tmp_path):
    lay(tmp_path, of(["photos/cat", "photos/dog"], 6))
    with pytest.raises(DataError, match="only the class folder photos") as caught:
        scan(tmp_path)
    assert str(tmp_path / "photos") in caught.value.next_step


@pytest.mark.parametrize("parts", [("",), ("train/", "val/", "test/")])
def test_thumbnails_bins_and_hidden_files_are_passed_over_and_counted(tmp_path, parts):
    for part in parts:
        lay(tmp_path, of([f"{part}cat", f"{part}dog"], 6))
    before = scan(tmp_path)
    extra = [f"cat/@eaDir/{i:02d}.jpg/SYNOPHOTO_THUMB_M.jpg" for i in range(6)]
    extra += ["dog/#recycle/a.jpg", "dog/Thumbs.db", "dog/.DS_Store", "dog/._00.jpg", "__MACOSX/cat/._00.jpg"]
    extra += ["lost+found/a.jpg", "$RECYCLE.BIN/a.jpg", "System Volume Information/a.jpg", ".cache/a.jpg"]
    lay(tmp_path, [parts[0] + name for name in extra] + ["@eaDir/a.jpg"])
    found = scan(tmp_path)
    assert found.fingerprint == before.fingerprint and found.classes == ("cat", "dog")
    (note,) = found.notes
    assert note.startswith("11 hidden") and "@eaDir" in note


@pytest.mark.parametrize(
    ("val", "says"),
    [
        (of(["val"], 8), "val holds 8 images and no class folders"),
        (of(["val/images"], 8), "8 images in the folder images"),
    ],
)
def test_a_part_without_class_folders_is_named(tmp_path, val, says):
    lay(tmp_path, of(["train/cat", "train/dog"], 6) + val)
    with pytest.raises(DataError, match=says) as caught:
        scan(tmp_path)
    assert "named as those of train" in caught.value.next_step
    lay(tmp_path, of(["val/cat", "val/dog"], 6))
    if "images" not in val[0]:
        assert "8 images are in no class folder and skipped" in scan(tmp_path).notes[0]


@pytest.mark.parametrize(
    ("part", "says"), [("test", "test holds 3 images and no class"), ("test/cat/x", "test has no image")]
)
def test_a_test_without_labelled_images_is_named(tmp_path, part, says):
    lay(tmp_path, of(["train/cat", "train/dog", "val/cat", "val/dog"], 6))
    lay(tmp_path, of([part], 3) if part == "test" else [f"{part}.txt"])
    with pytest.raises(DataError, match=says):
        scan(tmp_path)


def test_images_without_any_folder_are_counted(tmp_path):
    with pytest.raises(DataError, match="holds 4 images and no class folders"):
        scan(lay(tmp_path, [f"{i}.jpg" for i in range(4)]))


@pytest.mark.parametrize("part", ["", "val/"])
def test_a_class_in_formats_that_are_not_read_is_named_with_them(tmp_path, part):
    names = [*of([f"{part}dog"], 6), *(f"{part}cat/{i}.{'HEIC' if i else 'cr2'}" for i in range(6))]
    lay(tmp_path, names + (of(["train/cat", "train/dog"], 3) if part else []))
    with pytest.raises(DataError, match=r"cat holds 6 files \(5 \.heic, 1 \.cr2\)") as caught:
        scan(tmp_path)
    assert "Convert them to JPEG" in caught.value.next_step and "nagsdk[heif]" in caught.value.next_step


def test_heic_is_read_where_its_extra_is_installed(tmp_path, monkeypatch):
    lay(tmp_path, [*of(["dog"], 6), *(f"cat/{i}.HEIC" for i in range(6))])
    monkeypatch.setattr(entries, "reads_heif", lambda: True)
    assert np.sum(list(scan(tmp_path).counts().values()), axis=0).tolist() == [6, 6]
    assert len(image_files(tmp_path, 100)) == 12


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path):
    lay(tmp_path, [*of(["cat", "dog"], 6), "cat/a.heic", "cat/b.heic", "dog/c.txt", "dog/LICENSE"])
    assert (
        scan(tmp_path).notes[0].startswith("4 other files were skipped (2 .heic, 1 without an ending, 1 .txt); images")
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes both names for the same")
def test_names_are_compared_as_they_are_composed(tmp_path):
    whole = unicodedata.normalize("NFC", ACUTE)
    lay(tmp_path, of([f"train/{whole}", "train/cafz", f"val/{ACUTE}", "val/cafz"], 6))
    found = scan(tmp_path)
    assert found.classes == ("cafz", whole) and found.counts()["val"] == [3, 3] and found.notes == ()
    lay(tmp_path, of([f"train/{ACUTE}"], 6))
    with pytest.raises(DataError, match="look the same"):
        scan(tmp_path)


def test_classes_take_the_order_and_composition_of_a_bundle(tmp_path):
    whole = unicodedata.normalize("NFC", ACUTE)
    found = scan(lay(tmp_path, of([ACUTE, "cafz"], 6)))
    assert found.classes == (ACUTE, "cafz")
    turned = found.with_classes(["cafz", whole])
    assert turned.classes == ("cafz", whole)
    for name, part in turned.parts.items():
        assert part.paths == found.parts[name].paths
        assert all(
            (label == 0) == (path.parent.name == "cafz") for path, label in zip(part.paths, part.labels, strict=True)
        )
    assert found.with_classes(found.classes) == found
    assert found.with_classes(["cafz", "other"]) is found is found.with_classes(())


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems take both names for the same")
def test_capitals_are_matched_where_it_is_clear_and_said(tmp_path):
    lay(tmp_path, of(["train/Cat", "train/Dog", "val/cat", "val/dog"], 6))
    found = scan(tmp_path)
    assert found.classes == ("Cat", "Dog") and found.notes == (
        "Class folders of val whose capitals differ from those of train: cat as Cat, dog as Dog.",
    )
    lay(tmp_path, of(["train/cat"], 6))
    found = scan(lay(tmp_path, of(["val/Cat"], 2)))
    assert found.counts()["val"] == [1, 3, 3] and "Cat, cat" in found.notes[1]
    lay(tmp_path, of(["val/CAT"], 6))
    with pytest.raises(DataError, match="does not have: CAT"):
        scan(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="Names of files are Unicode on other systems")
def test_class_folders_whose_names_are_not_utf8_are_read(tmp_path):
    lay(tmp_path, of([os.fsdecode(b"caf\xe9"), "cat"], 6))
    found = scan(tmp_path)
    assert found.classes == ("caf\\xe9", "cat") and sum(map(sum, found.counts().values())) == 12
    assert found.fingerprint == scan(tmp_path).fingerprint
    assert "".join(found.classes).encode("utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_pipes_and_devices_are_left_out_and_named(tmp_path):
    fill(tmp_path, {"azure": 6, "brick": 6})
    before = scan(tmp_path).fingerprint
    os.mkfifo(tmp_path / "azure" / "pipe.jpg")
    (tmp_path / "brick" / "zero.jpg").symlink_to("/dev/zero")
    found = scan(tmp_path)
    assert found.fingerprint == before and "2 pipes, sockets or devices were not opened" in found.notes[0]
    assert all(name in found.notes[0] for name in ("pipe.jpg", "zero.jpg"))


def test_copies_go_to_one_part_and_are_said(tmp_path):
    fill(tmp_path, {"azure": 30, "brick": 30})
    for number in range(30):
        (tmp_path / "azure" / f"copy{number:03d}.png").write_bytes(
            (tmp_path / "azure" / f"{number:03d}.png").read_bytes()
        )
    found = scan(tmp_path)
    part_of = {path.name: part for part, of in found.parts.items() for path in of.paths if path.parent.name == "azure"}
    assert all(part_of[f"{n:03d}.png"] == part_of[f"copy{n:03d}.png"] for n in range(30))
    assert found.counts() == {"train": [48, 24], "val": [6, 3], "test": [6, 3]}
    assert found.alike.to_dict() == {"images": 60, "sets": 30, "two_labels": 0, "across_parts": 0}
    assert any("60 images look nearly the same as others, in 30 sets" in note for note in found.notes)


def test_one_picture_in_two_classes_is_named(tmp_path):
    fill(tmp_path, {"azure": 9, "brick": 9})
    (tmp_path / "brick" / "other.png").write_bytes((tmp_path / "azure" / "003.png").read_bytes())
    found = scan(tmp_path)
    assert found.alike.two_labels == (("azure/003.png", "brick/other.png"),)
    assert any("azure/003.png and brick/other.png. One class of each pair is wrong" in note for note in found.notes)


def test_copies_over_given_parts_are_named_and_stay(tmp_path):
    for part, seed in (("train", 0), ("val", 1), ("test", 2)):
        fill(tmp_path / part, {"azure": 6, "brick": 6}, seed)
    (tmp_path / "test" / "azure" / "same.png").write_bytes((tmp_path / "train" / "azure" / "000.png").read_bytes())
    found = scan(tmp_path)
    assert found.counts()["test"] == [7, 6] and found.alike.across_parts == 1
    assert any("1 image of val and test look" in note and "same.png" in note for note in found.notes)


def test_groups_go_to_one_part_and_are_remembered(tmp_path):
    fill(tmp_path, {"azure": 60, "brick": 60})
    for path in sorted(tmp_path.glob("*/*.png")):
        path.rename(path.with_name(f"p{int(path.stem) % 7}-{path.name}"))
    found = scan(tmp_path, group_by=r"p\d")
    sides = {(path.name[:2], part) for part, of in found.parts.items() for path in of.paths}
    assert len(sides) == 7 and found.division.group_by == r"p\d"
    for number in range(7):
        (tmp_path / "brick" / f"p{number}-more.png").write_bytes(b"torn")
    again = scan(tmp_path, found.division)
    assert {(path.name[:2], part) for part, of in again.parts.items() for path in of.paths} == sides
    with pytest.raises(UsageError, match="divided before with the pattern"):
        scan(tmp_path, found.division, group_by="p")


def test_a_recorded_pattern_need_not_fit_other_folders(tmp_path):
    fill(tmp_path, {"azure": 9, "brick": 9})
    assert min(min(counts) for counts in scan(tmp_path, Split(group_by="z")).counts().values()) == 1
    with pytest.raises(UsageError, match="divided before with no pattern"):
        scan(tmp_path, Split(), group_by="0")


@pytest.mark.parametrize(
    ("pattern", "says"),
    [(r"z", "is found in no name"), ("(", "is not a pattern"), (r"^\d", r"too few groups.*brick \(1\)")],
)
def test_patterns_that_make_no_groups_are_refused(tmp_path, pattern, says):
    fill(tmp_path, {"azure": 40, "brick": 8})  # all of brick begin with 0
    with pytest.raises(UsageError, match=says):
        scan(tmp_path, group_by=pattern)


def test_groups_over_given_parts_are_refused(tmp_path):
    for part in ("train", "val"):
        fill(tmp_path / part, {"azure": 6, "brick": 6})
    with pytest.raises(DataError, match="The folders of the parts divide 6 groups: 000, 001"):
        scan(tmp_path, group_by=r"\d+")
