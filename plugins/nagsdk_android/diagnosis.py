"""What `nagsdk doctor` checks for Android: the packages for ADB, an adb server and benchmark_model."""

from __future__ import annotations

import importlib.util
import shutil

from nagsdk.common.pip import pip
from nagsdk.device.finding import ABSENT, OK, WRONG, Finding
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_android import tool
from nagsdk_android.transport import answers, server_address


def diagnose() -> list[Finding]:
    """Checks the packages for ADB, whether an adb server runs, and benchmark_model for 64-bit ARM phones."""
    return [*_packages(), _server(), _tool()]


def _install() -> str:
    return pip("install", "nagsdk[android]")


def _packages() -> list[Finding]:
    if importlib.util.find_spec("adb_shell") is None:
        return [Finding("adb", ABSENT, "adb-shell, which talks to phones, is not installed.", _install())]
    if importlib.util.find_spec("usb1") is None:
        return [
            Finding(
                "adb",
                ABSENT,
                "libusb1 is not installed: phones can be reached only through an adb server or by address.",
                _install(),
            )
        ]
    return [
        Finding(
            "adb",
            OK,
            "adb-shell and libusb1 are installed: phones can be reached by USB, by address or through an adb server.",
        )
    ]


def _server() -> Finding:
    host, port = server_address()
    program = shutil.which("adb")
    if not answers(host, port):
        found = f"adb is at {program}" if program else "the adb program is not installed, and is not needed"
        return Finding("adb", OK, f"No adb server is running ({found}): phones are looked for by USB.")
    if importlib.util.find_spec("adbutils") is None:
        return Finding(
            "adb",
            WRONG,
            f"An adb server on port {port} holds the phones, but adbutils, which talks to it, is not installed.",
            _install(),
        )
    return Finding("adb", OK, f"An adb server is running on port {port}: phones are reached through it.")


def _tool() -> Finding:
    try:
        path, digest = tool.find(tool.DOWNLOADED_ABI)
    except DeviceUnavailableError as error:
        return Finding("adb", ABSENT, error.message, "nagsdk android setup")
    except DeviceError as error:
        return Finding("adb", WRONG, error.message, "nagsdk android setup")
    return Finding("adb", OK, f"benchmark_model for {tool.DOWNLOADED_ABI} phones is at {path} (sha256 {digest[:16]}…).")
