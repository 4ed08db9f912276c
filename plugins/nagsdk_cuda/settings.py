"""Settings of torch on a GPU, read from the options of a device description."""

from __future__ import annotations

from dataclasses import dataclass

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.ranges import GPU

CUDA, CPU = "cuda", "cpu"
COMPILED = ".compiled.pt2"
GRAPH, EAGER = "cuda-graph", "eager"
NONE, INDUCTOR = "none", "inductor"
# The first one is the default.
PRECISIONS = ("fp16", "fp32", "tf32", "bf16")


@dataclass(frozen=True)
class CudaSettings:
    """Settings of the worker process.

    Attributes:
        accelerator: ``cuda``, or ``cpu`` to run the same program on this machine's processor.
        index: Number of the GPU, as `nvidia-smi` counts them.
        runtime: ``cuda-graph``, or ``eager``, which launches one kernel after the other as plain torch does.
        compiler: ``none``, or ``inductor`` for AOTInductor, which takes minutes to fuse operations into new kernels.
        flush_l2: Whether the GPU's L2 cache is overwritten before every timed run.
        precision: Precision of weights and arithmetic.
        threads: Number of threads on the processor.
    """

    accelerator: str
    index: int
    runtime: str
    compiler: str
    flush_l2: bool
    precision: str
    threads: int

    @classmethod
    def of(cls, device: Device) -> CudaSettings:
        """Reads the options of a description.

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        given = dict(device.options)
        accelerator = given.pop("accelerator", CUDA)
        runtime = given.pop("runtime", GRAPH if accelerator == CUDA else EAGER)
        index, flush, compiler = given.pop("index", "0"), given.pop("flush_l2", "0"), given.pop("compiler", NONE)
        known = (
            accelerator in (CUDA, CPU)
            and runtime in (GRAPH, EAGER)
            and compiler in (NONE, INDUCTOR)
            and flush in ("0", "1")
        )
        if given or not known or (accelerator == CPU and runtime == GRAPH):
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {dict(device.options)}.",
                "Use accelerator (cuda or cpu), index (a number), runtime (cuda-graph or eager; on cpu only eager), "
                "compiler (none or inductor) and flush_l2 (0 or 1).",
            )
        return cls(
            accelerator,
            GPU.parse(index, DeviceError),
            runtime,
            compiler,
            flush == "1",
            device.precision or PRECISIONS[0],
            device.threads,
        )


def width(device: Device) -> float:
    """Number of bytes that one number takes in a device's precision."""
    return 2.0 if CudaSettings.of(device).precision in ("fp16", "bf16") else 4.0
