"""ONNX Runtime on the CPU, in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from nagsdk.device.backend import Backend, Presence, Session, Tensor
from nagsdk.device.description import Device
from nagsdk.device.host import processor
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.ir import Graph
from nagsdk.installing import pip
from nagsdk.processes import can_pin

_INSTALL = f"Install it: {pip('install', 'nagsdk[onnxruntime]')}"


@dataclass(frozen=True)
class Settings:
    """What the worker is started with.

    Attributes:
        threads: Threads of one inference.
        provider: The one execution provider.
        spinning: Whether waiting threads spin, as is ONNX Runtime's default; matters with several threads only.
        cores: Cores to stay on; empty for all.
    """

    threads: int
    provider: str
    spinning: bool
    cores: tuple[int, ...]

    @classmethod
    def of(cls, device: Device) -> Settings:
        """Reads the options `provider`, `spinning` (0 or 1) and `cores` (such as ``2,3``; not on macOS) of a description.

        Raises:
            DeviceError: An option that is none of these, or has an impossible value.
        """
        options = {"provider": "CPUExecutionProvider", "spinning": "1", "cores": "", **dict(device.options)}
        cores = options["cores"].split(",") if options["cores"] else []
        known = len(options) == 3 and options["spinning"] in ("0", "1") and all(c.strip().isdecimal() for c in cores)
        if not known or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} do not suit this backend: {options}.",
                "Use provider (a name), spinning (0 or 1) and, except on macOS, cores (numbers such as 2,3).",
            )
        return cls(device.threads, options["provider"], options["spinning"] == "1", tuple(int(c) for c in cores))


class OnnxRuntimeBackend(Backend):
    """Exports ONNX files and runs them with ONNX Runtime on this machine's CPU; see `Settings.of` for the device options."""

    id = "onnxruntime"
    title = "ONNX Runtime on this machine's CPU"
    suffix = ".onnx"

    def presence(self, device: Device) -> Presence:
        """Looks for the runtime without importing it; the provider itself is checked where a session opens."""
        if importlib.util.find_spec("onnxruntime") is None:
            return Presence(False, f"ONNX Runtime is not installed. {_INSTALL}")
        try:
            settings = Settings.of(device)
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
        return Presence.of(properties)

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes an ONNX file in float32; it needs no images."""
        from nagsdk.graph.onnx import write_onnx

        write_onnx(graph, path)

    def open(self, device: Device) -> Session:
        """Starts a worker process."""
        from nagsdk_onnxruntime.session import OnnxRuntimeSession

        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, f"`nagsdk devices` shows what is there. {_INSTALL}")
        return OnnxRuntimeSession(Settings.of(device))


def _version() -> str:
    # One import package, shipped by several distributions.
    for distribution in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"):
        try:
            return f"{distribution} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
