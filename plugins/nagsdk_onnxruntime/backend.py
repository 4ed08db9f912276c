"""The backend for ONNX Runtime on the CPU; networks run in a worker process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import EXACT, Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.device.integers import in_integers
from nagsdk.device.onnx_sizes import REWRITTEN_HARD_SWISH, integer_layer_bytes
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.schemes import Scheme
from nagsdk.space.layer import LayerSpec
from nagsdk_onnxruntime.session import OnnxRuntimeSession
from nagsdk_onnxruntime.settings import INTEGER, PRECISIONS, USUAL_OPSET, OnnxRuntimeSettings

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

# Relative error of all logits together.
_INTEGER_TOLERANCE = 0.05
_INSTALL = f"Install it: {pip('install', 'onnxruntime')}"


class OnnxRuntimeBackend(Backend):
    """Exports ONNX files and runs them with ONNX Runtime on this machine's CPU.

    `OnnxRuntimeSettings.of` lists the device options.
    """

    id = "onnxruntime"
    title = "ONNX Runtime on this machine's CPU"
    suffix = ".onnx"
    precisions = PRECISIONS
    integer_precisions = (INTEGER,)

    def presence(self, device: Device) -> Presence:
        """Checks that the runtime is installed, without importing it; a session checks the provider when it opens."""
        if importlib.util.find_spec("onnxruntime") is None:
            return Presence(False, f"ONNX Runtime is not installed. {_INSTALL}")
        try:
            settings = OnnxRuntimeSettings.of(device)
        except DeviceError as error:
            return Presence.refused(error)
        properties = {
            "processor": processor(),
            "processor_cores": str(os.cpu_count()),
            "machine": f"{platform.machine()} {platform.system()}",
            "runtime": "onnxruntime",
            "runtime_version": _version(),
            "provider": settings.provider,
            "threads": str(settings.threads),
            "spinning": "yes" if settings.spinning else "no",
            "pinned_to": ",".join(map(str, settings.cores)) or "all cores",
        }
        if settings.opset != USUAL_OPSET:  # another graph runs; fingerprints of the usual one stay as they were
            properties["opset"] = str(settings.opset)
        if device.precision == INTEGER:
            properties |= {"precision": INTEGER, "weight_bits": str(settings.weight_bits)}
        return Presence.of(properties)

    def tolerance(self, device: Device) -> float:
        """For int8 the largest difference from the simulation, whose sums are rounded in another way."""
        return _INTEGER_TOLERANCE if device.precision == INTEGER else EXACT

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the weights in their precision and of the layer's tensors and operators."""
        if device.precision == INTEGER:
            return integer_layer_bytes(layer, REWRITTEN_HARD_SWISH)
        return super().layer_bytes(layer, device)

    def scheme(self, device: Device) -> Scheme:
        """Weights have 7 bits unless the device says otherwise."""
        return Scheme(OnnxRuntimeSettings.of(device).weight_bits)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file; only int8 takes ranges from images."""
        from nagsdk.graph.onnx import write_onnx

        settings = OnnxRuntimeSettings.of(device)
        if device.precision == INTEGER:
            from nagsdk.graph.onnx_int8 import write_integer_onnx

            write_integer_onnx(in_integers(self, graph, device, images), path, settings.opset)
        else:
            write_onnx(graph, path, settings.opset)

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(
                presence.reason, "`nagsdk devices` lists the devices and says which are available."
            )
        return OnnxRuntimeSession(OnnxRuntimeSettings.of(device))


def _version() -> str:
    # Several distributions contain the same Python package onnxruntime.
    for distribution in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"):
        try:
            return f"{distribution} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
