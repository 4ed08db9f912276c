"""The classes of TensorFlow Lite's schema, which come with ai-edge-litert."""

from __future__ import annotations

from typing import Any

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

__all__ = ["Buffer", "flatbuffers", "named_tensor", "schema"]
# Runtimes map the file into memory, and kernels read the weights in place.
_ALIGNMENT = 16


class Buffer(schema.BufferT):  # type: ignore[misc]
    """Content of a tensor, aligned in the file (the generated class ignores the schema's alignment)."""

    def Pack(self, builder: Any) -> int:  # noqa: D102, N802 — the generated name
        builder.Prep(_ALIGNMENT, len(self.data))
        data = builder.CreateByteVector(self.data)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def named_tensor(name: str, tensor: int) -> Any:
    """An input or output of a signature."""
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
