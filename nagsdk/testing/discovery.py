"""Checks of what a backend reports about itself and its devices."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.testing.kit import Checks


class DiscoveryChecks(Checks):
    """Names, presence, and refusal of settings that are not available."""

    def test_names(self, backend: Backend) -> None:
        """The class attributes are set."""
        assert backend.id and backend.id == backend.id.lower() and " " not in backend.id
        assert backend.title
        assert re.fullmatch(r"(\.\w+)+", backend.suffix, re.ASCII)
        assert re.fullmatch(r"(\.\w+)*", backend.compiled_suffix, re.ASCII)
        assert backend.compiled_suffix != backend.suffix
        assert backend.precisions and all(isinstance(p, str) and p for p in backend.precisions)
        assert len(set(backend.precisions)) == len(backend.precisions)

    def test_presence(self, backend: Backend, device: Device) -> None:
        """The device is available, its properties are texts and name runtime and version, the same on every call."""
        presence = backend.presence(device)
        assert presence.available, presence.reason
        assert presence.reason == ""
        assert presence.fingerprint and presence.properties
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in presence.properties.items())
        for name in ("runtime", "runtime_version"):
            assert presence.properties.get(name), (
                f"the property {name!r} is missing, which is part of the key of measurements"
            )
        assert backend.presence(device) == presence

    def test_absence(self, backend: Backend, device: Device) -> None:
        """A session opens on an available device; a device that is not available has a reason and refuses sessions."""
        presence = backend.presence(device)
        if presence.available:
            backend.open(device).close()
        else:
            assert presence.reason
            with pytest.raises(DeviceUnavailableError):
                backend.open(device)

    def test_no_silent_fallback(self, backend: Backend, device: Device, impossible: list[Device]) -> None:
        """A device with settings that are not available is refused with a reason; nothing else runs in its place."""
        unknown = replace(device, options=(*device.options, ("no_such_option", "1")))
        for asked in (unknown, *impossible):
            presence = backend.presence(asked)
            assert presence.available or presence.reason, "the device is not available, and there is no reason"
            try:
                backend.open(asked).close()
            except DeviceError as error:
                assert error.message and error.next_step
            else:
                pytest.fail(
                    f"a session opens although the options {dict(asked.options)} are not available: what runs instead?"
                )
