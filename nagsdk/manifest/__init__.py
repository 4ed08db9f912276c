"""The JSON contract: results, deployments, and the manifest that lies beside every model file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nagsdk.common.lazy import lazy_names

if TYPE_CHECKING:
    from nagsdk.manifest.manifest import read_manifest
    from nagsdk.manifest.result import Deployment, Measured, Predicted, Result

__all__ = ["Deployment", "Measured", "Predicted", "Result", "read_manifest"]

__getattr__, __dir__ = lazy_names(
    __name__, {name: "nagsdk.manifest.manifest" if name == "read_manifest" else "nagsdk.manifest.result" for name in __all__}
)
