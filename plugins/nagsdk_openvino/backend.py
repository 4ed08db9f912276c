"""The backend for OpenVINO; networks run in a worker process."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import EXACT, Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.device.integers import in_integers
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter, host_meter
from nagsdk.device.onnx_sizes import HARD_SWISH, integer_layer_bytes
from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceUnavailableError
from nagsdk.graph.schemes import Scheme
from nagsdk.space.layer import LayerSpec

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

_INTEGER, _INTEGER_TOLERANCE = "int8", 0.15


class OpenVinoBackend(Backend):
    """Exports ONNX files and runs them with OpenVINO on the device that the option `target` names, such as NPU."""

    id = "openvino"
    title = "OpenVINO"
    suffix = ".onnx"
    precisions = ("fp32", _INTEGER)
    integer_precisions = (_INTEGER,)

    def presence(self, device: Device) -> Presence:
        """Checks that the runtime is installed, without importing it; a session checks the target when it opens."""
        if unknown := {name for name, _ in device.options} - {"target"}:
            known = "this backend knows only the option target (such as CPU)."
            return Presence(False, f"The device {device.id} has the option {min(unknown)}, but {known}")
        if importlib.util.find_spec("openvino") is None:
            return Presence(False, f"OpenVINO is not installed. Install it: {pip('install', 'nagsdk[openvino]')}")
        runtime = {"runtime": "openvino", "runtime_version": version("openvino")}
        settings = {"target": _target(device), "threads": str(device.threads)}
        if device.precision == _INTEGER:
            settings["precision"] = _INTEGER
        return Presence.of({"processor": processor(), **runtime, **settings})

    def tolerance(self, device: Device) -> float:
        """For int8 the largest difference from the simulation: OpenVINO rounds less often."""
        return _INTEGER_TOLERANCE if device.precision == _INTEGER else EXACT

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the weights in their precision and of the layer's tensors and operators."""
        if device.precision == _INTEGER:
            return integer_layer_bytes(layer, HARD_SWISH)
        return super().layer_bytes(layer, device)

    def scheme(self, device: Device) -> Scheme:
        """Weights have 7 bits; hard swish stays, since OpenVINO fuses it in float."""
        return Scheme(weight_bits=7, keep_hard_swish=True)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file; only int8 takes ranges from images."""
        from nagsdk.graph.onnx import write_onnx

        if device.precision == _INTEGER:
            from nagsdk.graph.onnx_int8 import write_integer_onnx

            write_integer_onnx(in_integers(self, graph, device, images), path)
        else:
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

    def meter(self) -> Meter:
        """Reads the energy counters of this machine's processor."""
        return host_meter()

    def layer_times(self, compiled: Path, runs: int, timeout_s: float) -> Sequence[LayerTime]:
        """Profiles a file in the worker."""
        return self._operators(compiled, runs, timeout_s)


def _target(device: Device) -> str:
    return dict(device.options).get("target", "CPU")
