"""Phones whose cables damage files, that lack programs, cannot run the tool, or cap their frequency for good."""

import tempfile
from pathlib import Path

import pytest

from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, MeasurementError
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space
from nagsdk_android import tool
from nagsdk_android.backend import AndroidBackend
from nagsdk_android.discovery import Attached
from nagsdk_android.phone import Phone
from nagsdk_android.refusals import LostError
from nagsdk_android.session import AndroidSession
from nagsdk_android.settings import AndroidSettings
from nagsdk_android.transport import Transport, tcp
from tests.plugins.android.virtual import TOOL


class Poor(Transport):
    """A real connection that damages the next files, to a phone that has only some of the usual programs."""

    def __init__(self, phone, damages=0, lacks=()):
        self.title, self.damages, self.path = "a poor phone", damages, ""
        self.pushes = self.connections = 0
        self.inner = tcp("127.0.0.1", int(phone.serial.split(":")[1]), tool.folder() / "adbkey")
        if lacks:
            programs = phone.shared / "bin"
            programs.mkdir(exist_ok=True)
            for old in programs.iterdir():
                old.unlink()
            for program in Path("/usr/bin").iterdir():
                if program.name not in lacks:
                    (programs / program.name).symlink_to(program)
            self.path = "export PATH=/phone/bin; "

    def connect(self):
        self.connections += 1
        self.inner.connect()

    def shell(self, command, silence_s):
        return self.inner.shell(self.path + command, silence_s)

    def push(self, source, target):
        self.pushes += 1
        if self.pushes > self.damages:
            return self.inner.push(source, target)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"
            copy.write_bytes(bytes([source.read_bytes()[0] ^ 1]) + source.read_bytes()[1:])
            self.inner.push(copy, target)

    def close(self):
        self.inner.close()


@pytest.fixture
def network(tmp_path):
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(3, 3), expansions=(2, 2))
    path = tmp_path / "network.tflite"
    AndroidBackend().export(trace(random_subnet(space, architecture), 32), path, Device("d", "d", "android"))
    return path


def opened(transport, **options):
    settings = AndroidSettings.of(Device("d", "d", "android", options=tuple(options.items())))
    return AndroidSession(settings, Attached("d", {"abi": "x86_64"}, lambda: transport), TOOL)


def test_a_damaged_copy_is_noticed_and_leaves_nothing(phone, tmp_path):
    source = tmp_path / "file"
    source.write_bytes(b"content")
    with Phone(Poor(phone, damages=1)) as connection:
        with pytest.raises(LostError, match="file arrived damaged on the phone") as caught:
            connection.put(source, "file")
        assert "cable" in caught.value.next_step
        assert not any("file" in path for path in phone.files())
        assert connection.run(f"cat {connection.put(source, 'file')}").text == "content"


def test_a_damaged_copy_is_repeated(phone, network):
    transport = Poor(phone, damages=2)
    with opened(transport) as session:
        assert len(session.time(session.load(network), 0, 3, 60).wall_ms) == 3
    # The tool three times and the network once, and a copy again where a busy machine really lost a connection.
    assert 4 <= transport.pushes <= 4 + (transport.connections - 3)


def test_after_three_damaged_copies_the_measurement_ends(phone, network):
    transport = Poor(phone, damages=99)
    with opened(transport) as session:
        with pytest.raises(MeasurementError, match=r"in 3 attempts\. benchmark_model arrived damaged"):
            session.time(session.load(network), 0, 3, 60)
        assert transport.pushes == 3 and not any(path.endswith(".part") for path in phone.files())


