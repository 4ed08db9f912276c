"""The backend for torch on an NVIDIA GPU; networks run in a worker process."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import EXACT, Backend, Presence, Tensor
from nagsdk.device.description import Device
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.space.layer import LayerSpec
from nagsdk_cuda import nvml
from nagsdk_cuda.session import CudaSession
from nagsdk_cuda.settings import COMPILED, CPU, CUDA, EAGER, NONE, PRECISIONS, CudaSettings, width

if TYPE_CHECKING:
    from nagsdk.graph.ir import Graph

# Largest relative error of the logits that is accepted. Rounding to 10 bits of mantissa in about fifty layers gives
# .005 with trained weights and .015 with random ones; rounding to 7 bits gives eight times that. The logits of a
# different network differ by about 1.
TOLERANCES = {"fp32": EXACT, "tf32": 3e-2, "fp16": 3e-2, "bf16": 0.24}
# Bytes that a program takes to describe an operation, without its weights; measured on exported files.
_OVERHEAD = {
    "conv": 3350.0,
    "pointwise": 3350.0,
    "depthwise": 3350.0,
    "linear": 3350.0,
    "se": 10400.0,
    "add": 0.0,
    "pool": 0.0,
    "maxpool": 0.0,
    "avgpool": 0.0,
    "norm": 1500.0,
    "attention": 4500.0,
}
_TORCH = (
    f"Install a build of torch with CUDA for this system (https://pytorch.org), then: {pip('install', 'nagsdk[cuda]')}"
)


class CudaBackend(Backend):
    """Exports `torch.export` programs and runs them on an NVIDIA GPU; see `CudaSettings` for the device options."""

    id = "cuda"
    title = "torch on an NVIDIA GPU (CUDA graph)"
    suffix = ".pt2"
    compiled_suffix = COMPILED
    precisions = PRECISIONS

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """Bytes of the weights in their precision and of the program's description of the operations."""
        return width(device) * layer.folded_parameters + layer.by_kind(_OVERHEAD)

    def tolerance(self, device: Device) -> float:
        """The tolerance of the device's precision."""
        return TOLERANCES[CudaSettings.of(device).precision]

    def presence(self, device: Device) -> Presence:
        """Asks the driver through NVML and reads torch's version from its files, without importing torch."""
        try:
            settings = CudaSettings.of(device)
            torch_version, torch_cuda = _torch()
            properties = {
                "runtime": f"torch {settings.runtime}",
                "runtime_version": torch_version,
                "precision": settings.precision,
                "compiler": settings.compiler,
                "flush_l2": "yes" if settings.flush_l2 else "no",
            }
            if settings.accelerator == CUDA:
                if torch_cuda is None:
                    return Presence(False, f"The installed torch {torch_version} was built without CUDA. {_TORCH}")
                properties |= {"cuda": torch_cuda, **nvml.describe(settings.index)}
            else:
                properties |= {"processor_threads": str(settings.threads)}
        except DeviceError as error:
            return Presence.refused(error)
        # All cards of one model count as the same device: measurements on one card are valid for another.
        return Presence.of(properties, nvml.OF_THE_CARD)

    def diagnose(self) -> Sequence[Finding]:
        """Checks the driver, and whether the installed torch can use it."""
        try:
            version, cuda = _torch()
            properties = nvml.describe(0)
        except DeviceError as error:
            return [Finding("gpu", ABSENT, error.message, error.next_step)]
        card = f"{properties['gpu']} with driver {properties['driver']}"
        if cuda is None:
            return [Finding("gpu", WRONG, f"{card}, but torch {version} was built without CUDA.", _TORCH)]
        return [Finding("gpu", OK, f"{card}; torch {version} was built for CUDA {cuda}.")]

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a `torch.export` program; needs neither calibration images nor a GPU."""
        from nagsdk_cuda.program import write_program

        write_program(graph, path, CudaSettings.of(device).precision)

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Runs the program on this machine's processor."""
        on_cpu = replace(CudaSettings.of(device), accelerator=CPU, runtime=EAGER, flush_l2=False)
        with CudaSession(on_cpu, {}) as session:
            return session.infer(session.load(artifact), images)

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Compiles with AOTInductor if the device's options ask for it, else returns the program itself."""
        if CudaSettings.of(device).compiler == NONE:
            return artifact
        compiled = folder / f"{artifact.stem}{COMPILED}"
        with self.open(device) as session:
            session.compile(artifact, compiled)
        return compiled

    def open(self, device: Device) -> CudaSession:
        """Starts a worker process."""
        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(
                presence.reason, f"`nagsdk devices` lists the devices and says which are available. {_TORCH}"
            )
        return CudaSession(CudaSettings.of(device), presence.properties)


def _torch() -> tuple[str, str | None]:
    """Version of torch, and version of CUDA that it was built with, or None."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise DeviceError("torch is not installed.", _TORCH)
    try:
        text = (Path(spec.origin).parent / "version.py").read_text("utf-8")
        found = re.search(r"^cuda[^=]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
        return version("torch"), found and found.group(1)
    except (OSError, PackageNotFoundError) as error:
        raise DeviceError(f"The installation of torch is damaged: {error}.", "Install torch again.") from error
