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
# The first one is the default.
PRECISIONS = ("fp32", "int8")
INTEGER = "int8"
CPU = "CPUExecutionProvider"
_INTEGER_OPSET = 13


@dataclass(frozen=True)
class OnnxRuntimeSettings:
    """Settings of the worker process.

    Attributes:
        threads: Number of threads of one inference.
        provider: Name of the only execution provider that may be used.
        spinning: Whether waiting threads spin, which is ONNX Runtime's default; matters only with several threads.
        cores: Numbers of the cores on which the worker may run; empty for all cores.
        opset: Version of ONNX's operators in exported files.
        weight_bits: Bits of weights in int8. With 8, processors of x86-64 without VNNI compute garbage.
    """

    threads: int
    provider: str
    spinning: bool
    cores: tuple[int, ...]
    opset: int
    weight_bits: int = 7

    @classmethod
    def of(cls, device: Device) -> OnnxRuntimeSettings:
        """Reads the options of a description.

        They are `provider`, `spinning` (0 or 1), `cores` (such as ``2,3``; not on macOS), `opset` (11 to 17) and
        `weight_bits` (7 or 8).

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        options = {
            "provider": CPU,
            "spinning": "1",
            "cores": "",
            "opset": str(USUAL_OPSET),
            "weight_bits": "7",
            **dict(device.options),
        }
        cores = options["cores"].split(",") if options["cores"] else []
        known = len(options) == 5 and options["spinning"] in ("0", "1") and options["opset"] in OPSETS
        known = known and options["weight_bits"] in ("7", "8")
        if not known or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {options}.",
                "Use provider (a name), spinning (0 or 1), opset (11 to 17), weight_bits (7 or 8) and, except on "
                "macOS, cores (such as 2,3).",
            )
        if device.precision == INTEGER and (options["provider"] != CPU or int(options["opset"]) < _INTEGER_OPSET):
            raise DeviceError(
                f"{device.id} cannot compute in int8: nagsdk knows no integer kernels of {options['provider']}."
                if options["provider"] != CPU
                else f"{device.id} cannot compute in int8: operators of version {options['opset']} have no int8 with a "
                "scale per channel.",
                f"Use the provider {CPU} with opset {_INTEGER_OPSET} or later, or the precision fp32.",
            )
        pinned, spinning = tuple(CORE.parse(c, DeviceError) for c in cores), options["spinning"] == "1"
        check_cores(device.id, pinned)
        numbers = (int(options["opset"]), int(options["weight_bits"]))
        return cls(device.threads, options["provider"], spinning, pinned, *numbers)
