"""Phones that an adb server knows and cannot use, as the server tells it."""

import socket
import threading

import pytest

from nagsdk.device.description import Device
from nagsdk.errors import DeviceUnavailableError
from nagsdk_android.backend import AndroidBackend
from nagsdk_android.refusals import LostError, refusal

UNAUTHORIZED = (
    "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\nTry 'adb kill-server' if that seems wrong.\n"
    "Otherwise check for a confirmation dialog on your device."
)
NO_RIGHTS = "insufficient permissions for device: user in plugdev group; are your udev rules wrong?\nSee [x]"


class Server:
    """Speaks the part of the protocol of adb servers that comes before a phone is used."""

    def __init__(self, phones):
        self.phones = phones
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            with link:
                if length := link.recv(4, socket.MSG_WAITALL):
                    link.sendall(self.answer(link.recv(int(length, 16), socket.MSG_WAITALL).decode()))

    def answer(self, asked):
        if asked == "host:version":
            return b"OKAY00040029"
        if asked.startswith("host:devices"):
            kind, text = b"OKAY", "".join(f"{serial}\t{listed}\n" for serial, (listed, _) in self.phones.items())
        else:
            listed, said = self.phones[asked.removeprefix("host-serial:").removesuffix(":get-state")]
            kind, text = (b"OKAY", listed) if said is None else (b"FAIL", said)
        return kind + b"%04x" % len(text.encode()) + text.encode()


@pytest.fixture
def told(own_folders, monkeypatch):
    pytest.importorskip("adb_shell")
    pytest.importorskip("adbutils")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    servers = []

    def reason(phones, **options):
        servers.append(Server(phones))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(servers[-1].socket.getsockname()[1]))
        presence = AndroidBackend().presence(Device("d", "d", "android", options=tuple(options.items())))
        assert not presence.available and "kill-server" not in presence.reason
        return presence.reason

    yield reason
    for server in servers:
        server.socket.close()


@pytest.mark.parametrize(
    ("listed", "said", "wrong", "next_step"),
    [
        ("unauthorized", UNAUTHORIZED, "does not know this computer", "Always allow"),
        ("unauthorized", None, "does not know this computer", "Always allow"),
        ("authorizing", "device still authorizing", "does not know this computer", "Always allow"),
        ("no permissions (user in plugdev group); see [x]", NO_RIGHTS, "no permission for its USB port", "udev rules"),
        ("no permissions; see [x]", "no permissions; see [x]", "no permission for its USB port", "udev rules"),
        ("offline", "device offline", "is offline", "USB debugging"),
        ("recovery", None, "has not started Android", "Restart the phone"),
        ("sideload", None, "has not started Android", "Restart the phone"),
        ("bootloader", None, "has not started Android", "Restart the phone"),
        ("device", "device 'R5' not found", "no longer attached", "cable"),
        ("connecting", None, "in the state 'connecting'", "cable"),
        ("device", "\x1b[2Jclosed", r"did not answer: AdbError \x1b[2Jclosed", "cable"),
    ],
)
def test_what_a_server_says_about_a_phone_is_told_with_what_helps(told, listed, said, wrong, next_step):
    reason = told({"R5": (listed, said)})
    assert "R5 by the adb server" in reason and wrong in reason and next_step in reason


def test_a_phone_without_a_readable_serial_number(told):
    reason = told({"????????????": ("no permissions; see [x]", NO_RIGHTS)})
    assert "no permission for its USB port" in reason


def test_a_name_with_spaces_is_read_whole(told):
    name = "adb-2816 (2)._adb-tls-connect._tcp"
    assert f"({name} by the adb server) is offline" in told({name: ("offline", "device offline")})


def test_what_the_user_can_change_is_told_first(told):
    phones = {"emulator-5554": ("offline", "device offline"), "R5": ("unauthorized", UNAUTHORIZED)}
    assert "does not know this computer" in told(phones)
    assert "is offline" in told(phones, serial="emulator-5554")


def test_another_program_at_the_servers_port_is_told_so(told, monkeypatch):
    for answer in (b"HTTP/1.1 400", b"OKAYzzzz", b"OKAY", b"FAIL0005\xff\x1b[2J", b""):
        monkeypatch.setattr(Server, "answer", lambda self, asked, answer=answer: answer)
        assert "does not answer" in (reason := told({})) and "ANDROID_ADB_SERVER_PORT" in reason


@pytest.mark.parametrize(
    ("said", "kind", "wrong"),
    [
        ("DeviceAuthError Device authentication required, no keys available", DeviceUnavailableError, "know this"),
        ("USBErrorAccess LIBUSB_ERROR_ACCESS [-3]", DeviceUnavailableError, "no permission"),
        ("USBErrorBusy LIBUSB_ERROR_BUSY [-6]", DeviceUnavailableError, "another program"),
        ("USBErrorNoDevice LIBUSB_ERROR_NO_DEVICE [-4]", LostError, "no longer attached"),
        ("PushFailedError couldn't create file: Permission denied", LostError, "otherwise"),
        ("x" * 10**6, LostError, "otherwise"),
    ],
)
def test_the_same_is_told_by_usb(said, kind, wrong):
    error = refusal("R5 by USB", said, "otherwise")
    assert type(error) is kind and wrong in error.message
