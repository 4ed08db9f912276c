"""Device descriptions: TOML files that people write, validated when they are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from nagsdk.common.folders import is_shipped
from nagsdk.common.reading import read_bytes, read_toml
from nagsdk.common.validation import what_is_wrong
from nagsdk.errors import DeviceError, UnknownNameError, UsageError
from nagsdk.ranges import BATCH, READING_MS, THREADS

_MOST_BYTES, _MOST_TEXTS, _MOST_TEXT, _MOST_READINGS = 64 * 1024, 200, 1000, 100
# Input and output in float32; integer files may have others.
FLOAT_IO = "float"
LEGAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_UNUSABLE, _MOST_NAME = re.compile(r"[^a-z0-9_.-]+"), 64
# Phones of one series differ by a number: pixel-8, pixel 8a.
_MODEL, _MOST_NEAR = re.compile(r"(?P<series>[a-z][a-z _.-]*?)[ _.-]*(?P<number>[0-9]{1,4})"), 3


@dataclass(frozen=True)
class Device:
    """A device that models are deployed to.

    Attributes:
        id: Unique name.
        title: Name for people.
        backend: Id of the backend that reaches it.
        aliases: Other names under which it is found.
        threads: Number of threads of one inference.
        batch: Number of images of one inference.
        precision: Number format of weights and arithmetic, such as ``fp32`` or ``fp16``; the first of the backend if
            empty.
        io: Numbers of input and output of an integer file: ``float``, ``int8`` or ``uint8``; the first of the backend
            if empty.
        prior: Name of a shipped prior cost model, or None.
        kernels: Kernels that the readings are of, such as ``xnnpack``; needed with `readings` or `chip`.
        readings: Known latencies of networks of the catalogue, as pairs of name and milliseconds, with one image; a
            prior is made from them. They are in float32 unless the name ends in a precision, as in
            ``mobilenet_v2@int8``.
        reading_threads: Number of threads of the readings.
        chip: Core of the processor and its frequency, such as ``Cortex-A78 2.4 GHz``; empty if it is not known.
        caveat: Warning that is shown with every result that rests on the prior alone.
        options: Settings that only the backend understands.
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
    kernels: str = ""
    readings: tuple[tuple[str, float], ...] = ()
    io: str = ""
    reading_threads: int = 1
    chip: str = ""


def reading_of(name: str) -> tuple[str, str]:
    """Splits the name of a reading into network and precision."""
    network, _, precision = name.partition("@")
    return network, precision or "fp32"


def unknown_device(name: str, ids: Iterable[str], known: Collection[str], note: str = "") -> UnknownNameError:
    """Returns the error for a device that nobody describes.

    Args:
        name: The name.
        ids: Ids of the known devices.
        known: All their names.
        note: Why names may be missing.
    """

    def parts(text: str) -> tuple[str, int | None]:
        found = _MODEL.match(text.lower())
        return (found["series"].strip(" -_."), int(found["number"])) if found else (text.lower(), None)

    series, number = parts(name)
    models = {other: parts(other) for other in sorted(ids)}
    same = [n for n, (of, count) in models.items() if series and of == series and None not in (count, number)]
    near = sorted(same, key=lambda n: (abs((models[n][1] or 0) - (number or 0)), len(n)))[:_MOST_NEAR]
    alike = difflib.get_close_matches(name.lower(), sorted(known), n=_MOST_NEAR, cutoff=0.5)
    hint = f"Nearest: {', '.join(near)}. " if near else f"Did you mean {' or '.join(alike)}? " if alike else ""
    new = _UNUSABLE.sub("-", name.lower()).strip("-._")[:_MOST_NAME] or "NAME"
    return UnknownNameError(
        f"There is no device named {name!r:.80}, and no readings of it are known.",
        f"{hint}Add one reading: nagsdk devices add {new} --reading mobilenet_v3_large=TIME. "
        f"Known: {', '.join(sorted(known))}. {note}".rstrip(),
    )


