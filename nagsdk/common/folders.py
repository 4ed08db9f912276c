"""Folders of shipped data and of the user's data."""

from __future__ import annotations

from pathlib import Path

from nagsdk.common import config


def shipped(kind: str) -> Path:
    """Folder of shipped data: inside the package if installed from a wheel, beside it in a checkout.

    Args:
        kind: ``bundles``, ``devices`` or ``plugins/template``.
    """
    package = Path(__file__).parents[1]
    inside = package / "shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def data_folder() -> Path:
    """Folder of data that the user fetched or imported, such as weights (the setting ``data_dir``)."""
    return Path(config.value("data_dir"))


def cache_folder() -> Path:
    """Folder of data that can be made again: readings, cost models, generators, locks (the setting ``cache_dir``)."""
    return Path(config.value("cache_dir"))
