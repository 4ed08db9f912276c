"""The backend on a virtual phone: the real debug daemon, the real runtime, real faults."""

import dataclasses
import os
import threading
import time

import numpy as np
import pytest

from nagsdk.common.files import sha256
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError
from nagsdk.families.mobilenet_v3.presets import ofa_mobilenet_v3
from nagsdk.graph.trace import trace
from nagsdk.testing import BackendConformance, random_subnet, small_space
from nagsdk_android import discovery, tool
from nagsdk_android import session as session_module
from nagsdk_android.backend import AndroidBackend
from nagsdk_android.discovery import find
from nagsdk_android.phone import Phone
from nagsdk_android.refusals import LostError
from nagsdk_android.settings import AndroidSettings
from nagsdk_android.transport import tcp
from tests.plugins.android.virtual import TOOL, VirtualPhone

SPACE = small_space()
ARCHITECTURE = SPACE.architecture(resolution=32, depths=(1, 1), kernels=(7, 3), expansions=(2, 2))


def device_of(phone, **options):
    return Device("virtual", "a virtual phone", "android", options=(("serial", phone.serial), *options.items()))


@pytest.fixture
def device(phone):
    return device_of(phone)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.tflite"
    AndroidBackend().export(trace(random_subnet(SPACE, ARCHITECTURE), 32), path, Device("d", "d", "android"))
    return path


@pytest.fixture
def connected(phone):
    with Phone(tcp("127.0.0.1", int(phone.serial.split(":")[1]), tool.folder() / "adbkey")) as connection:
        yield connection


