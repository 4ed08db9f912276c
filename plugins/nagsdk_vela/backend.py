"""The backend for Arm's Ethos-U: files in int8, compiled by Vela, whose estimates take the place of timings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from nagsdk.common.pip import pip
from nagsdk.device.backend import Presence, Session
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.space.layer import LayerSpec
from nagsdk_litert.backend import HOST
from nagsdk_litert.elsewhere import TfliteElsewhere
from nagsdk_vela.session import COMPILED, SUFFIX, VelaSession
from nagsdk_vela.settings import VelaSettings

_INTEGER = "int8"


class VelaBackend(TfliteElsewhere):
    """Exports integer TFLite files and compiles them with Vela; see `VelaSettings.of` for the device options."""

    id = "vela"
    title = "Arm Ethos-U (compiled and estimated by Vela)"
    suffix = SUFFIX
    compiled_suffix = COMPILED
    precisions = (_INTEGER,)
    integer_precisions = (_INTEGER,)
    ios: ClassVar[Mapping[str, tuple[str, ...]]] = {_INTEGER: ("int8", "uint8")}
    estimated_by = "Arm's compiler Vela"

    def host_like(self, device: Device) -> Device:
        """Kernels of 7x7 stay whole, since the accelerator runs them as they are."""
        io = device.io or self.ios[_INTEGER][0]
        return replace(HOST, precision=_INTEGER, io=io, options=(("split_depthwise", "0"),))

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

    def simulate(self, layer: LayerSpec, device: Device) -> float | None:
        """Milliseconds that Vela estimates for a network of this layer alone; None if Vela is not installed."""
        from nagsdk_vela.layers import estimates_of

        known = estimates_of(VelaSettings.of(device))
        return None if known is None else known.of(layer).ms

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
