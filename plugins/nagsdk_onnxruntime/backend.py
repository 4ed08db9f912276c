"""The backend for ONNX Runtime on the CPU; networks run in a worker process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_onnxruntime.session import OnnxRuntimeSession
from nagsdk_onnxruntime.settings import USUAL_OPSET, OnnxRuntimeSettings

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

_INSTALL = f"Install it: {pip('install', 'nagsdk[onnxruntime]')}"


class OnnxRuntimeBackend(Backend):
    """Exports ONNX files and runs them with ONNX Runtime on this machine's CPU.

    `OnnxRuntimeSettings.of` lists the device options.
    """

    id = "onnxruntime"
    title = "ONNX Runtime on this machine's CPU"
    suffix = ".onnx"

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
        return Presence.of(properties)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; needs no calibration images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path, OnnxRuntimeSettings.of(device).opset)

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(
                presence.reason, f"`nagsdk devices` lists the devices and says which are available. {_INSTALL}"
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
