"""The backend for OpenVINO; networks run in a worker process."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceUnavailableError

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph


class OpenVinoBackend(Backend):
    """Exports ONNX files and runs them with OpenVINO on the device that the option `target` names, such as NPU."""

    id = "openvino"
    title = "OpenVINO"
    suffix = ".onnx"

    def presence(self, device: Device) -> Presence:
        """Checks that the runtime is installed, without importing it; a session checks the target when it opens."""
        if unknown := {name for name, _ in device.options} - {"target"}:
            known = "this backend knows only the option target (such as CPU)."
            return Presence(False, f"The device {device.id} has the option {min(unknown)}, but {known}")
        if importlib.util.find_spec("openvino") is None:
            return Presence(False, f"OpenVINO is not installed. Install it: {pip('install', 'nagsdk[openvino]')}")
        runtime = {"runtime": "openvino", "runtime_version": version("openvino")}
        settings = {"target": _target(device), "threads": str(device.threads)}
        return Presence.of({"processor": processor(), **runtime, **settings})

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; needs no calibration images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts the worker process."""
        presence = self.presence(device)
        if not presence.available:
            next_step = "`nagsdk devices` lists the devices and says which are available."
            raise DeviceUnavailableError(presence.reason, next_step)
        return OpenVinoSession({"threads": device.threads, "target": _target(device)}, {})


class OpenVinoSession(ProcessSession):
    """Names the worker process, and says what to do if it does not start."""

    runtime = "OpenVINO"
    worker = "nagsdk_openvino.worker"
    remedy = "Try `python -c 'import openvino'`, and reinstall OpenVINO if that fails."


def _target(device: Device) -> str:
    return dict(device.options).get("target", "CPU")
