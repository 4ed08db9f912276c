"""ONNX Runtime's CUDA provider: the file for users of ONNX Runtime and TensorRT, measured on the GPU."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_cuda import nvml
from nagsdk_cuda.backend import TOLERANCES

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

_INSTALL = (
    f"Uninstall onnxruntime, which takes the same place, and run: {pip('install', 'onnxruntime-gpu', 'nvidia-ml-py')}"
)


@dataclass(frozen=True)
class CudaOnnxRuntimeSettings:
    """What the worker is started with.

    Attributes:
        index: Which GPU, as `nvidia-smi` numbers them.
        tf32: Whether float32 is rounded to 10 bits of mantissa in products.
    """

    index: int
    tf32: bool

    @classmethod
    def of(cls, device: Device) -> CudaOnnxRuntimeSettings:
        """Reads the option `index` of a description.

        Raises:
            DeviceError: Another option, or no number.
        """
        given = dict(device.options)
        index = given.pop("index", "0")
        if given or not index.isdecimal():
            raise DeviceError(
                f"The options of the device {device.id} do not suit this backend: {dict(device.options)}.",
                "Use index (a number), or none.",
            )
        return cls(int(index), device.precision == "tf32")


class CudaOnnxRuntimeBackend(Backend):
    """Exports ONNX files and runs them with ONNX Runtime's CUDA provider; never with another one."""

    id = "cuda-onnxruntime"
    title = "ONNX Runtime on an NVIDIA GPU"
    suffix = ".onnx"
    precisions = ("fp32", "tf32")

    def tolerance(self, device: Device) -> float:
        """That of the precision."""
        return TOLERANCES[device.precision or self.precisions[0]]

    def presence(self, device: Device) -> Presence:
        """Asks the package index for the build with CUDA, and the driver for the GPU."""
        try:
            settings = CudaOnnxRuntimeSettings.of(device)
            runtime = importlib.metadata.version("onnxruntime-gpu")
            properties = {
                "runtime": "onnxruntime CUDAExecutionProvider",
                "runtime_version": runtime,
                **nvml.describe(settings.index),
            }
        except importlib.metadata.PackageNotFoundError:
            return Presence(False, f"This build of ONNX Runtime has no CUDA. {_INSTALL}")
        except DeviceError as error:
            return Presence.refused(error)
        properties["precision"] = device.precision or self.precisions[0]
        return Presence.of(properties, nvml.OF_THE_CARD)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; it needs no images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, f"`nagsdk devices` shows what is there. {_INSTALL}")
        settings = CudaOnnxRuntimeSettings.of(device)
        return _Session({"index": settings.index, "tf32": settings.tf32}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})


class _Session(ProcessSession):
    runtime = "ONNX Runtime"
    worker = "nagsdk_cuda.onnx_worker"
    start_timeout_s = 180.0
    remedy = "Try `python -c 'import onnxruntime; print(onnxruntime.get_available_providers())'`, and reinstall it where that fails."
