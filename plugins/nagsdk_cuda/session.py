"""A session with torch on a GPU, in a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from nagsdk.device.meter import Meter
from nagsdk.device.process import ProcessSession
from nagsdk_cuda import nvml
from nagsdk_cuda.settings import CUDA, CudaSettings

_COMPILE_TIMEOUT_S = 1800.0


class CudaSession(ProcessSession):
    """Runs networks in a worker process, by default each captured in a CUDA graph.

    Args:
        settings: Settings of the worker.
        properties: Properties of the GPU according to the driver; the worker refuses to run on another GPU.

    Raises:
        DeviceUnavailableError: torch does not start, cannot use the GPU, or uses another one.
    """

    runtime = "torch"
    worker = "nagsdk_cuda.worker"
    start_timeout_s = 180.0
    remedy = (
        "Try `python -c 'import torch; print(torch.zeros(1, device=\"cuda\"))'`, and reinstall torch or the driver if "
        "that fails."
    )

    def __init__(self, settings: CudaSettings, properties: Mapping[str, str]) -> None:
        # The driver numbers GPUs by their place on the bus. CUDA numbers them by their speed unless this is set.
        self._settings = settings
        environment = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "OMP_NUM_THREADS": str(settings.threads)}
        super().__init__({**asdict(settings), "uuid": properties.get("uuid")}, environment)

    def meter(self) -> Meter:
        """Reads the energy counter of the GPU."""
        if self._settings.accelerator != CUDA:
            return super().meter()
        return nvml.meter(self._settings.index)

    def compile(self, program: Path, compiled: Path) -> None:
        """Compiles a program with AOTInductor for the GPU of this session.

        Raises:
            DeviceError: The compiler refuses the program.
        """
        request = {"do": "compile", "path": str(program.resolve()), "target": str(compiled.resolve())}
        self._ask(_COMPILE_TIMEOUT_S, f"compile {program.name}", request)
