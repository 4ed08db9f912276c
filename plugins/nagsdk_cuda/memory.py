"""The metric for budgets on the peak memory of a network on a GPU."""

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
    """Peak memory that torch's allocator held on the GPU for a network, in MB (see `nagsdk_cuda.worker.Network`).

    The figures of the layers are an estimate without the workspaces of cuDNN; the measured value decides.
    """

    id, title = "memory", "Peak memory on a GPU: weights, images, and the activations that are needed at the same time"
    units: ClassVar[Mapping[str, float]] = {"MiB": 2**20 / _MEGA, "GiB": 2**30 / _MEGA}
    aggregation = PEAK
    measured = "peak_memory_mb"

    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """Memory in use while a layer runs: its input and output, or its output before and after the activation."""
        written = layer.out_channels * layer.out_size**2
        numbers = max(layer.activations, 2 * written if layer.activation != "none" else 0)
        return device.batch * _width(device) * numbers / _MEGA

    def kept_by_layer(self, layer: LayerSpec, device: Device) -> float:
        """Memory that stays in use: the layer's weights, and for the first layer also the images in float32."""
        images = device.batch * _IMAGE_BYTES * layer.in_channels * layer.in_size**2 if layer.kind == "conv" else 0.0
        return (_width(device) * layer.folded_parameters + images) / _MEGA


def _width(device: Device) -> float:
    if device.backend != CudaBackend.id or CudaSettings.of(device).accelerator != CUDA:
        raise UsageError(
            f"The memory of {device.id} is not known.",
            f"Limit memory only on GPUs with the backend {CudaBackend.id}; to limit the size of a file, use MB.",
        )
    return width(device)
