"""Settings of ONNX Runtime on the CPU, read from the options of a device description."""

from __future__ import annotations

from dataclasses import dataclass

from nagsdk.common.processes import can_pin
from nagsdk.device.description import Device
from nagsdk.device.host import check_cores
from nagsdk.errors import DeviceError
from nagsdk.ranges import CORE

# As `nagsdk.graph.onnx.IR_VERSIONS`, which this module does not import, because that would import ONNX.
USUAL_OPSET = 17
OPSETS = tuple(str(opset) for opset in range(11, USUAL_OPSET + 1))


@dataclass(frozen=True)
class OnnxRuntimeSettings:
    """Settings of the worker process.

    Attributes:
        threads: Number of threads of one inference.
        provider: Name of the only execution provider that may be used.
        spinning: Whether waiting threads spin, which is ONNX Runtime's default; matters only with several threads.
        cores: Numbers of the cores on which the worker may run; empty for all cores.
        opset: Version of ONNX's operators in exported files.
    """

    threads: int
    provider: str
    spinning: bool
    cores: tuple[int, ...]
    opset: int

    @classmethod
    def of(cls, device: Device) -> OnnxRuntimeSettings:
        """Reads the options of a description.

        They are `provider`, `spinning` (0 or 1), `cores` (such as ``2,3``; not on macOS) and `opset` (11 to 17).

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        options = {
            "provider": "CPUExecutionProvider",
            "spinning": "1",
            "cores": "",
            "opset": str(USUAL_OPSET),
            **dict(device.options),
        }
        cores = options["cores"].split(",") if options["cores"] else []
        known = len(options) == 4 and options["spinning"] in ("0", "1") and options["opset"] in OPSETS
        if not known or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {options}.",
                "Use provider (a name), spinning (0 or 1), opset (11 to 17) and, except on macOS, cores (such as 2,3).",
            )
        pinned, spinning = tuple(CORE.parse(c, DeviceError) for c in cores), options["spinning"] == "1"
        check_cores(device.id, pinned)
        return cls(device.threads, options["provider"], spinning, pinned, int(options["opset"]))
