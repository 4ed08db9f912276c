"""Checks for plugins: subclass `BackendConformance` in your own pytest file (needs pytest); see docs/plugins.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nagsdk.testing.conformance import BackendConformance
    from nagsdk.testing.networks import random_images, random_subnet, small_space

# Imported on first use, because pytest must be able to load `nagsdk.testing.plugin` without torch.
_PUBLIC = {
    "BackendConformance": "nagsdk.testing.conformance",
    "random_images": "nagsdk.testing.networks",
    "random_subnet": "nagsdk.testing.networks",
    "small_space": "nagsdk.testing.networks",
}

__all__ = ["BackendConformance", "random_images", "random_subnet", "small_space"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'nagsdk.testing' has no attribute {name!r}")
