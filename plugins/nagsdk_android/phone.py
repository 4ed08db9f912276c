"""A phone that files are put on and commands are run on, with nothing left to chance."""

from __future__ import annotations

import secrets
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nagsdk.common.files import sha256
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError
from nagsdk_android.transport import GRACE_S, LostError, Transport

FOLDER = "/data/local/tmp"
_PREFIX = "nagsdk-"
_ROOM = f"df -k {FOLDER}"
_DAMAGED = "damaged"
_COMMAND_TIMEOUT_S = 20.0
_MOST_OUTPUT = 1 << 20
_KILLED = 137
# A daemon that was restarted is back within a second or two, a phone that was plugged in again within some ten.
_RECONNECT_S = 20.0
_LAST_RECONNECT_S = 5.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Output:
    """What a command printed, standard error included, and its exit status."""

    text: str
    status: int


class TimeoutOnDeviceError(MeasurementError):
    """A command was ended because it took too long."""


class Phone:
    """One phone, connected; what is put on it lies in a folder of its own, which `close` removes.

    Args:
        transport: Not yet connected.

    Raises:
        DeviceUnavailableError: The phone refuses this computer.
        LostError: It cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._name = f"{_PREFIX}{secrets.token_hex(6)}"
        self.folder = f"{FOLDER}/{self._name}"
        self._used = self._has_folder = False
        transport.connect()

    def run(self, command: str, timeout_s: float = _COMMAND_TIMEOUT_S, most_output: int = _MOST_OUTPUT) -> Output:
        """Runs a command of the phone's shell.

        The exit status follows the output behind a word that no command can know, since the shell protocol has none.
        What takes too long or prints too much is ended.

        Args:
            command: Quote what comes from elsewhere with `shlex.quote`; end what may hang with `limited`.
            timeout_s: Seconds for all of it.
            most_output: Bytes that it may print.

        Raises:
            TimeoutOnDeviceError: It took longer.
            MeasurementError: It printed more.
            LostError: The connection broke.
        """
        mark = secrets.token_hex(12).encode()
        deadline = time.monotonic() + timeout_s + GRACE_S
        output = b""
        stream = self._transport.shell(f"({command}) 2>&1; s=$?; echo; echo {mark.decode()}:$s", timeout_s + GRACE_S)
        for data in stream:
            output += data
            if len(output) > most_output or time.monotonic() > deadline:
                break
        text, found, status = output.rpartition(mark + b":")
        if found and status.strip().isdigit():
            # A terminal on the way, as older phones put one, writes its own ends of lines.
            told = text.decode(errors="replace").replace("\r\n", "\n").removesuffix("\n")
            return Output(told, int(status))
        self._transport.close()
        if len(output) > most_output:
            raise MeasurementError(
                f"The phone printed more than {most_output} bytes.", "See that the tool on it is benchmark_model."
            )
        if time.monotonic() > deadline:
            raise TimeoutOnDeviceError(
                f"The phone did not end a command within {timeout_s:g} s.", "Allow more time, or restart the phone."
            )
        raise LostError(
            "The phone ended the connection while a command ran.", "Start again: what was measured is kept."
        )

    def checked(self, command: str, what: str) -> str:
        """Runs a command that must succeed.

        Raises:
            DeviceError: It did not; says what it was for, and what it printed.
        """
        output = self.run(command)
        if output.status:
            raise _failed(what, output)
        return output.text

    def put(self, source: Path, name: str, executable: bool = False) -> str:
        """Copies a file into the phone's folder, whole or not at all, and returns its path there.

        Args:
            source: The file.
            name: Of the copy.
            executable: Whether it shall be run.

        Raises:
            DeviceError: The phone has no room, or what arrived is not what was sent.
            LostError: The connection broke.
        """
        target = f"{self.folder}/{name}"
        part, size = f"{target}.part", source.stat().st_size
        folder, there, ready = (shlex.quote(path) for path in (self.folder, part, target))
        # Every command is a journey of its own; later on, a phone that has no room says so by what it does not take.
        self._used = True
        if not self._has_folder:
            _check_room(
                source,
                self.checked(f"mkdir -p {folder} && chmod 755 {folder} && {{ {_ROOM}; true; }}", "make a folder"),
            )
            self._has_folder = True
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(sha256, source)
            try:
                self._transport.push(source, part)
            except LostError:
                self.reconnect()
                self._discard(there, source)
                raise
        whole = f'[ "$(stat -c %s {there})" = {size} ] && sha256sum {there} | grep -q ^{digest.result()}'
        use = f"chmod {'755' if executable else '644'} {there} && mv -f {there} {ready}"
        if self.checked(f"if {whole}; then {use}; else echo {_DAMAGED}; fi", f"take {source.name} into use").endswith(
            _DAMAGED
        ):
            self._discard(there, source)
            raise LostError(
                f"{source.name} arrived damaged on the phone.", "Try another cable or port, and start again."
            )
        return target

    def _discard(self, part: str, source: Path) -> None:
        """Removes what arrived in part, and says so if there was no room for all of it."""
        _check_room(source, self.run(f"rm -f {part}; {_ROOM}").text)

    def reconnect(self, patience_s: float = _RECONNECT_S) -> None:
        """Connects anew, for as long as a phone needs to come back.

        Args:
            patience_s: Seconds to try.

        Raises:
            DeviceUnavailableError: The phone refuses this computer.
            LostError: It did not come back.
        """
        deadline = time.monotonic() + patience_s
        while True:
            self._transport.close()
            try:
                self._transport.connect()
            except DeviceUnavailableError:
                raise
            except LostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                self.end_processes()
                return

    def end_processes(self) -> None:
        """Ends whatever of ours still runs on the phone."""
        if self._used:
            # The brackets keep the pattern from matching the very command line that it stands in.
            self.run(f"pkill -KILL -f '[{self._name[0]}]{self._name[1:]}/'")

    def close(self) -> None:
        """Removes what was put on the phone and ends the connection; a phone that is gone keeps it until the next day's first use."""
        try:
            if self._used:
                try:
                    self._clean()
                except DeviceError:  # lost, or too busy with what has not ended yet
                    self.reconnect(_LAST_RECONNECT_S)
                    self._clean()
        except DeviceError:
            pass  # the phone is gone
        finally:
            self._used = self._has_folder = False
            self._transport.close()

    def _clean(self) -> None:
        self.end_processes()
        old = f"find {FOLDER} -maxdepth 1 -name '{_PREFIX}*' -mtime +0 -exec rm -rf {{}} +"
        self.run(f"rm -rf {shlex.quote(self.folder)}; {old}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def limited(command: str, seconds: float) -> str:
    """A command line that the phone itself ends after some seconds, with exit status 137."""
    return f"timeout -s KILL {max(0.1, seconds):.1f} {command}"


def was_killed(output: Output) -> bool:
    """Whether a `limited` command was ended; the tools of phones and of computers tell it by different numbers."""
    return output.status in (_KILLED, 124)


def _check_room(source: Path, told: str) -> None:
    lines = told.strip().splitlines()
    words = lines[-1].split() if lines else []
    free = int(words[3]) * 1024 if len(words) > 3 and words[3].isdecimal() else None
    size = source.stat().st_size
    if free is not None and free < size:
        raise DeviceError(
            f"The phone has no room for {source.name}: {size / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free.",
            "Free some space on it and start again.",
        )


def _failed(what: str, output: Output) -> DeviceError:
    said = output.text.strip().splitlines()
    reason = f": {said[-1][:200]}" if said else ""
    return DeviceError(
        f"The phone could not {what} (exit status {output.status}){reason}.", "Free space on it, or restart it."
    )
