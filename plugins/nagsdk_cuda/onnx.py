"""The backend for ONNX Runtime's CUDA provider: exports ONNX files, also for users of TensorRT, and times them."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.meter import Meter
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.ranges import GPU
from nagsdk_cuda import nvml
from nagsdk_cuda.backend import TOLERANCES
from nagsdk_onnxruntime.settings import OPSETS, USUAL_OPSET

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

_INSTALL = (
    "Uninstall onnxruntime, which is installed in the same folder, and run: "
    f"{pip('install', 'onnxruntime-gpu', 'nvidia-ml-py')}"
)


@dataclass(frozen=True)
class CudaOnnxRuntimeSettings:
    """Settings of the worker process.

    Attributes:
        index: Number of the GPU, as `nvidia-smi` counts them.
        tf32: Whether float32 numbers are rounded to 10 bits of mantissa in products.
        opset: Version of ONNX's operators in exported files, 11 to 17.
    """

    index: int
    tf32: bool
    opset: int

    @classmethod
    def of(cls, device: Device) -> CudaOnnxRuntimeSettings:
        """Reads the options `index` and `opset` of a description.

        Raises:
            DeviceError: There is another option, or one has an invalid value.
        """
        given = dict(device.options)
        index, opset = given.pop("index", "0"), given.pop("opset", str(USUAL_OPSET))
        if given or opset not in OPSETS:
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {dict(device.options)}.",
                "Use index (a number), opset (11 to 17) or no option.",
            )
        return cls(GPU.parse(index, DeviceError), device.precision == "tf32", int(opset))


class CudaOnnxRuntimeBackend(Backend):
    """Exports ONNX files and runs them with ONNX Runtime's CUDA provider, never with another provider."""

    id = "cuda-onnxruntime"
    title = "ONNX Runtime on an NVIDIA GPU"
    suffix = ".onnx"
    precisions = ("fp32", "tf32")

    def tolerance(self, device: Device) -> float:
        """The tolerance of the device's precision."""
        return TOLERANCES[device.precision or self.precisions[0]]

    def presence(self, device: Device) -> Presence:
        """Checks that the build of ONNX Runtime with CUDA is installed, and asks the driver for the GPU."""
        try:
            settings = CudaOnnxRuntimeSettings.of(device)
            runtime = importlib.metadata.version("onnxruntime-gpu")
            properties = {
                "runtime": "onnxruntime CUDAExecutionProvider",
                "runtime_version": runtime,
                **nvml.describe(settings.index),
            }
        except importlib.metadata.PackageNotFoundError:
            return Presence(False, f"The installed ONNX Runtime was built without CUDA. {_INSTALL}")
        except DeviceError as error:
            return Presence.refused(error)
        properties["precision"] = device.precision or self.precisions[0]
        if settings.opset != USUAL_OPSET:
            properties["opset"] = str(settings.opset)
        return Presence.of(properties, nvml.OF_THE_CARD)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; needs no calibration images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path, CudaOnnxRuntimeSettings.of(device).opset)

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(
                presence.reason, f"`nagsdk devices` lists the devices and says which are available. {_INSTALL}"
            )
        settings = CudaOnnxRuntimeSettings.of(device)
        session = _Session({"index": settings.index, "tf32": settings.tf32}, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        session.index = settings.index
        return session


class _Session(ProcessSession):
    runtime = "ONNX Runtime"
    worker = "nagsdk_cuda.onnx_worker"
    start_timeout_s = 180.0
    index = 0
    remedy = (
        "Try `python -c 'import onnxruntime; print(onnxruntime.get_available_providers())'`, and reinstall "
        "ONNX Runtime if that fails."
    )

    def meter(self) -> Meter:
        """Reads the energy counter of the GPU."""
        return nvml.meter(self.index)
