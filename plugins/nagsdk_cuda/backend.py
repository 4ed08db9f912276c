"""torch on an NVIDIA GPU, in a process of its own."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from nagsdk.common.pip import pip
from nagsdk.device.backend import EXACT, Backend, Presence, Tensor
from nagsdk.device.description import Device
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.graph.ir import Graph
from nagsdk.space.layer import LayerSpec
from nagsdk_cuda import nvml

if TYPE_CHECKING:
    from nagsdk_cuda.session import CudaSession

CUDA, CPU = "cuda", "cpu"
COMPILED = ".compiled.pt2"
GRAPH, EAGER = "cuda-graph", "eager"
NONE, INDUCTOR = "none", "inductor"
# Relative error of logits. Rounding to 10 bits of mantissa, over some fifty layers, comes to .005 with trained weights and .015 with
# random ones, to 7 bits eight times that; another network's logits differ by about 1.
TOLERANCES = {"fp32": EXACT, "tf32": 3e-2, "fp16": 3e-2, "bf16": 0.24}
# What a program says of an operation, in bytes; read off exported files.
_OVERHEAD = {"conv": 3350.0, "pointwise": 3350.0, "depthwise": 3350.0, "linear": 3350.0, "se": 10400.0, "add": 0.0, "pool": 0.0}
_TORCH = f"Install a build of torch with CUDA for this system (https://pytorch.org), then: {pip('install', 'nagsdk[cuda]')}"


@dataclass(frozen=True)
class Settings:
    """What the worker is started with.

    Attributes:
        accelerator: ``cuda``, or ``cpu`` to run the same program on this machine's processor.
        index: Which GPU, as `nvidia-smi` numbers them.
        runtime: ``cuda-graph``, or ``eager``: one kernel launch after the other, as plain torch does.
        compiler: ``none``, or ``inductor``: AOTInductor, which fuses operations into kernels of its own; takes minutes.
        flush_l2: Whether the GPU's cache is overwritten before every timed run.
        precision: Of weights and arithmetic.
        threads: On the processor.
    """

    accelerator: str
    index: int
    runtime: str
    compiler: str
    flush_l2: bool
    precision: str
    threads: int

    @classmethod
    def of(cls, device: Device) -> Settings:
        """Reads the options of a description.

        Raises:
            DeviceError: An option that is none of these, or has an impossible value.
        """
        given = dict(device.options)
        accelerator = given.pop("accelerator", CUDA)
        runtime = given.pop("runtime", GRAPH if accelerator == CUDA else EAGER)
        index, flush, compiler = given.pop("index", "0"), given.pop("flush_l2", "0"), given.pop("compiler", NONE)
        known = (
            accelerator in (CUDA, CPU)
            and runtime in (GRAPH, EAGER)
            and compiler in (NONE, INDUCTOR)
            and index.isdecimal()
            and flush in ("0", "1")
        )
        if given or not known or (accelerator == CPU and runtime == GRAPH):
            raise DeviceError(
                f"The options of the device {device.id} do not suit this backend: {dict(device.options)}.",
                "Use accelerator (cuda or cpu), index (a number), runtime (cuda-graph, or eager, which alone runs on cpu), "
                "compiler (none or inductor) and flush_l2 (0 or 1).",
            )
        return cls(accelerator, int(index), runtime, compiler, flush == "1", device.precision or CudaBackend.precisions[0], device.threads)


class CudaBackend(Backend):
    """Exports `torch.export` programs and runs them on an NVIDIA GPU; see `Settings` for the device options."""

    id = "cuda"
    title = "torch on an NVIDIA GPU (CUDA graph)"
    suffix = ".pt2"
    precisions = ("fp16", "fp32", "tf32", "bf16")

    def layer_bytes(self, layer: LayerSpec, device: Device) -> float:
        """The weights in their precision, and what the program says of each operation."""
        return width(device) * layer.folded_parameters + layer.by_kind(_OVERHEAD)

    def tolerance(self, device: Device) -> float:
        """That of the precision."""
        return TOLERANCES[Settings.of(device).precision]

    def presence(self, device: Device) -> Presence:
        """Asks the driver (NVML) and looks at torch's files, without importing torch."""
        try:
            settings = Settings.of(device)
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
        # Cards of one model are one device: what was measured on one holds for the next.
        return Presence.of(properties, nvml.OF_THE_CARD)

    def diagnose(self) -> Sequence[Finding]:
        """The driver, and whether the installed torch can use it."""
        try:
            version, cuda = _torch()
            card = nvml.describe(0)
        except DeviceError as error:
            return [Finding("gpu", ABSENT, error.message, error.next_step)]
        told = f"{card['gpu']} with driver {card['driver']}"
        if cuda is None:
            return [Finding("gpu", WRONG, f"{told}, but torch {version} was built without CUDA.", _TORCH)]
        return [Finding("gpu", OK, f"{told}; torch {version} was built for CUDA {cuda}.")]

    def export(self, graph: Graph, path: Path, device: Device, images: Tensor | None = None) -> None:
        """Writes a `torch.export` program; it needs no images, and no GPU."""
        from nagsdk_cuda.program import write_program

        write_program(graph, path, Settings.of(device).precision)

    def emulate(self, artifact: Path, device: Device, images: Tensor) -> Tensor | None:
        """Runs the program on the processor."""
        from nagsdk_cuda.session import CudaSession

        here = replace(Settings.of(device), accelerator=CPU, runtime=EAGER, flush_l2=False)
        with CudaSession(here, {}) as session:
            return session.infer(session.load(artifact), images)

    def compile(self, artifact: Path, device: Device, folder: Path) -> Path:
        """Compiles with AOTInductor where the device asks for it, else returns the program."""
        if Settings.of(device).compiler == NONE:
            return artifact
        compiled = folder / f"{artifact.stem}{COMPILED}"
        with self.open(device) as session:
            session.compile(artifact, compiled)
        return compiled

    def open(self, device: Device) -> CudaSession:
        """Starts a worker process."""
        from nagsdk_cuda.session import CudaSession

        presence = self.presence(device)
        if not presence.available:
            raise DeviceUnavailableError(presence.reason, f"`nagsdk devices` shows what is there. {_TORCH}")
        return CudaSession(Settings.of(device), presence.properties)


def width(device: Device) -> float:
    """Bytes of a number in a device's precision."""
    return 2.0 if Settings.of(device).precision in ("fp16", "bf16") else 4.0


def _torch() -> tuple[str, str | None]:
    """Version of torch, and of the CUDA that it was built with."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise DeviceError("torch is not installed.", _TORCH)
    try:
        text = (Path(spec.origin).parent / "version.py").read_text("utf-8")
        found = re.search(r"^cuda[^=]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
        return version("torch"), found and found.group(1)
    except (OSError, PackageNotFoundError) as error:
        raise DeviceError(f"torch is not whole: {error}.", "Install it again.") from error
