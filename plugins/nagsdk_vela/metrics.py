"""What Vela reports besides the time: cycles, and the bytes in SRAM and flash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nagsdk.cost.metric import MAXIMUM, Metric
from nagsdk.device.description import Device
from nagsdk.errors import UsageError
from nagsdk.space.layer import LayerSpec
from nagsdk_vela.compiler import Figures
from nagsdk_vela.settings import VelaSettings


class _Reported(Metric):
    """A figure of Vela's report. The sum or the largest of those of single layers is the estimate to start from.

    Attributes:
        more: How many times as much whole networks need, at most or nearly so; `benchmarks/vela.py` prints it.
    """

    more: ClassVar[float]

    def of_layer(self, layer: LayerSpec, device: Device) -> float:
        """The figure of a network of this layer alone, and a margin."""
        figure: float = getattr(self._figures(layer, device), self.measured)
        return self.more * figure

    def _figures(self, layer: LayerSpec, device: Device) -> Figures:
        from nagsdk_vela.layers import estimates_of

        known = estimates_of(VelaSettings.of(device)) if device.backend == "vela" else None
        if known is None:
            raise UsageError(
                f"The {self.id} of {device.id} is not known: only Vela reports it.",
                "Limit it on a device of Vela, such as ethos-u55-128, where ethos-u-vela is installed.",
            )
        return known.of(layer)


class Cycles(_Reported):
    """Cycles of one inference, with those that wait for memory."""

    id, title, measured = "cycles", "Cycles of the accelerator for one inference, by Vela's report", "npu_cycles"
    units: ClassVar[Mapping[str, float]] = {"Mcycles": 1e6, "kcycles": 1e3, "cycles": 1.0}
    more = 1.04


class Sram(_Reported):
    """Peak use of the SRAM."""

    id, title, measured = "sram", "Peak use of the SRAM in bytes, by Vela's report", "sram_bytes"
    units: ClassVar[Mapping[str, float]] = {"KiB@sram": 1024.0, "MiB@sram": 2.0**20, "kB@sram": 1e3, "MB@sram": 1e6}
    aggregation, more = MAXIMUM, 1.08


class Flash(_Reported):
    """Weights and commands in flash."""

    id, title, measured = "flash", "Weights and commands in flash in bytes, by Vela's report", "flash_bytes"
    units: ClassVar[Mapping[str, float]] = {"KiB@flash": 1024.0, "MiB@flash": 2.0**20, "kB@flash": 1e3, "MB@flash": 1e6}
    more = 1.07
