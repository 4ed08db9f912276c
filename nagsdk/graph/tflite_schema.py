"""The classes of TensorFlow Lite's schema, which come with ai-edge-litert."""

from __future__ import annotations

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceUnavailableError

# What writes and checks .tflite files.
PACKAGES = ("ai-edge-litert", "flatbuffers")

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ImportError as error:
    raise DeviceUnavailableError(
        f"TFLite files need ai-edge-litert and flatbuffers: {error}.", f"Install it: {pip('install', *PACKAGES)}"
    ) from error

__all__ = ["flatbuffers", "schema"]
