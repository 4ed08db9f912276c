"""The backend: which file the device takes, and how a session with it opens."""

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
    """Exports ONNX files and runs them in a process of its own."""

    id = "template"
    title = "The template"
    suffix = ".onnx"

    def presence(self, device: Device) -> Presence:
        """Looks for the runtime without importing it."""
        if device.options:
            return Presence(False, f"The device {device.id} has options, and this backend knows none: take them away.")
        if importlib.util.find_spec("onnxruntime") is None:
            return Presence(False, f"ONNX Runtime is not installed. Install it: {pip('install', 'onnxruntime')}")
        # Whatever makes a latency another one belongs here: measurements are kept under it.
        return Presence.of(
            {"processor": processor(), "runtime": "onnxruntime", "runtime_version": version("onnxruntime")}
        )

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; a backend that quantises would look at the images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts the worker."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, "`nagsdk devices` shows what is there.")
        return TemplateSession({"threads": device.threads}, {"OMP_NUM_THREADS": str(device.threads)})


class TemplateSession(ProcessSession):
    """The worker, and what to say where it does not start."""

    runtime = "ONNX Runtime"
    worker = "nagsdk_template.worker"
    remedy = "Try `python -c 'import onnxruntime'`, and reinstall it where that fails."
