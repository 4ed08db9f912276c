"""Asks a backend whether a device is available, in a way that no faulty plugin can crash or block the caller."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from nagsdk.common.cores import overcommitted, restrictions
from nagsdk.common.foreign_code import guarded
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError, printable

_TIMEOUT_S = 30.0


def presence_of(backend: Backend, device: Device) -> Presence:
    """Returns what the backend reports about the device.

    If the backend raises, does not answer in time or returns something invalid, the result is a device that is not
    available, with the reason. What it says is made printable, because devices choose their own names.

    If the networks run on this machine, and this process may not use all of its cores, the properties say so. The
    fingerprint changes only where the threads of an inference are more than the cores, which makes it slower.
    """
    whose = f"The backend {backend.id}"
    try:
        answer: object = guarded(lambda: backend.presence(device), _TIMEOUT_S, whose)
    except NagsdkError as error:
        return Presence.refused(error)
    try:
        found = plain_presence(answer)
    except TypeError as error:
        return Presence(False, f"{whose} answered {error}. Fix or remove its plugin.")
    properties = {_line(name): _line(value) for name, value in found.properties.items()}
    fingerprint = found.fingerprint
    if found.available and not backend.runs_elsewhere:
        held = restrictions()
        properties |= held
        if held and overcommitted(device.threads):
            fingerprint = hashlib.sha256(f"{fingerprint} {sorted(held.items())}".encode()).hexdigest()[:16]
    return replace(found, reason=printable(found.reason), properties=properties, fingerprint=fingerprint)


def plain_presence(answer: object) -> Presence:
    """A presence with plain fields.

    Raises:
        TypeError: It is not a presence, or a field has the wrong type; the text says what it is.
    """
    if not isinstance(answer, Presence):
        raise TypeError(f"{type(answer).__name__} instead of a Presence")
    try:
        properties = dict(answer.properties)
    except (TypeError, ValueError):
        properties = {None: None}  # type: ignore[dict-item]
    texts = [answer.reason, answer.fingerprint, *properties, *properties.values()]
    if not isinstance(answer.available, bool) or not all(isinstance(text, str) for text in texts):
        raise TypeError("a Presence whose fields have the wrong types")
    return Presence(answer.available, answer.reason, properties, answer.fingerprint)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
