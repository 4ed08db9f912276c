"""The backend for Arm's Ethos-U: files in int8, compiled by Vela, whose estimates take the place of timings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nagsdk.common.pip import pip
from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.space.layer import LayerSpec
from nagsdk_litert.backend import HOST, LiteRtBackend
from nagsdk_vela.session import COMPILED, SUFFIX, VelaSession
from nagsdk_vela.settings import VelaSettings

if TYPE_CHECKING:
    from nagsdk.graph.integers import IntegerGraph
    from nagsdk.graph.ir import Graph

_INTEGER = "int8"


class VelaBackend(Backend):
    """Exports integer TFLite files and compiles them with Vela; see `VelaSettings.of` for the device options."""

    id = "vela"
    title = "Arm Ethos-U (compiled and estimated by Vela)"
    suffix = SUFFIX
    compiled_suffix = COMPILED
    layout = LiteRtBackend.layout
    precisions = (_INTEGER,)
    integer_precisions = (_INTEGER,)
    ios: ClassVar[Mapping[str, tuple[str, ...]]] = {_INTEGER: ("int8", "uint8")}
    runs_elsewhere = True
    estimated_by = "Arm's compiler Vela"

    def __init__(self) -> None:
        self._litert = LiteRtBackend()

    def presence(self, device: Device) -> Presence:
        """Checks that Vela is installed, without importing it."""
        try:
            settings = VelaSettings.of(device)
        except DeviceError as error:
            return Presence.refused(error)
        if importlib.util.find_spec("ethosu") is None:
            return Presence(False, f"Vela is not installed. Install it: {pip('install', 'nagsdk[vela]')}")
        runtime = {"runtime": "vela", "runtime_version": f"ethos-u-vela {version('ethos-u-vela')}"}
        system = {"accelerator": settings.accelerator, "system": settings.system, "memory_mode": settings.memory}
        estimate = {"latency": "estimated by Vela, not measured", "io": device.io or self.ios[_INTEGER][0]}
        return Presence.of({**runtime, **system, "precision": _INTEGER, **estimate})

    def tolerance(self, device: Device) -> float:
        """The tolerance of LiteRT, which computes the outputs."""
        return self._litert.tolerance(_host(device))

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the layer in the file before Vela."""
        return self._litert.layer_bytes(layer, _host(device))

    def check_export(self, device: Device) -> None:
        """Checks that the packages which write TFLite files are installed."""
        self._litert.check_export(_host(device))

    def simulate(self, layer: LayerSpec, device: Device) -> float | None:
        """Milliseconds that Vela estimates for a network of this layer alone; None if Vela is not installed."""
        from nagsdk_vela.layers import estimates_of

        known = estimates_of(VelaSettings.of(device))
        return None if known is None else known.of(layer).ms

    def quantised(
        self, graph: Graph, device: Device, images: Tensor | None = None, kept: Mapping[str, bytes] | None = None
    ) -> IntegerGraph:
        """The network in integers; kernels of 7x7 stay whole, since the accelerator runs them as they are."""
        return self._litert.quantised(graph, _host(device), images, kept)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a TFLite file in int8, with integers as input and output."""
        self._litert.export(graph, path, _host(device), images)

    def inspect(self, artifact: Path) -> Mapping[str, Any]:
        """Operators of the file; see `nagsdk.graph.lint.Lint.to_dict`."""
        return self._litert.inspect(artifact)

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Runs the file before Vela with LiteRT on this machine, if LiteRT is installed."""
        if not self._litert.presence(HOST).available:
            return None
        with self._litert.open(HOST) as session:
            return session.infer(session.load(artifact), images)

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Compiles a file with Vela."""
        from nagsdk_vela.compiler import Vela

        compiled = folder / (artifact.name.removesuffix(SUFFIX) + COMPILED)
        with Vela(VelaSettings.of(device)) as vela:
            _, content = vela.compile(artifact)
        compiled.write_bytes(content)
        return compiled

    def open(self, device: Device) -> Session:
        """Starts Vela."""
        presence = self.presence(device)
        if not presence.available:
            next_step = "`nagsdk devices` lists the devices and says which are available."
            raise DeviceUnavailableError(presence.reason, next_step)
        return VelaSession(VelaSettings.of(device))


def _host(device: Device) -> Device:
    """A LiteRT device on this machine for which the same file is exported."""
    from dataclasses import replace

    io = device.io or VelaBackend.ios[_INTEGER][0]
    return replace(HOST, precision=_INTEGER, io=io, options=(("split_depthwise", "0"),))
