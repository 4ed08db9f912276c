"""Names of shipped bundles, and paths of the folders of others."""

from __future__ import annotations

import os
from pathlib import Path

from nagsdk.common.folders import shipped

DESCRIPTION = "bundle.json"


def bundle_names() -> list[str]:
    """Names of the shipped bundles."""
    return sorted(p.parent.name for p in shipped("bundles").glob(f"*/{DESCRIPTION}"))


def usual_bundle() -> str:
    """Name of the bundle that commands use where none is named.

    It is that of finished ImageNet classifiers if the packages with their weights are installed.
    """
    from nagsdk.families.finished import OWN

    return "imagenet-lite" if all(network.is_installed for network in OWN) else "glyphs"


def is_path(name: str) -> bool:
    """Whether a text is the path of a folder, and not a name; Windows accepts both slashes."""
    return os.sep in name or "/" in name or name in (".", "..")


def as_path(folder: Path) -> str:
    """The text of a path that is not taken for a name: ``./flowers``."""
    return str(folder) if is_path(str(folder)) else f".{os.sep}{folder}"