class TestConformance(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return AndroidBackend()

    @pytest.fixture
    def device(self, phone) -> Device:
        return device_of(phone)


def test_a_burst_contains_the_state_of_the_phone(device, network):
    with AndroidBackend().open(device) as session:
        burst = session.time(session.load(network), 1, 7, 60)
    assert len(burst.wall_ms) == 7 and burst.cpu_ms == ()
    assert (
        burst.properties["thermal_status"] == 0
        and burst.properties["battery_c"] == 25.1
        and burst.properties["throttled"] == 0
    )
    assert burst.properties["init_ms"] > 0 and burst.properties["memory_mb"] == pytest.approx(12.8 * 2**20 / 1e6)


def test_discovery_reads_the_properties_of_the_phone(device):
    properties = AndroidBackend().presence(device).properties
    expected = {
        "model": "Virtual Phone",
        "soc": "virtual",
        "abi": "x86_64",
        "android": "14",
        "phone_serial": "virtual-1",
        "delegate": "xnnpack",
    }
    assert expected.items() <= properties.items()
    assert not AndroidBackend().presence(device_of_model(device, "Pixel*")).available


def test_phones_of_one_model_count_as_one_only_if_the_description_says_so(phone, device):
    def fingerprints():
        return [AndroidBackend().presence(one).fingerprint for one in (device, device_of(phone, identity="model"))]

    alone, of_model = fingerprints()
    serial = phone.get("getprop/ro.serialno")
    try:
        phone.set("getprop/ro.serialno", "virtual-2\n")
        other, same = fingerprints()
    finally:
        phone.set("getprop/ro.serialno", serial)
    assert alone != other and of_model == same


LINKER = "WARNING: linker: /system/bin/sh: unused DT entry: type 0x6ffffffe arg 0x13c0\n"


def test_noise_of_a_phone_is_no_property(phone, device):
    phone.set("noise", LINKER * 3)
    expected = {"model": "Virtual Phone", "abi": "x86_64", "soc": "virtual"}
    assert expected.items() <= AndroidBackend().presence(device).properties.items()


def test_a_name_with_escape_codes_line_ends_and_no_end_is_shown_in_one_short_line(phone, device):
    try:
        phone.set("getprop/ro.product.model", "\x1b[2JSM-G9\r\n35F 小米\x07" + 9999 * "x")
        model = AndroidBackend().presence(device).properties["model"]
        assert model.startswith(r"\x1b[2JSM-G9 35F 小米\x07x") and len(model) == 256
    finally:
        phone.set("getprop/ro.product.model", "Virtual Phone\n")


def test_a_phone_that_says_nothing_about_itself_is_told_so(phone, device, monkeypatch):
    monkeypatch.setattr(discovery, "_PROPERTIES", {"ro.none": "model"})
    monkeypatch.setattr(discovery, "_CHIP", ())
    assert "does not say what it is" in AndroidBackend().presence(device).reason


def device_of_model(device, model):
    return dataclasses.replace(device, options=(*device.options, ("model", model)))


def test_the_same_phone_at_another_address_is_the_same_device(phone, device):
    first = AndroidBackend().presence(device)
    with_other_settings = AndroidBackend().presence(device_of(phone, delegate="none"))
    assert first.fingerprint != with_other_settings.fingerprint
    assert find(AndroidSettings.of(device)).serial == phone.serial


def test_without_a_tool_the_phone_cannot_measure(phone, device):
    tool._place("any").joinpath("benchmark_model").write_bytes(b"another")
    assert "not the file that was recorded" in AndroidBackend().presence(device).reason
    tool.install(TOOL)
    assert AndroidBackend().presence(device).available


class TestCommands:
    def test_output_and_status_are_exact(self, connected):
        assert connected.run("printf 'a\\nb'").text == "a\nb"
        assert (
            connected.run("echo out; echo err >&2; exit 42").text == "out\nerr\n"
            and connected.run("exit 42").status == 42
        )
        assert connected.run("sh -c 'kill -SEGV $$'").status == 139
        assert connected.run("true").text == ""

    def test_line_ends_warnings_of_the_linker_and_escape_codes_do_not_reach_the_caller(self, connected):
        noise = f"echo '{LINKER.strip()}' >&2"
        assert connected.run(f"{noise}; printf 'a\\r\\r\\nb\\r\\n'; {noise}").text == "a\nb\n"
        assert connected.run("printf '\\033[2Ja\\rb'").text == r"\x1b[2Ja\rb"

    def test_a_command_that_hangs_is_abandoned(self, connected):
        start = time.monotonic()
        with pytest.raises(DeviceError):
            connected.run("sleep 30", timeout_s=0.2)
        assert time.monotonic() - start < 25
        connected.reconnect()
        assert connected.run("echo back").text == "back\n"

    def test_a_command_that_prints_without_end_is_stopped(self, connected):
        with pytest.raises(MeasurementError, match="printed more than"):
            connected.run("while echo no end; do :; done", most_output=10_000)
        connected.reconnect()

    def test_names_are_never_commands(self, connected, tmp_path):
        source = tmp_path / "file"
        source.write_bytes(b"content")
        target = connected.put(source, "a b; touch oops; $(touch oops)'\"")
        assert connected.run("cat /data/local/tmp/nagsdk-*/a*").text == "content"
        assert connected.run("ls oops").status != 0 and target.startswith(connected.folder)


class TestPush:
    def test_the_copy_is_equal_to_the_file(self, phone, connected, tmp_path):
        source = tmp_path / "file"
        source.write_bytes(np.random.default_rng(0).bytes(3_000_000))
        target = connected.put(source, "file")
        assert connected.run(f"sha256sum {target}").text.startswith(sha256(source))
        assert [p for p in phone.files() if p.endswith(".part")] == []

    def test_a_daemon_that_dies_during_a_push_leaves_no_incomplete_file(self, phone, connected, tmp_path):
        source = tmp_path / "file"
        source.write_bytes(bytes(60_000_000))
        phone.kill_when(lambda: any(p.endswith(".part") for p in phone.files()))
        with pytest.raises(LostError) as caught:
            connected.put(source, "file")
        assert caught.value.next_step
        assert [p for p in phone.files() if p.endswith(".part")] == []
        assert connected.run(f"stat -c %s {connected.put(source, 'file')}").text.strip() == "60000000"

    @pytest.mark.parametrize(
        ("megabytes", "earlier"), [(1, False), (12, False), pytest.param(12, True, marks=pytest.mark.nightly)]
    )
    def test_a_full_phone_is_reported(self, own_folders, tmp_path, megabytes, earlier):
        from tests.plugins.android.virtual import missing

        if reason := missing():
            pytest.skip(reason)
        phone = VirtualPhone(megabytes=megabytes)
        try:
            source = tmp_path / "file"
            source.write_bytes(np.random.default_rng(0).bytes(megabytes * 1_200_000))
            with Phone(tcp("127.0.0.1", int(phone.serial.split(":")[1]), tool.folder() / "adbkey")) as connection:
                if earlier:
                    small = tmp_path / "small"
                    small.write_bytes(b"it has room for this")
                    connection.put(small, "small")
                with pytest.raises(DeviceError, match="no room for file") as caught:
                    connection.put(source, "file")
                assert "Free some space" in caught.value.next_step
                assert [p for p in phone.files() if "file" in p] == []
            assert phone.files() == []
        finally:
            phone.close()


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("garbage", "incomplete"),
            ("crash", "incomplete|status 139"),
            ("flood", "printed more than"),
            ("hang", "within 2 s"),
        ],
    )
    def test_a_tool_that_misbehaves_is_an_error_and_the_session_lives_on(self, phone, device, network, fault, message):
        with AndroidBackend().open(device) as session:
            handle = session.load(network)
            phone.set("fault", fault)
            with pytest.raises(MeasurementError, match=message) as caught:
                session.time(handle, 0, 3, 2.0)
            assert caught.value.next_step
            phone.heal()
            assert len(session.time(handle, 0, 3, 60).wall_ms) == 3

    def test_a_measurement_survives_the_death_of_the_daemon(self, phone, device, network):
        with AndroidBackend().open(device) as session:
            handle = session.load(network)
            session.time(handle, 0, 1, 60)
            before = phone.connections
            threading.Timer(0.3, lambda: phone.say("kill")).start()
            assert len(session.time(handle, 0, 9, 60).wall_ms) == 9
            assert phone.connections > before

    def test_a_phone_that_does_not_come_back_is_reported(self, phone, device, network, monkeypatch):
        monkeypatch.setattr(Phone.reconnect, "__defaults__", (1.0,))
        with AndroidBackend().open(device) as session:
            handle = session.load(network)
            session.time(handle, 0, 1, 60)
            phone.say("stop")
            with pytest.raises(DeviceError) as caught:
                session.time(handle, 0, 3, 60)
            assert "cable" in caught.value.next_step
            phone.say("start")

    def test_a_delegate_that_runs_only_a_part_is_refused_unless_allowed(self, phone, network):
        with AndroidBackend().open(device_of(phone, delegate="gpu")) as session:
            with pytest.raises(DeviceError, match="gpu delegate runs only a part") as caught:
                session.time(session.load(network), 0, 3, 60)
            assert "allow_fallback" in caught.value.next_step
        with AndroidBackend().open(device_of(phone, delegate="gpu", allow_fallback="1")) as session:
            assert len(session.time(session.load(network), 0, 3, 60).wall_ms) == 3

    def test_a_throttled_phone_may_cool_down_and_is_measured_again(self, phone, device, network, monkeypatch):
        monkeypatch.setattr(session_module, "_POLL_S", 0.2)
        with AndroidBackend().open(device) as session:
            handle = session.load(network)
            phone.set("throttle_after", 0)
            cool = session._cool
            monkeypatch.setattr(session, "_cool", lambda: phone.heal() or cool())
            burst = session.time(handle, 0, 3, 60)
        assert burst.properties["throttled"] == 0 and burst.properties["cooled_s"] > 0

    def test_a_phone_that_does_not_cool_down_is_measured_and_marked(self, phone, network):
        phone.set("throttle_after", 0)
        with AndroidBackend().open(device_of(phone, cooldown_s="1")) as session:
            handle = session.load(network)
            burst = session.time(handle, 0, 3, 60)
            assert burst.properties["throttled"] == 1 and burst.properties["thermal_status"] == 3
            start = time.monotonic()
            session.time(handle, 0, 1, 60)
            assert time.monotonic() - start < 30

    def test_nothing_stays_on_a_phone_whose_tool_never_ends(self, phone, device, network):
        phone.set("fault", "flood")
        with AndroidBackend().open(device) as session, pytest.raises(MeasurementError, match="printed more than"):
            session.time(session.load(network), 0, 3, 30.0)
        assert phone.files() == []

    def test_networks_leave_the_phone_when_they_are_unloaded(self, phone, device, network):
        with AndroidBackend().open(device) as session:
            handle = session.load(network)
            session.time(handle, 0, 1, 60)
            assert any(p.endswith(".tflite") for p in phone.files())
            session.unload(handle)
            assert not any(p.endswith(".tflite") for p in phone.files())


