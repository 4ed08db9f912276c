"""Vela in a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nagsdk.device.process import ProcessSession
from nagsdk.errors import DeviceError
from nagsdk_vela.settings import VelaSettings

_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Figures:
    """What Vela estimates for a network on the accelerator.

    Attributes:
        ms: Time of one inference in milliseconds.
        npu_cycles: Its cycles.
        sram_bytes: Peak use of the SRAM.
        flash_bytes: Bytes of weights and commands in flash.
        dram_bytes: Peak use of the DRAM, in systems with one.
    """

    ms: float
    npu_cycles: float
    sram_bytes: float
    flash_bytes: float
    dram_bytes: float


class Vela(ProcessSession):
    """Compiles files for one accelerator.

    Args:
        settings: The accelerator and its system.

    Raises:
        DeviceUnavailableError: Vela does not start.
    """

    runtime = "Vela"
    worker = "nagsdk_vela.worker"
    remedy = "Try `python -m ethosu.vela --version`, and reinstall ethos-u-vela if that fails."

    def __init__(self, settings: VelaSettings) -> None:
        super().__init__({"arguments": settings.arguments}, {})

    def compile(self, artifact: Path) -> tuple[Figures, bytes]:
        """Compiles a file, and returns what Vela estimates and the compiled file.

        Raises:
            DeviceError: Vela refuses the file, or leaves operators to the processor, whose time it does not estimate.
        """
        request = {"do": "compile", "path": str(artifact.resolve())}
        answer, compiled = self._ask(_TIMEOUT_S, f"compile {artifact.name}", request)
        if answer["on_cpu"]:
            raise DeviceError(
                f"Vela leaves operators of {artifact.name} to the processor: {', '.join(answer['on_cpu'])}.",
                "Export the network in int8, with integers as input and output.",
            )
        return Figures(**answer["figures"]), compiled
