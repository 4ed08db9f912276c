"""The conformance suite on installed devices: ``python -m nagsdk.testing DEVICE``."""

from __future__ import annotations

from pathlib import Path

import pytest

from nagsdk.device.backend import Backend
from nagsdk.device.description import Device, read_device
from nagsdk.plugin.host import host
from nagsdk.testing.conformance import BackendConformance


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every check once for each device of ``--nagsdk-device``."""
    if "device_name" in metafunc.fixturenames:
        metafunc.parametrize("device_name", metafunc.config.getoption("--nagsdk-device"))


class TestInstalledDevice(BackendConformance):
    """A device that an installed plugin reaches."""

    @pytest.fixture
    def device(self, device_name: str) -> Device:
        """The device with this id, alias or description file."""
        return read_device(Path(device_name)) if device_name.endswith(".toml") else host().device(device_name)

    @pytest.fixture
    def backend(self, device: Device) -> Backend:
        """The backend of the device."""
        return host().backend_of(device)
