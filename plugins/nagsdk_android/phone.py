"""Copies files to a phone and runs commands on it; every result is checked, because any step may fail."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nagsdk.common.files import sha256
from nagsdk.errors import DeviceError, DeviceUnavailableError, MeasurementError, printable
from nagsdk_android.refusals import LostError
from nagsdk_android.transport import GRACE_S, Transport

FOLDER = "/data/local/tmp"
_PREFIX = "nagsdk-"
_ROOM = f"df -k {FOLDER} 2>/dev/null"
# Exit statuses of the command that checks a copy.
_DAMAGED, _NO_HASH = 93, 94
# Exit statuses of a shell for a program that cannot be executed or does not exist.
CANNOT_START = (126, 127)
_COMMAND_TIMEOUT_S = 20.0
_MOST_OUTPUT = 1 << 20
_KILLED = 137
_STATUS = re.compile(rb"([0-9]{1,3})\s{0,9}")
# What the linker of Android 5 and others says about every program that it starts.
_LINKER = re.compile("(?:WARNING: )?linker: ")
# A restarted adb daemon is back within one or two seconds, a phone that was plugged in again within about ten.
_RECONNECT_S = 20.0
_LAST_RECONNECT_S = 5.0
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Output:
    """What a command printed, including standard error, and its exit status."""

    text: str
    status: int


class TimeoutOnDeviceError(MeasurementError):
    """A command was stopped because it took too long."""


class Phone:
    """One connected phone. All files that are copied to it lie in one new folder, which `close` removes.

    Args:
        transport: Way to the phone, not connected yet.

    Raises:
        DeviceUnavailableError: The phone refuses this computer.
        LostError: The phone cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._name = f"{_PREFIX}{secrets.token_hex(6)}"
        self.folder = f"{FOLDER}/{self._name}"
        self._used = self._has_folder = False
        transport.connect()

    def run(self, command: str, timeout_s: float = _COMMAND_TIMEOUT_S, most_output: int = _MOST_OUTPUT) -> Output:
        """Runs a command in the phone's shell.

        The shell protocol has no exit status. So the status is printed after the output, behind a random word that no
        command can know. A command that takes too long or prints too much is stopped.

        Args:
            command: Command line; quote text from elsewhere with `shlex.quote`, and wrap what may hang in `limited`.
            timeout_s: Timeout of the whole command in seconds.
            most_output: Number of bytes that the command may print at most.

        Raises:
            TimeoutOnDeviceError: The command took longer than the timeout.
            MeasurementError: The command printed more than is allowed.
            LostError: The connection broke.
        """
        mark = secrets.token_hex(12).encode()
        deadline = time.monotonic() + timeout_s + GRACE_S
        output = bytearray()
        stream = self._transport.shell(f"({command}) 2>&1; s=$?; echo; echo {mark.decode()}:$s", timeout_s + GRACE_S)
        for data in stream:
            output += data
            if len(output) > most_output or time.monotonic() > deadline:
                break
        text, found, status = output.rpartition(mark + b":")
        if found and (ended := _STATUS.fullmatch(status)):
            return Output(_lines(text).removesuffix("\n"), int(ended[1]))
        self._transport.close()
        if len(output) > most_output:
            raise MeasurementError(
                f"The phone printed more than {most_output} bytes.", "Check that the tool on it is benchmark_model."
            )
        if time.monotonic() > deadline:
            raise TimeoutOnDeviceError(
                f"The phone did not finish a command within {timeout_s:g} s.", "Allow more time, or restart the phone."
            )
        raise LostError(
            "The phone closed the connection while a command ran.", "Start again: what was measured is kept."
        )

    def checked(self, command: str, what: str) -> str:
        """Runs a command that must succeed, and returns what it printed.

        Args:
            command: Command line for the phone's shell.
            what: What the command is for, as a verb phrase that completes "The phone could not …".

        Raises:
            DeviceError: The command failed; the message says what it was for and what it printed.
        """
        output = self.run(command)
        if output.status:
            raise _failed(what, output)
        return output.text

    def put(self, source: Path, name: str, executable: bool = False) -> str:
        """Copies a file completely or not at all into the phone's folder, and returns its path on the phone.

        Args:
            source: File on this computer.
            name: Name of the copy.
            executable: Whether the copy will be executed.

        Raises:
            DeviceError: The phone has too little free space, or no sha256sum that checks the copy.
            LostError: The connection broke, or the file arrived damaged; nothing of it is left on the phone.
        """
        target = f"{self.folder}/{name}"
        part = f"{target}.part"
        folder, partial, ready = (shlex.quote(path) for path in (self.folder, part, target))
        # Free space is checked in advance only with the first file, because every command costs a round trip. For later
        # files a full phone is noticed when the copy fails.
        self._used = True
        if not self._has_folder:
            _check_room(
                source,
                self.checked(f"mkdir -p {folder} && chmod 755 {folder} && {{ {_ROOM}; true; }}", "make a folder"),
            )
            self._has_folder = True
        with ThreadPoolExecutor(1) as executor:
            digest = executor.submit(sha256, source)
            try:
                self._transport.push(source, part)
            except LostError:
                self.reconnect()
                self._discard(partial, source)
                raise
        # Only exit statuses are read, because other programs on the phone may print at any time. What the phone prints
        # as the hash must contain the right one; the hash of a file of another size is another.
        stored = self.run(
            f"h=$(sha256sum < {partial} 2>/dev/null); s=$?; case $h in *{digest.result()}*) "
            f"chmod {'755' if executable else '644'} {partial} && mv -f {partial} {ready};; "
            f"*) [ -f {partial} ] && [ $s != 0 ] && exit {_NO_HASH}; exit {_DAMAGED};; esac"
        )
        if not stored.status:
            return target
        self._discard(partial, source)
        if stored.status == _DAMAGED:
            raise LostError(
                f"{source.name} arrived damaged on the phone.", "Try another cable or port, and start again."
            )
        if stored.status == _NO_HASH:
            self.require("sha256sum")
            raise DeviceError(
                f"The phone cannot check its copy of {source.name}: its program sha256sum fails.",
                "Run sha256sum on the phone by hand to see why, or use another phone.",
            )
        raise _failed(f"store {source.name}", stored)

    def require(self, *programs: str) -> None:
        """Checks that the phone has programs that nagsdk needs there.

        Raises:
            DeviceError: The phone lacks one.
        """
        asked = " ".join(programs)
        lacking = self.run(f'for p in {asked}; do command -v $p >/dev/null 2>&1 || l="$l $p"; done; echo "[$l ]"').text
        if found := [name for name in programs if f" {name} " in lacking]:
            raise DeviceError(
                f"The phone has no {' and no '.join(found)}, which nagsdk needs there.",
                "Use a phone with a newer Android; its tools come with the system.",
            )

    def _discard(self, part: str, source: Path) -> None:
        """Removes an incomplete copy, and raises an error if the phone had too little free space for the file."""
        _check_room(source, self.run(f"rm -f {part}; {_ROOM}").text)

    def reconnect(self, patience_s: float = _RECONNECT_S) -> None:
        """Connects again, and keeps trying for as long as a phone may need to come back.

        Args:
            patience_s: Seconds after which it gives up.

        Raises:
            DeviceUnavailableError: The phone refuses this computer.
            LostError: The phone did not come back.
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
        """Ends every process on the phone that runs from our folder."""
        if self._used:
            # Not by pkill, because that of some phones ends every process. The brackets keep the pattern from matching
            # the command line of the shell that has it.
            pattern = f"[{self._name[0]}]{self._name[1:]}/"
            self.run(
                f"for c in $(grep -ls '{pattern}' /proc/[0-9]*/cmdline); do "
                "c=${c%/cmdline}; kill -KILL ${c#/proc/}; done"
            )

    def close(self) -> None:
        """Removes our files from the phone and disconnects.

        If the phone is gone, the files stay on it until it is used again on a later day.
        """
        try:
            if self._used:
                try:
                    self._clean()
                except DeviceError:  # the connection broke, or a command that is still running keeps the phone busy
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
    """A command line that the phone itself kills after the given seconds, with exit status 137."""
    return f"timeout -s KILL {max(0.1, seconds):.1f} {command}"


def was_killed(output: Output) -> bool:
    """Whether a `limited` command was killed; `timeout` on phones and on computers reports it by different numbers."""
    return output.status in (_KILLED, 124)


def _lines(printed: bytes | bytearray) -> str:
    """What a command printed, as text that no terminal obeys, without warnings of the linker.

    Older phones run a command in a terminal, which ends each line with one or more carriage returns and a line feed.
    """
    lines = (line.rstrip("\r") for line in printed.decode(errors="replace").split("\n"))
    return printable("\n".join(line for line in lines if not _LINKER.match(line)))


def _check_room(source: Path, printed: str) -> None:
    lines = printed.strip().splitlines()
    words = lines[-1].split() if lines else []
    free = int(words[3]) * 1024 if len(words) > 3 and re.fullmatch("[0-9]{1,15}", words[3]) else None
    size = source.stat().st_size
    if free is not None and free < size:
        raise DeviceError(
            f"The phone has no room for {source.name}: {size / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free.",
            "Free some space on the phone and start again.",
        )


def _failed(what: str, output: Output) -> DeviceError:
    printed = output.text.strip().splitlines()
    reason = f": {printed[-1][:200]}" if printed else ""
    return DeviceError(
        f"The phone could not {what} (exit status {output.status}){reason}.",
        "Free some space on the phone, or restart it.",
    )
