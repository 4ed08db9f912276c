"""Finds the attached phones and reads what kind of phone each one is."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_android import tool
from nagsdk_android.settings import AndroidSettings
from nagsdk_android.transport import CONNECT_TIMEOUT_S, AdbServer, Transport, answers, server_address, tcp, usb

# Android's name of a property -> our name.
_PROPERTIES = {
    "ro.product.model": "model",
    "ro.product.manufacturer": "manufacturer",
    "ro.product.cpu.abi": "abi",
    "ro.build.version.release": "android",
    "ro.build.fingerprint": "build",
    "ro.serialno": "phone_serial",
}
# The property that names the system on a chip has had three names; the first one that is set counts.
_CHIP = ("ro.soc.model", "ro.board.platform", "ro.hardware")
_MOST_OUTPUT = 1 << 16
_LONGEST = 256
_PLUG_IN = (
    "Plug in a phone, switch on 'USB debugging' in its developer options, unlock it and accept 'Allow USB debugging?'; "
    "docs/android.md explains each step."
)


@dataclass(frozen=True)
class Attached:
    """An attached phone that has answered.

    Attributes:
        serial: The serial number or address by which the phone is named.
        properties: Facts about the phone, such as its model and Android version.
        transport: Creates a new transport to the phone, not connected yet.
    """

    serial: str
    properties: dict[str, str]
    transport: Callable[[], Transport]


def find(settings: AndroidSettings) -> Attached:
    """Finds the one phone that the settings describe.

    If the serial is an address, that address is used. Otherwise, if an adb server is running, it is asked for its
    phones, because it holds their USB ports. Without a server the phones are looked for by USB. An adb server is never
    started or stopped.

    Raises:
        DeviceUnavailableError: No phone fits, the phone does not accept this computer, or several phones fit.
    """
    if importlib.util.find_spec("adb_shell") is None:
        raise DeviceUnavailableError("adb-shell is not installed.", f"Install it: {pip('install', 'nagsdk[android]')}")
    candidates = _candidates(settings)
    if settings.serial:
        candidates = {serial: make for serial, make in candidates.items() if serial == settings.serial}
    found, refused = [], []
    for serial, make in candidates.items():
        try:
            properties = describe(make())
        except DeviceError as error:
            refused.append(error)
            continue
        if settings.fits(properties["model"]):
            found.append(Attached(serial, properties, make))
    if len(found) > 1:
        names = ", ".join(f"{phone.serial} ({phone.properties['model']})" for phone in found)
        raise DeviceUnavailableError(
            f"{len(found)} phones are attached: {names}.", "Choose one with --serial, or set ANDROID_SERIAL."
        )
    if found:
        return found[0]
    if refused:
        # What only the user can change is told before what may pass.
        first = min(refused, key=lambda error: not isinstance(error, DeviceUnavailableError))
        raise DeviceUnavailableError(first.message, first.next_step) from first
    which = (
        f" {settings.serial}"
        if settings.serial
        else ""
        if "*" in settings.model
        else f" of the model {' or '.join(settings.model)}"
    )
    raise DeviceUnavailableError(f"No phone{which} is attached.", _PLUG_IN)


def _candidates(settings: AndroidSettings) -> dict[str, Callable[[], Transport]]:
    key = tool.folder() / "adbkey"
    if settings.address is not None:
        host, port = settings.address
        return {settings.serial: lambda: tcp(host, port, key)}
    host, port = server_address()
    if answers(host, port):
        if importlib.util.find_spec("adbutils") is None:
            raise DeviceUnavailableError(
                "An adb server holds the phones, but adbutils, which talks to it, is not installed.",
                f"Stop the server (adb kill-server), or install adbutils: {pip('install', 'nagsdk[android]')}",
            )
        import adbutils

        try:
            # Names of phones that use wireless debugging may contain spaces, which adbutils' own list ends at.
            with adbutils.AdbClient(host, port, CONNECT_TIMEOUT_S).make_connection() as connection:
                connection.send_command("host:devices")
                connection.check_okay()
                listed = connection.read_string_block().splitlines()
        except (adbutils.AdbError, OSError, ValueError) as error:
            raise DeviceUnavailableError(
                f"The adb server on port {port} does not answer: {error}.",
                "Check that `adb devices` works; if another program listens on this port, name the port of the server "
                "in ANDROID_ADB_SERVER_PORT.",
            ) from error
        serials = [serial.strip() for serial, tab, _ in (line.partition("\t") for line in listed) if tab]
        return {serial: lambda serial=serial: AdbServer(serial, host, port) for serial in serials}  # type: ignore[misc]
    return {serial: lambda serial=serial: usb(serial, key) for serial in _usb_serials()}  # type: ignore[misc]


def _usb_serials() -> list[str]:
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError):  # libusb is a system library, which may be missing
        return []
    serials, closed = [], None
    try:
        for device in UsbTransport.find_all_adb_devices():
            try:
                serials.append(str(device.serial_number))
            except Exception as error:  # libusb raises many kinds of errors for a port that it may not open
                closed = error
    except Exception as error:
        closed = error
    if closed is not None and not serials:  # a port that cannot be read does not hide the phones at other ports
        raise DeviceUnavailableError(
            f"The USB ports cannot be read: {closed}.",
            "Start an adb server, or give your user the right to use the ports: on Linux by installing Android's udev "
            "rules, on Windows by installing the driver WinUSB.",
        ) from closed
    return serials


def describe(transport: Transport) -> dict[str, str]:
    """Reads the properties of a phone: model, manufacturer, ABI, Android version, chip and more.

    Raises:
        DeviceUnavailableError: The phone does not accept this computer, or says nothing about itself.
        LostError: The phone does not answer.
    """
    from nagsdk_android.phone import Phone

    names, mark = [*_PROPERTIES, *_CHIP], secrets.token_hex(12)
    asked = "".join(f"echo {mark}; getprop {name} 2>/dev/null; " for name in names)
    with Phone(transport) as phone:
        said = phone.run(f"{asked}echo {mark}", most_output=_MOST_OUTPUT).text
    # Shells of some phones print lines of their own, and a property may hold any text; so values are between marks.
    values = [" ".join(value.split())[:_LONGEST] for value in said.split(mark)[1:-1]]
    if len(values) != len(names) or not any(values):
        raise DeviceUnavailableError(
            f"The phone ({transport.title}) does not say what it is: its program getprop printed nothing usable.",
            "Check that Android has started on it, and that `adb shell getprop` lists its properties.",
        )
    properties = dict(zip(names, values, strict=True))
    facts = {ours: properties[name] for name, ours in _PROPERTIES.items() if properties[name]}
    chip = next((properties[name] for name in _CHIP if properties[name]), "unknown")
    return {"model": "unknown", "abi": "unknown", **facts, "soc": chip}
