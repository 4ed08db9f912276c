"""Settings of ONNX Runtime on the CPU, read from the options of a device description."""

from __future__ import annotations

from dataclasses import dataclass

from nagsdk.common.processes import can_pin
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError


@dataclass(frozen=True)
class OnnxRuntimeSettings:
    """Settings of the worker process.

    Attributes:
        threads: Number of threads of one inference.
        provider: Name of the only execution provider that may be used.
        spinning: Whether waiting threads spin, which is ONNX Runtime's default; matters only with several threads.
        cores: Numbers of the cores on which the worker may run; empty for all cores.
    """

    threads: int
    provider: str
    spinning: bool
    cores: tuple[int, ...]

    @classmethod
    def of(cls, device: Device) -> OnnxRuntimeSettings:
        """Reads the options of a description.

        They are `provider`, `spinning` (0 or 1) and `cores` (such as ``2,3``; not on macOS).

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        options = {"provider": "CPUExecutionProvider", "spinning": "1", "cores": "", **dict(device.options)}
        cores = options["cores"].split(",") if options["cores"] else []
        known = len(options) == 3 and options["spinning"] in ("0", "1") and all(c.strip().isdecimal() for c in cores)
        if not known or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {options}.",
                "Use provider (a name), spinning (0 or 1) and, except on macOS, cores (numbers such as 2,3).",
            )
        return cls(device.threads, options["provider"], options["spinning"] == "1", tuple(int(c) for c in cores))
