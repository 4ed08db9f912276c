"""The JSON contract: results, and the manifest that is stored beside every model file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common.lazy import lazy_names

if TYPE_CHECKING:
    from nagsdk.manifest.manifest import read_manifest
    from nagsdk.manifest.result import Measured, Predicted, Result

__all__ = ["Measured", "Predicted", "Result", "read_manifest"]

_RESULTS = dict.fromkeys(("Measured", "Predicted", "Result"), "nagsdk.manifest.result")
if not TYPE_CHECKING:  # for a type checker a module with `__getattr__` has every name
    __getattr__, __dir__ = lazy_names(__name__, {**_RESULTS, "read_manifest": "nagsdk.manifest.manifest"})
