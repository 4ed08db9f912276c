"""The entry point of the plugin: registers backends and metric without importing torch."""

from __future__ import annotations

from nagsdk.cost.metric import Metric
from nagsdk.device.backend import Backend
from nagsdk.plugin import Registry, hookimpl

nagsdk_api = 1


@hookimpl
def nagsdk_register_backends(registry: Registry[Backend]) -> None:
    """Registers the backends for torch and for ONNX Runtime on the GPU."""
    from nagsdk_cuda.backend import CudaBackend
    from nagsdk_cuda.onnx import CudaOnnxRuntimeBackend

    registry.add(CudaBackend())
    registry.add(CudaOnnxRuntimeBackend())


@hookimpl
def nagsdk_register_metrics(registry: Registry[Metric]) -> None:
    """Registers the metric for the peak memory of a GPU."""
    from nagsdk_cuda.memory import Memory

    registry.add(Memory())
