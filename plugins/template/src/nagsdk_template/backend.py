"""The backend: says whether the device is available, writes the file that it takes, and opens sessions with it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceUnavailableError
from nagsdk.graph.ir import Graph


class TemplateBackend(Backend):
    """Exports ONNX files and runs them in a worker process."""

    id = "template"
    title = "The template"
    suffix = ".onnx"

    def presence(self, device: Device) -> Presence:
        """Checks that the runtime is installed, without importing it."""
        if device.options:
            return Presence(False, f"The device {device.id} has options, but this backend has none: remove them.")
        if importlib.util.find_spec("onnxruntime") is None:
            return Presence(False, f"ONNX Runtime is not installed. Install it: {pip('install', 'onnxruntime')}")
        # Put every property here that changes latencies: measurements are stored under a hash of these properties.
        return Presence.of(
            {"processor": processor(), "runtime": "onnxruntime", "runtime_version": version("onnxruntime")}
        )

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; a backend that quantises would use the images for calibration."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts the worker process."""
        presence = self.presence(device)
        if not presence.available:
            next_step = "`nagsdk devices` lists the devices and says which are available."
            raise DeviceUnavailableError(presence.reason, next_step)
        return TemplateSession({"threads": device.threads}, {"OMP_NUM_THREADS": str(device.threads)})


class TemplateSession(ProcessSession):
    """Names the worker process, and says what to do if it does not start."""

    runtime = "ONNX Runtime"
    worker = "nagsdk_template.worker"
    remedy = "Try `python -c 'import onnxruntime'`, and reinstall ONNX Runtime if that fails."
