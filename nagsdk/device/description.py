"""Device descriptions: TOML files that people write, validated at the border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from nagsdk.common.files import read_toml
from nagsdk.common.folders import is_shipped
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DeviceError, UsageError

_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Device:
    """A target of deployment.

    Attributes:
        id: Unique name.
        title: What it is, for people.
        backend: Id of the backend that reaches it.
        aliases: Other names it answers to.
        threads: Threads of one inference.
        batch: Images of one inference.
        precision: Of weights and arithmetic, such as ``fp32`` or ``fp16``; the backend's first where empty.
        prior: File of a shipped prior cost model beside the description, or None.
        caveat: What must be said wherever only the prior speaks of the device.
        options: What only the backend understands.
    """

    id: str
    title: str
    backend: str
    aliases: tuple[str, ...] = ()
    threads: int = 1
    batch: int = 1
    precision: str = ""
    prior: str | None = None
    caveat: str = ""
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Overrides:
    """Settings of one call that differ from a device's own; None leaves the device's.

    Attributes:
        threads: Threads of one inference.
        batch: Images of one inference.
        precision: Of weights and arithmetic.
        serial: Which of several attached devices; becomes the option `serial` of the description.
    """

    threads: int | None = None
    batch: int | None = None
    precision: str | None = None
    serial: str | None = None

    def on(self, device: Device, precisions: Sequence[str]) -> Device:
        """The device with these settings.

        Args:
            device: Its description.
            precisions: What its backend knows, the default first.

        Raises:
            UsageError: The backend does not know the precision.
        """
        precision = self.precision or device.precision or precisions[0]
        if precision not in precisions:
            raise UsageError(
                f"{device.id} does not know the precision {precision!r}.", f"Use {' or '.join(precisions)}."
            )
        options = dict(device.options) | ({"serial": self.serial} if self.serial else {})
        return replace(
            device,
            threads=self.threads or device.threads,
            batch=self.batch or device.batch,
            precision=precision,
            options=tuple(sorted(options.items())),
        )


def read_device(path: Path) -> Device:
    """Reads one device description.

    Raises:
        DeviceError: The file is no valid description; the message names the field.
    """
    next_step = f"Mend {path.name} after the reference in the documentation of devices."
    if not path.is_file():
        raise DeviceError(
            f"There is no file {path}.", "`nagsdk devices` lists the devices that are known; a file describes another."
        )
    content = read_toml(path, _MOST_BYTES, lambda message: DeviceError(message, next_step))
    try:
        content["options"] = tuple(sorted((str(k), str(v)) for k, v in content.get("options", {}).items()))
        if is_shipped("devices", path.read_bytes()):
            device = Device(**{**content, "aliases": tuple(content.get("aliases", ()))})
        else:
            from pydantic import TypeAdapter

            device = TypeAdapter(Device).validate_python(content, strict=False, extra="forbid")
    except (ValueError, AttributeError) as error:
        told = what_is_wrong(error, (field.name for field in fields(Device)))
        raise DeviceError(f"{path} is no valid device description: {told}.", next_step) from error
    if device.threads < 1 or device.batch < 1:
        raise DeviceError(f"{path}: threads and batch must be 1 or more.", next_step)
    return device
