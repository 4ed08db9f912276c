"""A phone with Android's own shell (mksh) and tools (toybox), in place of bash and GNU's."""

import shutil

import pytest

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_android import tool
from nagsdk_android.backend import AndroidBackend
from nagsdk_android.discovery import find
from nagsdk_android.phone import Phone, TimeoutOnDeviceError, limited, was_killed
from nagsdk_android.session import AndroidSession
from nagsdk_android.settings import AndroidSettings
from tests.plugins.android.test_old_phones import network  # noqa: F401 - a fixture
from tests.plugins.android.virtual import TOOL, VirtualPhone, missing_tools

LINKER = "WARNING: linker: /system/bin/toybox: unused DT entry: type 0x1d arg 0x1\n"


@pytest.fixture(scope="module")
def started():
    if reason := missing_tools():
        pytest.skip(reason)
    phone = VirtualPhone(own_tools=True)
    yield phone
    phone.close()


@pytest.fixture
def phone(started, own_folders, monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    started.heal()
    tool.install(TOOL)
    yield started
    assert started.files() == [] and started.processes("nagsdk-") == []


@pytest.fixture
def settings(phone):
    return AndroidSettings.of(Device("d", "d", "android", options=(("serial", phone.serial), ("cores", "1"))))


@pytest.fixture
def lacking(settings):
    """Takes programs away from the phone until the test ends."""
    with Phone(find(settings).transport()) as connection:
        taken = []

        def take(*names):
            for name in names:
                connection.checked(f"/system/bin/mv /system/bin/{name} /tmp/{name}", "lose a program")
                taken.append(name)

        yield take
        for name in reversed(taken):  # mv itself may be among them
            connection.checked(f"/system/bin/toybox mv /tmp/{name} /system/bin/{name}", "get a program back")


def test_the_shell_and_the_tools_are_those_of_android(settings):
    with Phone(find(settings).transport()) as connection:
        assert "MIRBSD" in connection.run("echo $KSH_VERSION").text
        assert connection.run("readlink /system/bin/sha256sum").text.strip() == "toybox"
        assert connection.run("command -v bash").status != 0
        killed = connection.run(limited("sleep 30", 0.2))
        assert was_killed(killed)


def test_a_network_is_measured(phone, settings, network):  # noqa: F811
    phone.set("noise", LINKER)  # the linker of old phones warns whenever a program starts
    with AndroidSession(settings, find(settings), TOOL) as session:
        handle = session.load(network)
        burst = session.time(handle, 1, 4, 60)
        assert len(burst.wall_ms) == 4
        assert burst.properties["init_ms"] > 0 and burst.properties["first_inference_ms"] > 0
        assert burst.properties["battery_percent"] == 93 and burst.properties["thermal_status"] == 0
        session.unload(handle)


def test_a_tool_that_hangs_is_ended_and_leaves_nothing(phone, settings, network):  # noqa: F811
    phone.set("fault", "hang")
    with AndroidSession(settings, find(settings), TOOL) as session, pytest.raises(TimeoutOnDeviceError):
        session.time(session.load(network), 0, 3, 1)


@pytest.mark.parametrize("name", ["sha256sum", "timeout"])
def test_a_program_that_is_needed_is_named(settings, network, lacking, name):  # noqa: F811
    lacking(name)
    with AndroidSession(settings, find(settings), TOOL) as session:
        handle = session.load(network)
        with pytest.raises(DeviceError, match=f"The phone has no {name}, which"):
            session.time(handle, 0, 3, 60)


def test_other_programs_may_be_missing(settings, network, lacking):  # noqa: F811
    lacking("stat", "df", "find", "taskset")  # toybox has taskset even where no link names it
    with AndroidSession(settings, find(settings), TOOL) as session:
        assert len(session.time(session.load(network), 0, 3, 60).wall_ms) == 3


def test_a_tool_of_another_abi_is_named(settings, network, tmp_path):  # noqa: F811
    other = tmp_path / "benchmark_model"
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + (183).to_bytes(2, "little")
    other.write_bytes(head + b"code (\n of a program\n" * 100)
    with AndroidSession(settings, find(settings), other) as session:
        with pytest.raises(DeviceError, match="cannot start benchmark_model: it was built for another") as caught:
            session.time(session.load(network), 0, 3, 60)
        assert "x86_64" in caught.value.next_step


def test_no_tool_for_the_phone_is_told_before_it_is_used(phone, settings, own_folders, tmp_path):
    arm = tmp_path / "benchmark_model"
    arm.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + (183).to_bytes(2, "little") + bytes(40))
    shutil.rmtree(tool.folder() / "tools")
    tool.install(arm)
    device = Device("d", "d", "android", options=(("serial", phone.serial),))
    assert "no benchmark_model for x86_64" in AndroidBackend().presence(device).reason
    with pytest.raises(DeviceUnavailableError, match="no benchmark_model for x86_64"):
        AndroidBackend().open(device)
