"""Peak memory of a network on a GPU, as budgets limit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nagsdk.cost.metric import PEAK, Metric
from nagsdk.device.description import Device
from nagsdk.errors import UsageError
from nagsdk.space.layer import LayerSpec
from nagsdk_cuda.backend import CudaBackend
from nagsdk_cuda.settings import CUDA, CudaSettings, width

_MEGA = 1e6
_IMAGE_BYTES = 4.0


class Memory(Metric):
    """The most device memory that torch's allocator held for a network, in megabytes (see `nagsdk_cuda.worker.Network`).

    Layers tell it but for the workspaces that cuDNN takes: what is measured counts.
    """

    id, title = "memory", "Peak memory on a GPU: weights, images, and the activations that are needed at the same time"
    units: ClassVar[Mapping[str, float]] = {"MiB": 2**20 / _MEGA, "GiB": 2**30 / _MEGA}
    aggregation = PEAK
    measured = "peak_memory_mb"

    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """What lies there while a layer runs: what it reads and writes, or, where it is activated, its output before and after."""
        written = layer.out_channels * layer.out_size**2
        numbers = max(layer.activations, 2 * written if layer.activation != "none" else 0)
        return device.batch * _width(device) * numbers / _MEGA

    def kept_by_layer(self, layer: LayerSpec, device: Device) -> float:
        """Its weights; of the first layer, which reads them, the images in float32, too."""
        images = device.batch * _IMAGE_BYTES * layer.in_channels * layer.in_size**2 if layer.kind == "conv" else 0.0
        return (_width(device) * layer.folded_parameters + images) / _MEGA


def _width(device: Device) -> float:
    if device.backend != CudaBackend.id or CudaSettings.of(device).accelerator != CUDA:
        raise UsageError(
            f"The memory of {device.id} is not known.",
            f"Limit memory on GPUs, by the backend {CudaBackend.id}; use MB for the size of a file.",
        )
    return width(device)
