"""Where things lie: what the wheel ships, and the user's own folders."""

from __future__ import annotations

from pathlib import Path

from nagsdk.common import config


def shipped(kind: str) -> Path:
    """Folder of shipped ``bundles``, ``devices`` or ``plugins/template``: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def data_folder() -> Path:
    """What a user would miss: fetched and imported weights (the setting ``data_dir``)."""
    return Path(config.value("data_dir"))


def cache_folder() -> Path:
    """What can be made again: readings, cost models, generators, locks (the setting ``cache_dir``)."""
    return Path(config.value("cache_dir"))
