"""Whether a device is there, asked so that no plugin can take the caller down."""

from __future__ import annotations

from nagsdk.common.foreign_code import guarded
from nagsdk.device.backend import Backend, Presence
from nagsdk.device.description import Device
from nagsdk.errors import NagsdkError

_PATIENCE_S = 30.0


def presence_of(backend: Backend, device: Device) -> Presence:
    """What the backend says; where it raises, hangs or answers something else, a device that is not available and why."""
    whose = f"The backend {backend.id}"
    try:
        told: object = guarded(lambda: backend.presence(device), _PATIENCE_S, whose).value
    except NagsdkError as error:
        return Presence.refused(error)
    if not isinstance(told, Presence):
        return Presence(
            False, f"{whose} answered {type(told).__name__} instead of a Presence. Mend or remove its plugin."
        )
    texts = [told.reason, told.fingerprint, *told.properties, *told.properties.values()]
    if not isinstance(told.available, bool) or not all(isinstance(text, str) for text in texts):
        return Presence(False, f"{whose} answered a Presence that does not hold texts. Mend or remove its plugin.")
    return told
