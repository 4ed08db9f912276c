import time

import pytest

from tests.plugins.android.virtual import TOOL, VirtualPhone, missing


@pytest.fixture(scope="session")
def started():
    """One virtual phone, shared by all tests that leave it in order."""
    if reason := missing():
        pytest.skip(reason)
    phone = VirtualPhone()
    yield phone
    phone.close()


def wait_for(serial):
    """Waits until the phone answers: its daemon may just have been started again by the test before."""
    from nagsdk.device.description import Device
    from nagsdk.errors import DeviceUnavailableError
    from nagsdk_android.discovery import find
    from nagsdk_android.settings import AndroidSettings

    settings = AndroidSettings.of(Device("virtual", "a virtual phone", "android", options=(("serial", serial),)))
    deadline = time.monotonic() + 60
    while True:
        try:
            find(settings)
            return
        except DeviceUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def phone(started, own_folders, monkeypatch):
    """A virtual phone without faults, with a benchmark_model installed for it."""
    from nagsdk_android import tool

    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    started.heal()
    started.say("start")
    wait_for(started.serial)
    tool.install(TOOL)
    yield started
    assert started.files() == [] and started.processes("nagsdk-") == []
