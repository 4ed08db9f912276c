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


@pytest.fixture
def phone(started, own_folders, monkeypatch):
    """A virtual phone without faults, with a benchmark_model installed for it."""
    from nagsdk_android import tool

    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    started.heal()
    started.say("start")
    tool.install(TOOL)
    yield started
    assert started.files() == [] and started.processes("nagsdk-") == []
