"""Checks: what a backend says of itself and of its devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk.testing.kit import Checks


class DiscoveryChecks(Checks):
    """Names, presence, and honesty about what cannot be had."""

    def test_names(self, backend: Backend) -> None:
        """The class attributes are set."""
        assert backend.id and backend.id == backend.id.lower() and " " not in backend.id
        assert backend.title
        assert backend.suffix.startswith(".")
        assert backend.precisions and all(isinstance(p, str) and p for p in backend.precisions)
        assert len(set(backend.precisions)) == len(backend.precisions)

    def test_presence(self, backend: Backend, device: Device) -> None:
        """An attached device is available, described by texts that name its runtime and version, and the same each time."""
        presence = backend.presence(device)
        assert presence.available, presence.reason
        assert presence.reason == ""
        assert presence.fingerprint and presence.properties
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in presence.properties.items())
        for name in ("runtime", "runtime_version"):
            assert presence.properties.get(name), (
                f"the properties do not tell {name!r}, under which measurements are kept"
            )
        assert backend.presence(device) == presence

    def test_absence(self, backend: Backend, device: Device) -> None:
        """A device that is said to be available opens; one that is not, says why and refuses."""
        presence = backend.presence(device)
        if presence.available:
            backend.open(device).close()
        else:
            assert presence.reason
            with pytest.raises(DeviceUnavailableError):
                backend.open(device)

    def test_no_silent_fallback(self, backend: Backend, device: Device, impossible: list[Device]) -> None:
        """A device that asks for what cannot be had is refused with a reason, and never served by something else."""
        unknown = replace(device, options=(*device.options, ("no_such_option", "1")))
        for asked in (unknown, *impossible):
            presence = backend.presence(asked)
            assert presence.available or presence.reason, "it is not available, and no reason is given"
            try:
                backend.open(asked).close()
            except DeviceError as error:
                assert error.message and error.next_step
            else:
                pytest.fail(f"a session opens although the device asks for {dict(asked.options)}: what ran instead?")
