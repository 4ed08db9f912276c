"""Data sets of empty images, for what depends on names alone."""

import os
from collections.abc import Iterable
from pathlib import Path

ACUTE = "cafe\N{COMBINING ACUTE ACCENT}"


def lay(root: Path, names: Iterable[str]) -> Path:
    """Writes files of fixed contents and times, so that their fingerprints are the same on every run."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
        os.utime(path, ns=(10**18, 10**18))
    return root


def of(folders: Iterable[str], count: int) -> list[str]:
    """Names of images, `count` in every folder."""
    return [f"{folder}/{number:02d}.jpg" for folder in folders for number in range(count)]


# Names, fingerprint and counts of data sets as versions before 0.1.0 read them.
FINGERPRINTS = {
    "automatic": (
        [
            *of(["Zebra", "apple", ACUTE, "caf\N{LATIN SMALL LETTER E WITH ACUTE}s", "ba d"], 12),
            *("apple/notes.txt", "readme.md", "apple/deep/er/x.PNG"),
        ],
        "65e6155a3697fa51",
        {"train": [7, 11, 9, 7, 9], "val": [3, 1, 1, 4, 1], "test": [2, 1, 2, 1, 2]},
    ),
    "train and val": (
        of(["train/a", "train/b", "val/a", "val/b"], 6),
        "53a8ee10e459fade",
        {"train": [6, 6], "val": [3, 3], "test": [3, 3]},
    ),
    "train and valid, and an image that is not read": (
        [*of(["train/a", "train/b", "valid/a", "valid/b"], 6), "train/a/x.heic"],
        "272719a3b129f618",
        {"train": [6, 6], "val": [3, 3], "test": [3, 3]},
    ),
    "train, validation and test": (
        of(["train/a", "train/b", "validation/a", "validation/b", "test/a"], 6),
        "cd82746558aa08cf",
        {"train": [6, 6], "val": [6, 6], "test": [6, 0]},
    ),
    "several names for val": (
        of(["train/a", "train/b", "val/a", "val/b", "valid/a", "validation/a", "extra/a", "test/b"], 6),
        "03631059d1375d8f",
        {"train": [6, 6], "val": [6, 6], "test": [0, 6]},
    ),
    "accents apart": (
        of([f"train/{ACUTE}", "train/cafz", f"val/{ACUTE}", "val/cafz"], 6),
        "43079ce1dd81852d",
        {"train": [6, 6], "val": [3, 3], "test": [3, 3]},
    ),
    "valid as a class": (
        of(["valid", "invalid"], 12),
        "72ce3db2f1865467",
        {"train": [10, 9], "val": [1, 1], "test": [1, 2]},
    ),
    "a folder images in every class": (
        of(["n1/images", "n2/images"], 8),
        "ed9c2a6c14748762",
        {"train": [5, 6], "val": [2, 1], "test": [1, 1]},
    ),
    "kinds of a class": (
        of(["dog/beagle", "dog/pug", "cat/tabby"], 5),
        "3e4648effc3daf0d",
        {"train": [3, 8], "val": [1, 1], "test": [1, 1]},
    ),
    "names that are not UTF-8": (
        [*(f"a/{os.fsdecode(bytes([233]))}{i}.jpg" for i in range(7)), *of(["b"], 7)],
        "3f6ce44786f014f6",
        {"train": [5, 5], "val": [1, 1], "test": [1, 1]},
    ),
}
