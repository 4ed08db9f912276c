"""nagsdk: a latency budget and a device in, a measured model file that holds the budget out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nagsdk.common import moved

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nagsdk.api import calibrate, deploy, export, frontier, generate, predict, profile
    from nagsdk.budget import Budget
    from nagsdk.bundle.bundle import Bundle, load_bundle
    from nagsdk.manifest.result import Deployment, Result
    from nagsdk.space.architecture import Architecture

# Loaded on first use: importing nagsdk must not import torch.
_PUBLIC = {
    "Architecture": "nagsdk.space.architecture",
    "Budget": "nagsdk.budget",
    "Bundle": "nagsdk.bundle",
    "Deployment": "nagsdk.manifest",
    "Result": "nagsdk.manifest",
    "calibrate": "nagsdk.api",
    "deploy": "nagsdk.api",
    "export": "nagsdk.api",
    "frontier": "nagsdk.api",
    "generate": "nagsdk.api",
    "load_bundle": "nagsdk.bundle",
    "predict": "nagsdk.api",
    "profile": "nagsdk.api",
}

__all__ = [
    "Architecture",
    "Budget",
    "Bundle",
    "Deployment",
    "Result",
    "__version__",
    "calibrate",
    "deploy",
    "export",
    "frontier",
    "generate",
    "load_bundle",
    "predict",
    "profile",
]


moved.install()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'nagsdk' has no attribute {name!r}")
