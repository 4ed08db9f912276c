"""Ways to reach a phone, with one common interface: adb-shell over TCP or USB, and an adb server that already runs."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nagsdk.errors import DeviceUnavailableError
from nagsdk.ranges import PORT
from nagsdk_android.keys import signer
from nagsdk_android.refusals import REPLUG, LostError, refusal

CONNECT_TIMEOUT_S = 5.0
# Seconds that a phone may take beyond the timeout of a command.
GRACE_S = 5.0
# Seconds that a phone may take between two pieces of a file.
_PUSH_TIMEOUT_S = 30.0

# What the packages raise for answers that are cut off or not of the protocol.
_MALFORMED = (EOFError, ValueError, LookupError, AttributeError, AssertionError, struct.error)


class Transport(ABC):
    """A connection to one phone; every method has a timeout.

    Attributes:
        title: How the phone is reached, as text for people.
    """

    title: str

    @abstractmethod
    def connect(self) -> None:
        """Connects, or connects again.

        Raises:
            DeviceUnavailableError: The phone refuses this computer.
            LostError: The phone cannot be reached.
        """

    @abstractmethod
    def shell(self, command: str, silence_s: float) -> Iterator[bytes]:
        """Runs a command and yields what it prints, including standard error, until it ends.

        Args:
            command: Command line for the phone's shell.
            silence_s: Seconds without output after which the phone counts as lost.

        Raises:
            LostError: The connection broke.
        """

    @abstractmethod
    def push(self, source: Path, target: str) -> None:
        """Copies a file to the phone; the caller must check the copy even if no error is raised.

        Raises:
            LostError: The file did not arrive completely.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes the connection, which also ends the commands that it runs on the phone."""


class AdbShell(Transport):
    """A direct connection to a phone by the package adb-shell, which implements ADB's protocol in Python.

    Args:
        title: How the phone is reached, as text for people.
        make: Opens the package's transport.
        key: File of the RSA key by which phones recognise this computer.
    """

    def __init__(self, title: str, make: Callable[[], Any], key: Path) -> None:
        from adb_shell.adb_device import AdbDevice

        self.title = title
        self._key = key
        with _losses(title, "did not answer"):
            self._device = AdbDevice(make(), default_transport_timeout_s=_PUSH_TIMEOUT_S)

    def connect(self) -> None:
        """Connects; a phone that does not know this computer first asks its user for permission."""
        from adb_shell.exceptions import DeviceAuthError, TcpTimeoutException, UsbReadFailedError

        asked: list[bool] = []
        try:
            with _losses(self.title, "did not answer"):
                self._device.connect(
                    [signer(self._key)], CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S, CONNECT_TIMEOUT_S, asked.append
                )
        except (LostError, DeviceUnavailableError) as error:
            self.close()
            waited = isinstance(
                error.__cause__, (DeviceAuthError, TcpTimeoutException, UsbReadFailedError, ConnectionResetError)
            )
            if asked and waited:
                raise refusal(self.title, "unauthorized") from error
            raise

    def shell(self, command: str, silence_s: float) -> Iterator[bytes]:
        """Runs a command by the first version of the shell protocol, which has no exit status."""
        with _losses(self.title, "was lost while a command ran"):
            yield from self._device.streaming_shell(command, silence_s, silence_s, decode=False)

    def push(self, source: Path, target: str) -> None:
        """Copies a file."""
        with _losses(self.title, f"did not take {source.name}"):
            self._device.push(str(source), target, read_timeout_s=_PUSH_TIMEOUT_S)

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(Exception):  # closing a broken connection raises many kinds of errors
            self._device.close()


class AdbServer(Transport):
    """A connection to a phone through an adb server that already runs; the server is never started or stopped.

    Args:
        serial: Serial number of the phone.
        host: Host of the server.
        port: Port of the server.
    """

    def __init__(self, serial: str, host: str, port: int) -> None:
        self.title = f"{serial} by the adb server"
        self._address = (serial, host, port)
        self._running: list[Any] = []

    def _device(self, silence_s: float | None = None) -> Any:
        import adbutils

        serial, host, port = self._address
        if not answers(host, port):  # otherwise adbutils would start a server itself
            raise LostError("The adb server has stopped.", REPLUG)
        return adbutils.AdbClient(host, port, socket_timeout=silence_s).device(serial)

    def connect(self) -> None:
        """Asks the server for the phone's state."""
        with _losses(self.title, "did not answer"):
            state = self._device(CONNECT_TIMEOUT_S).get_state()
        if state != "device":
            raise refusal(self.title, state)

    def shell(self, command: str, silence_s: float) -> Iterator[bytes]:
        """Runs a command."""
        with _losses(self.title, "was lost while a command ran"):
            connection = self._device().open_transport(timeout=silence_s)
            self._running.append(connection)
            try:
                connection.send_command(f"shell:{command}")
                connection.check_okay()
                while data := connection.recv(1 << 16):
                    yield data
            finally:
                self._running.remove(connection)
                connection.close()

    def push(self, source: Path, target: str) -> None:
        """Copies a file."""
        with _losses(self.title, f"did not take {source.name}"):
            self._device(_PUSH_TIMEOUT_S).sync.push(str(source), target)

    def close(self) -> None:
        """Closes the connections of commands that still run."""
        for connection in tuple(self._running):
            connection.close()


def tcp(host: str, port: int, key: Path) -> Transport:
    """A connection to a phone that listens on a TCP port (``adb tcpip``, without TLS)."""
    from adb_shell.transport.tcp_transport import TcpTransport

    class Tcp(TcpTransport):  # type: ignore[misc]
        """Raises an error at the end of the stream, where adb-shell itself would wait for more data."""

        def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
            data = bytes(super().bulk_read(numbytes, transport_timeout_s))
            if numbytes and not data:
                raise ConnectionResetError("the phone closed the connection")
            return data

    return AdbShell(f"{host}:{port}", lambda: Tcp(host, port), key)


def usb(serial: str, key: Path) -> Transport:
    """A connection to a phone on a USB port of this computer."""
    from adb_shell.transport.usb_transport import UsbTransport

    return AdbShell(f"{serial} by USB", lambda: UsbTransport.find_adb(serial=serial), key)


def answers(host: str, port: int) -> bool:
    """Whether a server listens at this address."""
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False


def server_address() -> tuple[str, int]:
    """Host and port of an adb server: the port in adb's variable ANDROID_ADB_SERVER_PORT, else the usual one."""
    given = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    return "127.0.0.1", PORT.parse(given, DeviceUnavailableError) if given else 5037


@contextmanager
def _losses(title: str, what: str) -> Iterator[None]:
    """Turns the many kinds of errors that the packages raise into what they say, or else into a LostError."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (*_link_errors(), *_MALFORMED, OSError)):
            raise
        said = f"{type(error).__name__} {error}".rstrip(" .")
        raise refusal(title, said, f"The phone ({title}) {what}: {said}.") from error


def _link_errors() -> tuple[type[Exception], ...]:
    from adb_shell import exceptions

    kinds = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    if (adbutils := sys.modules.get("adbutils")) is not None:
        kinds.append(adbutils.AdbError)
    if (usb1 := sys.modules.get("usb1")) is not None:
        kinds.append(usb1.USBError)
    return tuple(kinds)
