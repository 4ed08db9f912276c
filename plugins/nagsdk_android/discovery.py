"""Which phones are attached, and what they are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from nagsdk.common.pip import pip
from nagsdk.errors import DeviceError, DeviceUnavailableError
from nagsdk_android import tool
from nagsdk_android.settings import AndroidSettings
from nagsdk_android.transport import AdbServer, LostError, Transport, answers, server_address, tcp, usb

# Android's property -> ours.
_PROPERTIES = {
    "ro.product.model": "model",
    "ro.product.manufacturer": "manufacturer",
    "ro.product.cpu.abi": "abi",
    "ro.build.version.release": "android",
    "ro.build.fingerprint": "build",
    "ro.serialno": "phone_serial",
}
# The system on the chip has had three names.
_CHIP = ("ro.soc.model", "ro.board.platform", "ro.hardware")
_PLUG_IN = (
    "Plug a phone in, switch on 'USB debugging' in its developer options, unlock it and answer 'Allow USB debugging?'; "
    "docs/android.md goes through it."
)


@dataclass(frozen=True)
class Attached:
    """A phone that answers.

    Attributes:
        serial: By which it is named.
        properties: Facts of it.
        transport: Makes a fresh, unconnected transport.
    """

    serial: str
    properties: dict[str, str]
    transport: Callable[[], Transport]


def find(settings: AndroidSettings) -> Attached:
    """The one phone that is meant.

    An address is connected to; otherwise an adb server that already runs knows the phones, since it holds their USB
    ports; without one they are looked for by USB. No server is ever started or ended.

    Raises:
        DeviceUnavailableError: There is none, it does not let this computer in, or several could be meant.
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
            f"{len(found)} phones are attached: {names}.", "Name one with --serial, or in ANDROID_SERIAL."
        )
    if found:
        return found[0]
    if refused:
        raise DeviceUnavailableError(refused[0].message, refused[0].next_step) from refused[0]
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
                "An adb server holds the phones, and adbutils is not installed.",
                f"End the server (adb kill-server), or install it: {pip('install', 'nagsdk[android]')}",
            )
        import adbutils

        try:
            serials = [info.serial for info in adbutils.AdbClient(host, port).list()]
        except (adbutils.AdbError, OSError) as error:
            raise DeviceUnavailableError(
                f"The adb server does not answer: {error}.", "Restart it: adb kill-server, then adb devices."
            ) from error
        return {serial: lambda serial=serial: AdbServer(serial, host, port) for serial in serials}  # type: ignore[misc]
    return {serial: lambda serial=serial: usb(serial, key) for serial in _usb_serials()}  # type: ignore[misc]


def _usb_serials() -> list[str]:
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError):  # libusb is a library of the system
        return []
    try:
        return [str(device.serial_number) for device in UsbTransport.find_all_adb_devices()]
    except Exception as error:  # whatever libusb makes of a port that may not be opened
        raise DeviceUnavailableError(
            f"The USB ports cannot be read: {error}.",
            "Start an adb server, or give your user the right to use them: "
            "on Linux by the udev rules of Android, on Windows by the driver WinUSB.",
        ) from error


def describe(transport: Transport) -> dict[str, str]:
    """What a phone is.

    Raises:
        DeviceUnavailableError: It does not let this computer in.
        LostError: It does not answer.
    """
    from nagsdk_android.phone import Phone

    names = [*_PROPERTIES, *_CHIP]
    with Phone(transport) as phone:
        values = phone.checked("; ".join(f'echo "$(getprop {name})"' for name in names), "tell what it is").splitlines()
    if len(values) != len(names):
        raise LostError("The phone does not tell what it is.", "Restart it.")
    told = {name: value.strip() for name, value in zip(names, values, strict=True)}
    facts = {ours: told[name] for name, ours in _PROPERTIES.items() if told[name]}
    chip = next((told[name] for name in _CHIP if told[name]), "unknown")
    return {"model": "unknown", "abi": "unknown", **facts, "soc": chip}
