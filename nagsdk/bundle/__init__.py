"""Bundles: folders with a search space, the weights of its supernet, an accuracy predictor and related data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common.lazy import lazy_names

if TYPE_CHECKING:
    from nagsdk.bundle.bundle import Bundle, load_bundle
    from nagsdk.bundle.names import bundle_names

__all__ = ["Bundle", "bundle_names", "load_bundle"]

if not TYPE_CHECKING:  # for a type checker a module with `__getattr__` has every name
    __getattr__, __dir__ = lazy_names(
        __name__, {**dict.fromkeys(__all__, "nagsdk.bundle.bundle"), "bundle_names": "nagsdk.bundle.names"}
    )
