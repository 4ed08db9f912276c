"""Lays the parts of the bundle into one folder with hashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

from fonts import CHARACTERS
from setting import PREPROCESSING, SIDE

from nagsdk.files import sha256, staged
from nagsdk.space.mobilenet_v3 import MobileNetV3Space


def pack(
    output: Path,
    space: MobileNetV3Space,
    files: Sequence[Path],
    recalibration_count: int,
    test_count: int,
    provenance: dict[str, Any],
) -> None:
    """Writes the bundle whole or not at all.

    Args:
        output: Folder, replaced where it exists.
        space: The supernet's.
        files: Copied under their own names.
        recalibration_count: Pictures on recalibration.webp.
        test_count: Pictures on test.webp.
        provenance: Told in bundle.json.
    """
    with staged(output) as folder:
        for file in files:
            copyfile(file, folder / file.name)
        (folder / "labels.txt").write_text("\n".join(CHARACTERS) + "\n", "utf-8")
        description = {
            "format": 1,
            "name": "glyphs",
            "version": "1",
            "title": "Printed characters in the wild: 47 classes, 32 to 48 pixels",
            "licence": "Apache-2.0",
            "provenance": provenance,
            "space": space.to_dict(),
            "preprocessing": {
                "color": "RGB",
                "resize": "bilinear-antialias",
                "crop_fraction": PREPROCESSING.crop_fraction,
                "mean": PREPROCESSING.mean,
                "std": PREPROCESSING.std,
            },
            "images": {
                "tile": SIDE,
                "recalibration": {"file": "recalibration.webp", "count": recalibration_count},
                "test": {"file": "test.webp", "count": test_count, "labels": "test_labels.json"},
            },
            "files": {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in sorted(folder.iterdir())},
        }
        (folder / "bundle.json").write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", "utf-8")
