"""What a device description says of ONNX Runtime on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from nagsdk.common.processes import can_pin
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError


@dataclass(frozen=True)
class OnnxRuntimeSettings:
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
    def of(cls, device: Device) -> OnnxRuntimeSettings:
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
