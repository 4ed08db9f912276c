"""Settings of an Android device, read from the options of its description."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError
from nagsdk.ranges import COOLDOWN_S, PORT
from nagsdk_litert.settings import INTEGER, split_by_default

DELEGATES = ("xnnpack", "gpu")
_NONE = "none"
_PHONE, _MODEL = "phone", "model"
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


@dataclass(frozen=True)
class AndroidSettings:
    """How a phone is found and how networks run on it.

    Attributes:
        threads: Number of threads of one inference.
        serial: Serial number of the phone, or ``host:port`` at which it listens. Empty if the phone is the only one
            that fits.
        model: Patterns for `ro.product.model`, such as ``Pixel*``, one of which must match.
        delegate: ``xnnpack`` or ``gpu``; ``none`` for what the tool chooses itself.
        allow_fallback: Whether the delegate may leave a part of the network to the plain CPU kernels.
        split_depthwise: Whether 7x7 depthwise convolutions are written as sums of smaller ones.
        cores: Hexadecimal mask of cores for taskset, such as ``f0``; empty for all cores.
        cooldown_s: Number of seconds that a session waits at most for a throttled phone to cool down.
        one_per_model: Whether phones of one model and build count as the same device, although their speed differs.
    """

    threads: int
    serial: str
    model: tuple[str, ...]
    delegate: str
    allow_fallback: bool
    split_depthwise: bool
    cores: str
    cooldown_s: float
    one_per_model: bool

    @classmethod
    def of(cls, device: Device) -> AndroidSettings:
        """Reads the options of a description; without the option `serial`, adb's variable ANDROID_SERIAL is used.

        Raises:
            DeviceError: An option is unknown or has an invalid value.
        """
        defaults = {
            "serial": os.environ.get("ANDROID_SERIAL", ""),
            "model": "*",
            "delegate": DELEGATES[0],
            "allow_fallback": "0",
            "split_depthwise": split_by_default(device.precision),
            "cores": "",
            "cooldown_s": "120",
            "identity": _PHONE,
        }
        o = {**defaults, **{name: value for name, value in device.options if name != "serial" or value}}
        known = (
            len(o) == len(defaults)
            and o["delegate"] in (*DELEGATES, _NONE)
            and o["identity"] in (_PHONE, _MODEL)
            and {o["allow_fallback"], o["split_depthwise"]} <= {"0", "1"}
            and re.fullmatch("[0-9a-fA-F]{0,16}", o["cores"])
        )
        if not known:
            raise DeviceError(
                f"The options of the device {device.id} are not valid for this backend: {dict(device.options)}.",
                f"Use serial, model (patterns separated by |), delegate ({', '.join(DELEGATES)} or {_NONE}), "
                "allow_fallback and split_depthwise (0 or 1), cores (a hexadecimal mask such as f0), cooldown_s "
                f"(seconds) and identity ({_PHONE} or {_MODEL}).",
            )
        if o["delegate"] == "gpu" and device.precision == INTEGER:
            raise DeviceError(
                f"The GPU delegate of {device.id} has no integer kernels: it computes int8 in float.",
                "Use the precision fp16 or fp32, or the delegate xnnpack.",
            )
        cooldown_s = float(COOLDOWN_S.parse(o["cooldown_s"], DeviceError))
        models = tuple(part.strip() for part in o["model"].split("|"))
        flags = (o["allow_fallback"] == "1", o["split_depthwise"] == "1")
        one_per_model = o["identity"] == _MODEL
        return cls(
            device.threads, o["serial"], models, o["delegate"], *flags, o["cores"].lower(), cooldown_s, one_per_model
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port if the serial is an address, else None."""
        if not _ADDRESS.fullmatch(self.serial):
            return None
        host, _, port = self.serial.rpartition(":")
        return host, PORT.parse(port, DeviceError)

    def fits(self, model: str) -> bool:
        """Whether a phone's model matches one of the patterns, in upper or lower case."""
        return any(fnmatch.fnmatchcase(model.lower(), pattern.lower()) for pattern in self.model)