def test_an_address_where_nothing_listens(own_folders):
    pytest.importorskip("adb_shell")
    device = Device("d", "d", "android", options=(("serial", "127.0.0.1:1"),))
    assert "did not answer" in AndroidBackend().presence(device).reason
    with pytest.raises(DeviceUnavailableError):
        AndroidBackend().open(device)


def test_a_private_key_is_private(own_folders):
    pytest.importorskip("adb_shell")
    from nagsdk_android.keys import signer

    path = tool.folder() / "adbkey"
    umask = os.umask(0)
    try:
        signer(path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600 and path.with_suffix(".pub").is_file()
    assert sorted(p.name for p in path.parent.iterdir()) == ["adbkey", "adbkey.pub"]
    first = path.read_bytes()
    signer(path)
    assert path.read_bytes() == first
    path.chmod(0o644)
    with pytest.raises(DeviceError, match="Other users may read"):
        signer(path)
    path.chmod(0o600)
    path.write_text("torn")
    with pytest.raises(DeviceError, match="not a valid RSA key"):
        signer(path)


def test_an_interrupted_push_is_repeated(phone, device, tmp_path):
    space = ofa_mobilenet_v3()
    architecture = space.architecture(resolution=160, depths=[2] * 5, kernels=[3] * 10, expansions=[3] * 10)
    path = tmp_path / "large.tflite"
    AndroidBackend().export(trace(space.build(architecture).eval(), 160), path, device)
    with AndroidBackend().open(device) as session:
        handle = session.load(path)
        killed = phone.kill_when(lambda: any(p.endswith(".tflite.part") for p in phone.files()))
        assert len(session.time(handle, 0, 3, 60).wall_ms) == 3
        assert killed.is_set()
