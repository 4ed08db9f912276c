"""What adb servers, adb-shell and libusb say when a phone cannot be used, and what the user can do about it."""

from __future__ import annotations

import re

from nagsdk.errors import DeviceError, DeviceUnavailableError

REPLUG = (
    "Unlock the phone, check its cable, check that USB debugging is on, and start again: what was measured is kept."
)


class LostError(DeviceError):
    """The connection to a phone broke, or the phone did not answer; a new connection may work."""


_UNKNOWN_COMPUTER = "does not know this computer"
_ALLOW = "Unlock the phone, answer 'Allow USB debugging?' with 'Always allow', and start again."
# Pattern -> whether it may pass without the user, what is wrong with the phone, what the user can do about it. The
# first pattern that matches counts: messages about rights may also contain the words of others.
_SAID = (
    (
        re.compile("no permissions|insufficient permissions|ERROR_ACCESS"),
        False,
        "may not be reached: this user has no permission for its USB port",
        "Give your user the right to use the port, on Linux by installing Android's udev rules (android-udev-rules or "
        "android-sdk-platform-tools-common); then unplug the phone, plug it in and start again.",
    ),
    (re.compile("authorizing"), True, _UNKNOWN_COMPUTER, _ALLOW),
    (re.compile("(?i)unauthorized|confirmation dialog|DeviceAuthError"), False, _UNKNOWN_COMPUTER, _ALLOW),
    (
        re.compile("ERROR_BUSY"),
        False,
        "is held by another program, probably an adb server",
        "If an adb server listens on another port than 5037, name it in ANDROID_ADB_SERVER_PORT.",
    ),
    (
        re.compile(r"\boffline\b"),
        True,
        "is offline: it is attached, but its debugging service does not answer",
        "Switch USB debugging (or wireless debugging) off and on, or unplug the phone and plug it in, and start again.",
    ),
    (
        re.compile(r"\b(?:recovery|rescue|sideload|bootloader|fastboot)\b"),
        False,
        "has not started Android: it is in another mode",
        "Restart the phone, unlock it, and start again.",
    ),
    (
        re.compile("device .{0,200}not found|disconnected|DeviceNotFoundError|ERROR_NO_DEVICE"),
        True,
        "is no longer attached",
        REPLUG,
    ),
)
_MOST_READ = 2000


def refusal(title: str, said: str, otherwise: str = "") -> DeviceError:
    """The error for a phone that cannot be used: DeviceUnavailableError if only the user can change it.

    Args:
        title: How the phone is reached, as text for people.
        said: The state of the phone, or the error of a package or server.
        otherwise: Message if `said` is of no known kind.
    """
    for pattern, passes, wrong, next_step in _SAID:
        if pattern.search(said[:_MOST_READ]):
            return (LostError if passes else DeviceUnavailableError)(f"The phone ({title}) {wrong}.", next_step)
    return LostError(otherwise or f"The phone ({title}) is in the state {said[:200]!r}.", REPLUG)
