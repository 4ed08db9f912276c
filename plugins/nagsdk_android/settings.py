"""The options of an Android device's description."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk_litert.settings import split_by_default

DELEGATES = ("xnnpack", "gpu")
_NONE = "none"
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


@dataclass(frozen=True)
class AndroidSettings:
    """How a phone is found and how networks run on it.

    Attributes:
        threads: Threads of one inference.
        serial: Of the phone, or ``host:port`` of one that listens there; empty for the only one that fits.
        model: Patterns of `ro.product.model`, one of which must fit, such as ``Pixel*``.
        delegate: ``xnnpack``, ``gpu``, or ``none`` for whatever the tool does by itself.
        allow_fallback: Whether the delegate may leave a part of the network to the plain CPU kernels.
        split_depthwise: Whether 7x7 depthwise convolutions are written as sums of smaller ones.
        cores: Hexadecimal mask for taskset, such as ``f0``; empty for all.
        cooldown_s: Seconds to wait at most for a phone that slows itself down.
    """

    threads: int
    serial: str
    model: tuple[str, ...]
    delegate: str
    allow_fallback: bool
    split_depthwise: bool
    cores: str
    cooldown_s: float

    @classmethod
    def of(cls, device: Device) -> AndroidSettings:
        """Reads the options of a description; the serial also from adb's own variable ANDROID_SERIAL.

        Raises:
            DeviceError: An option that is none of these, or has an impossible value.
        """
        defaults = {
            "serial": os.environ.get("ANDROID_SERIAL", ""),
            "model": "*",
            "delegate": DELEGATES[0],
            "allow_fallback": "0",
            "split_depthwise": split_by_default(device.precision),
            "cores": "",
            "cooldown_s": "120",
        }
        o = {**defaults, **{name: value for name, value in device.options if name != "serial" or value}}
        known = (
            len(o) == len(defaults)
            and o["delegate"] in (*DELEGATES, _NONE)
            and {o["allow_fallback"], o["split_depthwise"]} <= {"0", "1"}
            and re.fullmatch("[0-9a-fA-F]{0,16}", o["cores"])
            and o["cooldown_s"].isdecimal()
        )
        if not known:
            raise DeviceError(
                f"The options of the device {device.id} do not suit this backend: {dict(device.options)}.",
                f"Use serial, model (patterns with |), delegate ({', '.join(DELEGATES)} or {_NONE}), allow_fallback and split_depthwise (0 or 1), "
                "cores (a hexadecimal mask such as f0) and cooldown_s (seconds).",
            )
        models = tuple(part.strip() for part in o["model"].split("|"))
        flags = (o["allow_fallback"] == "1", o["split_depthwise"] == "1")
        return cls(
            device.threads, o["serial"], models, o["delegate"], *flags, o["cores"].lower(), float(o["cooldown_s"])
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, where the serial is an address."""
        if not _ADDRESS.fullmatch(self.serial):
            return None
        host, _, port = self.serial.rpartition(":")
        return host, int(port)

    def fits(self, model: str) -> bool:
        """Whether a phone's model is one of those meant, capitals or not."""
        return any(fnmatch.fnmatchcase(model.lower(), pattern.lower()) for pattern in self.model)