@dataclass(frozen=True)
class Overrides:
    """Settings of one call that replace those of the device description; None keeps the description's setting.

    Attributes:
        threads: Number of threads of one inference.
        batch: Number of images of one inference.
        precision: Number format of weights and arithmetic.
        serial: Serial number of one of several attached devices; becomes the option `serial` of the description.
        io: Numbers of input and output of an integer file.
    """

    threads: int | None = None
    batch: int | None = None
    precision: str | None = None
    serial: str | None = None
    io: str | None = None

    def on(
        self, device: Device, precisions: Sequence[str], ios: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> Device:
        """Returns the device with these settings.

        Args:
            device: Description of the device.
            precisions: Precisions that its backend offers, the default first.
            ios: Numbers of input and output that it offers, by precision, the default first; only float otherwise.

        Raises:
            UsageError: The backend does not offer the precision or these numbers of input and output, or a number is
                out of its range.
        """
        threads = device.threads if self.threads is None else THREADS.check(self.threads)
        batch = device.batch if self.batch is None else BATCH.check(self.batch)
        precision = self.precision or device.precision or precisions[0]
        if precision not in precisions:
            raise UsageError(
                f"{device.id} does not support the precision {precision!r}.", f"Use {' or '.join(precisions)}."
            )
        legal = ios.get(precision, (FLOAT_IO,))
        io = self.io or device.io or legal[0]
        # A description that says how its integer files are fed says nothing about files of another precision.
        if self.io is None and io not in legal and io in {name for names in ios.values() for name in names}:
            io = legal[0]
        if io not in legal:
            integer = f", or the precision {' or '.join(ios)}" if ios and precision not in ios else ""
            raise UsageError(
                f"{device.id} does not offer {io!r:.20} as input and output in {precision}.",
                f"Use {' or '.join(legal)} as input and output{integer}.",
            )
        options = dict(device.options) | ({"serial": self.serial} if self.serial else {})
        return replace(
            device,
            threads=threads,
            batch=batch,
            precision=precision,
            io=io,
            options=tuple(sorted(options.items())),
        )


def read_device(path: Path) -> Device:
    """Reads one device description.

    Raises:
        DeviceError: The file is not a valid description; the message names the field.
    """
    next_step = f"Fix {path.name}; the documentation of devices explains every field."
    if not path.is_file():
        raise DeviceError(
            f"There is no file {path}.",
            "Use one of the devices that `nagsdk devices` lists, or write a file that describes another one.",
        )
    content = read_toml(path, _MOST_BYTES, lambda message: DeviceError(message, next_step))
    try:
        content["options"] = tuple(sorted((str(k), str(v)) for k, v in content.get("options", {}).items()))
        content["readings"] = tuple(sorted(content.get("readings", {}).items()))
        if is_shipped("devices", read_bytes(path, _MOST_BYTES)):
            device = Device(**{**content, "aliases": tuple(content.get("aliases", ()))})
        else:
            from pydantic import TypeAdapter

            device = TypeAdapter(Device).validate_python(content, strict=False, extra="forbid")
        check_device(device)
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        reason = what_is_wrong(error, (field.name for field in fields(Device)))
        raise DeviceError(f"{path} is not a valid device description: {reason}.", next_step) from error
    return device


def check_device(device: Device) -> None:
    """Raises an error if a description says something that cannot be used.

    Raises:
        ValueError: A text or the combination of settings is not legal; or UsageError for a number out of its range.
    """
    THREADS.check(device.threads)
    BATCH.check(device.batch)
    # The id becomes a part of the names of files, and the prior lies in the folder of shipped descriptions.
    for name, text in (("id", device.id), ("backend", device.backend), ("prior", device.prior)):
        if text is not None and not LEGAL_NAME.fullmatch(text):
            raise ValueError(f"{name} must consist of up to 64 letters, digits and _ . -, not {text!r:.80}")
    known = bool(device.readings or device.chip)
    if known != bool(device.kernels) or (known and device.prior is not None):
        raise ValueError("readings or a chip need kernels, such as xnnpack, and exclude a prior")
    THREADS.check(device.reading_threads)
    if len(device.readings) > _MOST_READINGS:
        raise ValueError(f"it may hold {_MOST_READINGS} readings")
    for _, ms in device.readings:
        READING_MS.check(ms)
    texts = (
        device.kernels,
        device.chip,
        *(name for name, _ in device.readings),
        device.title,
        device.caveat,
        device.precision,
        device.io,
        *device.aliases,
        *(t for pair in device.options for t in pair),
    )
    if len(texts) > _MOST_TEXTS or max(map(len, texts)) > _MOST_TEXT:
        raise ValueError(f"it may hold {_MOST_TEXTS} texts of {_MOST_TEXT} characters")
