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


# Names, fingerprint and counts of data sets; a change divides the images of users' folders anew.
FINGERPRINTS = {
    "automatic": (
        [
            *of(["Zebra", "apple", ACUTE, "caf\N{LATIN SMALL LETTER E WITH ACUTE}s", "ba d"], 12),
            *("apple/notes.txt", "readme.md", "apple/deep/er/x.PNG"),
        ],
        "af33c552bd28cc6a",
        {"train": [10, 11, 10, 10, 10], "val": [1, 1, 1, 1, 1], "test": [1, 1, 1, 1, 1]},
    ),
    "train and val": (
        of(["train/a", "train/b", "val/a", "val/b"], 6),
        "e68a9f56ec9d8f64",
        {"train": [6, 6], "val": [3, 3], "test": [3, 3]},
    ),
    "train and valid, and an image that is not read": (
        [*of(["train/a", "train/b", "valid/a", "valid/b"], 6), "train/a/x.heic"],
        "dace3d1532f90ff7",
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
        "0fdef0ae8133defb",
        {"train": [6, 6], "val": [3, 3], "test": [3, 3]},
    ),
    "valid as a class": (
        of(["valid", "invalid"], 12),
        "25704a67428d1b04",
        {"train": [10, 10], "val": [1, 1], "test": [1, 1]},
    ),
    "a folder images in every class": (
        of(["n1/images", "n2/images"], 8),
        "1f9b6ae354dbac5a",
        {"train": [6, 6], "val": [1, 1], "test": [1, 1]},
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
