"""What travels in a lab: JSON and bytes. Everything that arrives is checked before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from nagsdk import errors
from nagsdk.common.validation import what_is_wrong
from nagsdk.device.backend import Burst, Presence
from nagsdk.device.description import Device, check_device
from nagsdk.device.layer_times import LayerTime
from nagsdk.device.meter import Meter
from nagsdk.device.presence import plain_presence
from nagsdk.errors import ConnectionLostError, DeviceError, NagsdkError

# Increased when a worker would no longer understand a client of the version before.
PROTOCOL = 1
# The one function of a worker that dask can call; the key in what it tells the scheduler has the same name.
NAME = "nagsdk"
CHUNK_BYTES = 1 << 18
MOST_BYTES = 32 << 20
_MOST_TEXT = 4000
_UNEXPECTED = "Install the same version of nagsdk on both sides."

Json = dict[str, Any]


def resource(fingerprint: str) -> str:
    """The name under which a worker announces a device to the scheduler."""
    return f"{NAME}-{fingerprint}"


def packed(value: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return json.dumps(value).encode()


def unpacked(content: Any) -> Json:
    """A message from bytes.

    Raises:
        DeviceError: It is not one.
    """
    try:
        if not isinstance(content, bytes) or len(content) > MOST_BYTES:
            raise TypeError("not bytes of a legal length")
        value = json.loads(content)
        if not isinstance(value, dict):
            raise TypeError("not an object")
    except (ValueError, TypeError, RecursionError) as error:
        raise unexpected(error) from error
    return value


def unexpected(error: Exception) -> DeviceError:
    """The error for a message that is not what it should be."""
    return DeviceError(f"A message in the lab cannot be read: {what_is_wrong(error)}.", _UNEXPECTED)


def told(error: NagsdkError) -> Json:
    """An error as a message."""
    kind = next(k for k in type(error).__mro__ if getattr(errors, k.__name__, None) is k)
    return {"error": [kind.__name__, error.message[:_MOST_TEXT], error.next_step[:_MOST_TEXT]]}


def error_of(answer: Json) -> NagsdkError | None:
    """The error that a message tells; None if it tells none.

    Raises:
        DeviceError: It is not an error that this version knows.
    """
    if "error" not in answer:
        return None
    try:
        name, message, next_step = (str(text) for text in answer["error"])
        kind = getattr(errors, name)
        if not issubclass(kind, NagsdkError):
            raise TypeError(f"{name} is no error")
    except (ValueError, TypeError, AttributeError) as error:
        raise unexpected(error) from error
    found: NagsdkError = kind(message[:_MOST_TEXT], next_step[:_MOST_TEXT])
    return found


def of_device(device: Device) -> Json:
    """A description as a message."""
    return asdict(device)


def device_of(values: Any) -> Device:
    """The description in a message.

    Raises:
        DeviceError: It is not valid.
    """
    from pydantic import TypeAdapter

    try:
        known = {field.name for field in fields(Device)}
        device: Device = TypeAdapter(Device).validate_python({k: v for k, v in values.items() if k in known})
        check_device(device)
    except (ValueError, TypeError, AttributeError, NagsdkError) as error:
        raise unexpected(error) from error
    return device


def presence_of_message(values: Any) -> Presence:
    """The presence in a message.

    Raises:
        DeviceError: It is not valid.
    """
    try:
        return plain_presence(Presence(**values))
    except TypeError as error:
        raise unexpected(error) from error


def properties_of(values: Any) -> Mapping[str, str]:
    """The properties of a device in a message.

    Raises:
        DeviceError: They are not valid.
    """
    return presence_of_message({"available": True, "properties": values}).properties


def burst_of(values: Any) -> Burst:
    """The burst in a message; the caller checks the numbers.

    Raises:
        DeviceError: It is not valid.
    """
    try:
        return Burst(tuple(values["wall_ms"]), tuple(values["cpu_ms"]), dict(values["properties"]))
    except (TypeError, ValueError, KeyError) as error:
        raise unexpected(error) from error


def meter_of(values: Any) -> Meter:
    """The meter in a message; the caller checks the numbers."""
    try:
        return Meter(tuple(tuple(pair) for pair in values["counters"]), values["power_w"])
    except (TypeError, ValueError, KeyError) as error:
        raise unexpected(error) from error


def layer_times_of(values: Any) -> tuple[LayerTime, ...]:
    """The times of operators in a message; the caller checks the numbers."""
    try:
        return tuple(LayerTime(name, kind, ms) for name, kind, ms in values)
    except (TypeError, ValueError) as error:
        raise unexpected(error) from error


def lost(where: str, why: str) -> ConnectionLostError:
    """The error for a session that ended in the middle."""
    return ConnectionLostError(
        f"The connection to {where} was lost: {why.rstrip('.')}.",
        "What was measured is kept: run the command again. `nagsdk lab devices` shows what is there.",
    )