@pytest.mark.parametrize(
    ("lacks", "options", "missing"),
    [
        (("sha256sum",), {}, "no sha256sum"),
        (("timeout",), {}, "no timeout"),
        (("taskset",), {"cores": "f0"}, "no taskset"),
        (("timeout", "taskset"), {"cores": "f0"}, "no timeout and no taskset"),
    ],
)
def test_a_program_that_the_phone_lacks_is_named(phone, network, lacks, options, missing):
    transport = Poor(phone, lacks=lacks)
    with opened(transport, **options) as session:
        with pytest.raises(DeviceError, match=f"The phone has {missing}, which") as caught:
            session.time(session.load(network), 0, 3, 60)
        # A busy machine may really lose a connection: then a copy is repeated, and only then.
        assert "newer Android" in caught.value.next_step and transport.pushes <= 2 * transport.connections


def test_programs_that_nagsdk_can_do_without_may_be_missing(phone, network):
    with opened(Poor(phone, lacks=("stat", "pkill", "taskset", "grep"))) as session:
        assert len(session.time(session.load(network), 0, 3, 60).wall_ms) == 3


def test_a_tool_that_the_phone_ends_early_did_not_take_too_long(phone, network, tmp_path):
    binary = tmp_path / "benchmark_model"
    binary.write_text("#!/bin/sh\nkill -KILL $$\n")
    attached = Attached("d", {"abi": "x86_64"}, lambda: Poor(phone))
    with AndroidSession(AndroidSettings.of(Device("d", "d", "android")), attached, binary) as session:
        with pytest.raises(MeasurementError, match="before its time was up") as caught:
            session.time(session.load(network), 0, 3, 60)
        assert "memory" in caught.value.next_step


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + (183).to_bytes(2, "little") + bytes(44),
        b"#!/system/bin/linker64\n",
        b"#!/bin/sh\necho 'not executable: 64-bit ELF file' >&2; exit 126\n",
        b'#!/bin/sh\necho \'CANNOT LINK EXECUTABLE "x": library "libOpenCL.so" not found\' >&2; exit 1\n',
    ],
    ids=["another processor", "no interpreter", "another word size", "no library"],
)
def test_a_tool_that_the_phone_cannot_start_is_named(phone, network, tmp_path, content):
    settings = AndroidSettings.of(Device("d", "d", "android"))
    binary = tmp_path / "benchmark_model"
    binary.write_bytes(content)
    attached = Attached("d", {"abi": "x86_64"}, lambda: Poor(phone))
    with AndroidSession(settings, attached, binary) as session:
        with pytest.raises(DeviceError, match=r"another system or processor.*\. It says: ") as caught:
            session.time(session.load(network), 0, 3, 60)
        assert "Android and x86_64" in caught.value.next_step


CAPPED = "  level: 80\nfreq 800000 {} 2600000\n"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("nagsdk_android.session._POLL_S", 0.1)
    monkeypatch.setattr("nagsdk_android.state.STEADY_S", 0.3)


def test_a_cap_of_the_phone_itself_is_waited_for_once_and_told_apart_from_throttling(phone, network, hasty):
    phone.set("dumpsys/battery", CAPPED.format(2100000))
    with opened(Poor(phone), cooldown_s="60") as session:
        handle = session.load(network)
        bursts = [session.time(handle, 0, 3, 60).properties for _ in range(3)]
        assert 0 < bursts[0]["cooled_s"] < 30 and [burst["cooled_s"] for burst in bursts[1:]] == [0, 0]
        assert all(burst["throttled"] == 0 and burst["frequency_cap"] == 2.1 / 2.6 for burst in bursts)
        phone.set("dumpsys/battery", CAPPED.format(1400000))
        session._patience_s = 0
        assert session.time(handle, 0, 3, 60).properties["throttled"] == 1


def test_a_cap_that_appears_with_the_work_is_throttling(phone, network, hasty):
    with opened(Poor(phone), cooldown_s="1") as session:
        handle = session.load(network)
        session.time(handle, 0, 3, 60)
        phone.set("dumpsys/battery", CAPPED.format(2100000))
        properties = session.time(handle, 0, 3, 60).properties
    assert properties["throttled"] == 1 and properties["cooled_s"] >= 1 and "frequency_cap" not in properties
