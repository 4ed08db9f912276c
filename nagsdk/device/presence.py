"""Asks a backend whether a device is available, in a way that no faulty plugin can crash or block the caller."""

from __future__ import annotations

from dataclasses import replace

from nagsdk.common.foreign_code import guarded
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError, printable

_TIMEOUT_S = 30.0


def presence_of(backend: Backend, device: Device) -> Presence:
    """Returns what the backend reports about the device.

    If the backend raises, does not answer in time or returns something invalid, the result is a device that is not
    available, with the reason. What it says is made printable, because devices choose their own names.
    """
    whose = f"The backend {backend.id}"
    try:
        answer: object = guarded(lambda: backend.presence(device), _TIMEOUT_S, whose).value
    except NagsdkError as error:
        return Presence.refused(error)
    if not isinstance(answer, Presence):
        return Presence(
            False, f"{whose} answered {type(answer).__name__} instead of a Presence. Fix or remove its plugin."
        )
    texts = [answer.reason, answer.fingerprint, *answer.properties, *answer.properties.values()]
    if not isinstance(answer.available, bool) or not all(isinstance(text, str) for text in texts):
        return Presence(
            False, f"{whose} answered a Presence whose fields have the wrong types. Fix or remove its plugin."
        )
    properties = {_line(name): _line(value) for name, value in answer.properties.items()}
    return replace(answer, reason=printable(answer.reason), properties=properties)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
