"""OpenVINO, in a process of its own."""

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
    """Exports ONNX files, which OpenVINO reads; the option `target` names one of its devices, such as CPU, GPU or NPU."""

    id = "openvino"
    title = "OpenVINO"
    suffix = ".onnx"

    def presence(self, device: Device) -> Presence:
        """Looks for the runtime without importing it; the target itself is checked where a session opens."""
        if unknown := {name for name, _ in device.options} - {"target"}:
            return Presence(
                False,
                f"The device {device.id} has the option {min(unknown)}; this backend knows target (such as CPU) only.",
            )
        if importlib.util.find_spec("openvino") is None:
            return Presence(False, f"OpenVINO is not installed. Install it: {pip('install', 'nagsdk[openvino]')}")
        facts = {
            "runtime": "openvino",
            "runtime_version": version("openvino"),
            "target": _target(device),
            "threads": str(device.threads),
        }
        return Presence.of({"processor": processor(), **facts})

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; it needs no images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts the worker."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, "`nagsdk devices` shows what is there.")
        return OpenVinoSession({"threads": device.threads, "target": _target(device)}, {})


class OpenVinoSession(ProcessSession):
    """The worker, and what to say where it does not start."""

    runtime = "OpenVINO"
    worker = "nagsdk_openvino.worker"
    remedy = "Try `python -c 'import openvino'`, and reinstall it where that fails."


def _target(device: Device) -> str:
    return dict(device.options).get("target", "CPU")
