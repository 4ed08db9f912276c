"""The entry point of the plugin: registers the backend without importing ONNX Runtime."""

from __future__ import annotations

from nagsdk.device.backend import Backend
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the ONNX Runtime backend."""
    from nagsdk_onnxruntime.backend import OnnxRuntimeBackend

    registry.add(OnnxRuntimeBackend())
