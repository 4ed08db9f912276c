"""Phones behind an adb server that already runs, and phones that do not know this computer."""

import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from nagsdk.device.description import Device
from nagsdk.graph.trace import trace
from nagsdk.testing import random_subnet, small_space
from nagsdk_android import tool
from nagsdk_android.backend import AndroidBackend
from nagsdk_android.transport import answers
from tests.plugins.android.virtual import HERE, TOOL, VirtualPhone, missing

ADBKIT = Path(os.environ.get("NAGSDK_ADBKIT", Path(tempfile.gettempdir()) / "nagsdk-adbkit"))


def device(**options):
    return Device("d", "any phone", "android", options=tuple(options.items()))


@pytest.fixture
def adb(tmp_path, monkeypatch):
    """A separate adb server on a free port, with the adb that adbutils contains; the user's server is left alone."""
    if reason := missing():
        pytest.skip(reason)
    spec = importlib.util.find_spec("adbutils")
    program = Path(spec.origin).parent / "binaries" / "adb" if spec else Path("adb")
    if not program.is_file():
        pytest.skip("adbutils is not installed, or contains no adb for this system: pip install 'nagsdk[android]'")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path), "ADB_MDNS_AUTO_CONNECT": "", "ADB_LIBUSB": "0"}
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)

    def run(*arguments):
        return subprocess.run(
            [program, "-P", str(port), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    server = subprocess.Popen(
        [program, "-P", str(port), "nodaemon", "server"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            if answers("127.0.0.1", port):
                break
            assert server.poll() is None, "adb did not start"
            threading.Event().wait(0.05)
        yield run
    finally:
        run("kill-server")
        server.kill()
        server.wait()


@pytest.fixture
def two_phones(adb, own_folders):
    phones = [VirtualPhone(model=model, serial=serial) for model, serial in (("Pixel 2", "one"), ("Note10", "two"))]
    try:
        for phone in phones:
            assert "connected" in adb("connect", phone.serial).stdout
        tool.install(TOOL)
        yield phones
    finally:
        for phone in phones:
            phone.close()


def test_two_phones_of_a_server(two_phones, tmp_path):
    backend = AndroidBackend()
    presence = backend.presence(device())
    assert not presence.available and "2 phones are attached" in presence.reason
    assert "--serial" in presence.reason and "Pixel 2" in presence.reason
    pixel = device(model="Pixel*")
    assert backend.presence(pixel).properties["phone_serial"] == "one"
    assert backend.presence(device(model="note*")).properties["phone_serial"] == "two"
    assert "of the model Galaxy" in backend.presence(device(model="Galaxy")).reason
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(3, 3), expansions=(2, 2))
    backend.export(trace(random_subnet(space, architecture), 32), tmp_path / "n.tflite", pixel)
    with backend.open(pixel) as session:
        handle = session.load(tmp_path / "n.tflite")
        assert len(session.time(handle, 0, 4, 60).wall_ms) == 4
        assert any(p.endswith(".tflite") for p in two_phones[0].files()) and two_phones[1].files() == []
    assert two_phones[0].files() == []


def test_a_server_without_phones_is_asked_and_not_stopped(adb):
    reason = AndroidBackend().presence(device()).reason
    assert "No phone is attached" in reason and "USB debugging" in reason
    assert "List of devices" in adb("devices").stdout


def test_the_serial_may_be_set_in_adbs_variable(two_phones, monkeypatch):
    monkeypatch.setenv("ANDROID_SERIAL", two_phones[1].serial)
    assert AndroidBackend().presence(device()).properties["phone_serial"] == "two"


def refusing(server):
    """A phone whose user never answers: it asks for a signature, does not know it, and then sends nothing more."""
    token = bytes(20)
    link, _ = server.accept()
    with link:
        while header := link.recv(24, socket.MSG_WAITALL):
            command, kind, _, length, _, _ = struct.unpack("<6I", header)
            link.recv(length, socket.MSG_WAITALL)
            if command == int.from_bytes(b"AUTH", "little") and kind == 3:
                link.recv(1)
                return
            magic = int.from_bytes(b"AUTH", "little")
            link.sendall(struct.pack("<6I", magic, 1, 0, len(token), sum(token), magic ^ 0xFFFFFFFF) + token)


def test_a_phone_that_does_not_know_this_computer(own_folders, monkeypatch):
    pytest.importorskip("adb_shell")
    monkeypatch.setattr("nagsdk_android.transport.CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=refusing, args=(server,), daemon=True).start()
        presence = AndroidBackend().presence(device(serial=f"127.0.0.1:{server.getsockname()[1]}"))
    assert not presence.available
    assert "does not know this computer" in presence.reason and "Always allow" in presence.reason


@pytest.fixture
def asking(adb, own_folders, tmp_path):
    """A phone that asks for keys: its serial, the file of the keys that it knows, and the output of its bridge."""
    if not (ADBKIT / "node_modules/@devicefarmer/adbkit").is_dir() or shutil.which("node") is None:
        pytest.skip(
            f"no adbkit in {ADBKIT}, or no node: run tests/plugins/android/fetch_adbkit.sh {ADBKIT}, "
            "or set NAGSDK_ADBKIT"
        )
    phone, known = VirtualPhone(), tmp_path / "known"
    known.touch()
    bridge = None
    try:
        assert "connected" in adb("connect", phone.serial).stdout
        tool.install(TOOL)
        port = os.environ["ANDROID_ADB_SERVER_PORT"]
        bridge = subprocess.Popen(
            ["node", HERE / "bridge.js", ADBKIT, port, phone.serial, known],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        word, port = bridge.stdout.readline().split()
        assert word == "port"
        yield f"127.0.0.1:{port}", known, bridge.stdout
    finally:
        if bridge is not None:
            bridge.kill()
            bridge.communicate()
        phone.close()


def test_a_phone_that_asks_for_this_computers_key(asking, tmp_path):
    serial, known, bridge_output = asking
    backend, bridged = AndroidBackend(), device(serial=serial)
    presence = backend.presence(bridged)
    assert not presence.available
    assert "does not know this computer" in presence.reason and "Always allow" in presence.reason
    word, fingerprint = bridge_output.readline().split()
    assert word == "asked"
    known.write_text(f"{fingerprint}\n")  # the user answers "Always allow"
    assert backend.presence(bridged).properties["phone_serial"] == "virtual-1"
    space = small_space()
    architecture = space.architecture(resolution=32, depths=(1, 1), kernels=(3, 3), expansions=(2, 2))
    backend.export(trace(random_subnet(space, architecture), 32), tmp_path / "n.tflite", bridged)
    with backend.open(bridged) as session:
        assert len(session.time(session.load(tmp_path / "n.tflite"), 0, 4, 60).wall_ms) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"serials": "x"},
        {"delegate": "nnapi"},
        {"allow_fallback": "yes"},
        {"cores": "2,3"},
        {"cooldown_s": "-1"},
        {"identity": "shelf"},
    ],
)
def test_unknown_options_are_refused(own_folders, options):
    reason = AndroidBackend().presence(device(**options)).reason
    assert "are not valid for this backend" in reason or "cannot be -1" in reason


def test_missing_packages_are_named(own_folders, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "adb-shell is not installed" in AndroidBackend().presence(device()).reason
