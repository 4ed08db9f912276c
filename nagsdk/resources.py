"""Where things lie: what the wheel ships, and the user's own folders."""

from __future__ import annotations

import os
from pathlib import Path


def shipped(kind: str) -> Path:
    """Folder of shipped ``bundles`` or ``devices``: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def data_folder() -> Path:
    """What a user would miss: fetched and imported weights (NAGSDK_DATA_DIR)."""
    if folder := os.environ.get("NAGSDK_DATA_DIR"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_data_dir("nagsdk"))


def cache_folder() -> Path:
    """What can be made again: readings, cost models, generators, locks (NAGSDK_CACHE_DIR)."""
    if folder := os.environ.get("NAGSDK_CACHE_DIR"):
        return Path(folder)
    import platformdirs

    return Path(platformdirs.user_cache_dir("nagsdk"))
