"""Folders of shipped data and of the user's data."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from nagsdk.common import config

# In the folders of shipped bundles and devices, written by recipes/sums.py.
SUMS = "SHA256SUMS"


def shipped(kind: str) -> Path:
    """Folder of shipped data: inside the package if installed from a wheel, beside it in a checkout.

    Args:
        kind: ``bundles``, ``devices`` or ``plugins/template``.
    """
    package = Path(__file__).parents[1]
    inside = package / "shipped" / kind
    return inside if inside.is_dir() else package.parent / kind


def is_shipped(kind: str, content: bytes) -> bool:
    """Whether this is, byte for byte, a description that ships with nagsdk.

    Such descriptions were validated when their hashes were listed. Validating them at every start would import pydantic
    and build its models, which takes nearly a tenth of a second. Everything else is validated in full.

    Args:
        kind: ``bundles`` or ``devices``.
        content: Of the file, wherever it lies.
    """
    return hashlib.sha256(content).hexdigest() in _listed(kind)


@cache
def _listed(kind: str) -> frozenset[str]:
    path = shipped(kind) / SUMS
    return frozenset(path.read_text("utf-8").split()[::2]) if path.is_file() else frozenset()


def data_folder() -> Path:
    """Folder of data that the user fetched or imported, such as weights (the setting ``data_dir``)."""
    return Path(config.value("data_dir"))


def cache_folder() -> Path:
    """Folder of data that can be made again: readings, cost models, generators, locks (the setting ``cache_dir``)."""
    return Path(config.value("cache_dir"))
