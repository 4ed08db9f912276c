"""Settings of LiteRT on this machine's CPU, read from the options of a device description."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from nagsdk.common.processes import can_pin
from nagsdk.device.description import Device
from nagsdk.device.host import check_cores
from nagsdk.errors import DeviceError
from nagsdk.ranges import CORE

# Name of the distribution -> name of the Python package. tflite-runtime is the predecessor, last released in 2023.
RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
# Value of the option `split_depthwise` -> name of the rewrite.
REWRITES = {"1": "split depthwise", "0": "none"}
# The first one is the default.
PRECISIONS = ("fp32", "fp16", "int8", "int8-dynamic")
INTEGER = "int8"
# Numbers of input and output, the default first.
IOS = {INTEGER: ("float", "int8", "uint8")}


@dataclass(frozen=True)
class LiteRtSettings:
    """Settings of the worker process.

    Attributes:
        threads: Number of threads of one inference.
        package: Python package of the runtime; see `RUNTIMES`.
        split_depthwise: Whether 7x7 depthwise convolutions are written as sums of smaller ones.
        precision: Precision of weights and arithmetic.
        cores: Numbers of the cores on which the worker may run; empty for all cores.
    """

    threads: int
    package: str
    split_depthwise: bool
    precision: str
    cores: tuple[int, ...]

    @classmethod
    def of(cls, device: Device) -> LiteRtSettings:
        """Reads the options of a description.

        They are `runtime` (a key of `RUNTIMES`), `split_depthwise` (0 or 1) and `cores` (such as ``2,3``; not on
        macOS).

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        precision = device.precision or PRECISIONS[0]
        options = {"runtime": "", "split_depthwise": split_by_default(precision), "cores": "", **dict(device.options)}
        cores = options["cores"].split(",") if options["cores"] else []
        runtime = options["runtime"] or _installed()
        known = len(options) == 3 and runtime in RUNTIMES and options["split_depthwise"] in ("0", "1")
        if not known or (cores and not can_pin()):
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {options}.",
                f"Use runtime ({' or '.join(RUNTIMES)}), split_depthwise (0 or 1) and, except on macOS, cores (numbers "
                "such as 2,3).",
            )
        pinned = tuple(CORE.parse(c, DeviceError) for c in cores)
        check_cores(device.id, pinned)
        return cls(
            device.threads,
            RUNTIMES[runtime],
            options["split_depthwise"] == "1",
            precision,
            pinned,
        )


def split_by_default(precision: str) -> str:
    """Default of the option `split_depthwise`: the value that is usually faster for a precision.

    Kernels become much slower above 25 taps, so splitting pays. Those of int8-dynamic do not, and would quantise the
    input again for every part.
    """
    return "0" if precision == "int8-dynamic" else "1"


def _installed() -> str:
    """The first runtime that is installed; the first of all runtimes if none is installed."""
    return next((name for name, package in RUNTIMES.items() if importlib.util.find_spec(package)), next(iter(RUNTIMES)))
