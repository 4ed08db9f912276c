"""The errors of nagsdk, with their exit codes.

    NagsdkError                 1  any other error
    ├── UsageError              2  the request is not valid
    │   ├── BudgetError            a text or value is not a valid budget
    │   │   └── UnknownUnitError   neither nagsdk nor a plugin knows the unit
    │   ├── ArchitectureError      an architecture is not in its space
    │   ├── UnknownNameError       there is no device, bundle, strategy ... with that name
    │   ├── DataError              a folder of images cannot be used for training or evaluation
    │   └── OutputError            the output cannot be written (permissions, disk space)
    ├── InfeasibleError         3  no architecture of the space holds the budget
    ├── DeviceError             4  the device, its runtime or its plugin failed
    │   ├── DeviceUnavailableError
    │   ├── DeviceBusyError        another process measures on the device
    │   ├── ConnectionLostError    a session ended in the middle; a fresh one may succeed
    │   ├── MeasurementError       readings failed or cannot be trusted
    │   └── UnsupportedLayerError
    ├── BundleError             5  the bundle or its weights cannot be used
    │   ├── DamagedBundleError     a file is damaged, not valid, or has the wrong hash
    │   ├── WeightsMissingError
    │   └── ImagesMissingError     there are no images to recalibrate batch normalisation on
    ├── UnverifiedError         6  a verified deployment was required, but nothing can be measured
    └── LockError               7  nagsdk.lock is out of date, or a file does not have its pinned hash

Every error has a message and a next step; the command line prints both and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


def printable(text: str) -> str:
    r"""A text in which control characters are written out, such as ``\x1b``, so that no terminal obeys them.

    Names of files and what devices, servers and plugins say become parts of messages. Line feeds and tabs stay. Bytes
    of names that are not UTF-8 are written as such.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(c: str) -> str:
    if c in "\n\t" or c.isprintable() or unicodedata.category(c) == "Zs":
        return c
    return f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else ascii(c)[1:-1]


class NagsdkError(Exception):
    """Base of every error that nagsdk raises on purpose.

    Args:
        message: What went wrong, in one sentence.
        next_step: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(printable(message))
        self.message = printable(message)
        self.next_step = printable(next_step)

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with `args`, which has the message only; errors cross processes.
        return type(self).__new__, (type(self), self.message), vars(self)

    def __str__(self) -> str:
        return f"{self.message}\n{self.next_step}"


@dataclass(frozen=True)
class Failure:
    """An error as part of a result, where the work continued after it.

    Attributes:
        message: What went wrong.
        next_step: What the user can do about it.
        exit_code: Exit code of the error.
    """

    message: str
    next_step: str
    exit_code: int

    @classmethod
    def of(cls, error: NagsdkError) -> Failure:
        """The failure that describes an error."""
        return cls(error.message, error.next_step, error.exit_code)


class UsageError(NagsdkError):
    """The request is not valid."""

    exit_code = 2


class BudgetError(UsageError):
    """A text or value is not a valid budget."""


class UnknownUnitError(BudgetError):
    """Neither nagsdk nor a loaded plugin knows the unit of a budget."""


class ArchitectureError(UsageError):
    """An architecture is not in its space."""


class UnknownNameError(UsageError):
    """There is nothing with the given name."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], note: str = "") -> UnknownNameError:
        """Builds the error with suggestions of similar names.

        Args:
            kind: The kind of name, such as ``device``.
            name: The name that was not found.
            known: The valid names.
            note: Why names may be missing.
        """
        names = sorted(known)
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        return cls(f"There is no {kind} named {name!r}.", f"{hint}Known: {', '.join(names)}. {note}".rstrip())


class DataError(UsageError):
    """A folder of images cannot be used for training or evaluation."""


class OutputError(UsageError):
    """The output cannot be written."""


class InfeasibleError(NagsdkError):
    """No architecture of the space holds the budget on this device.

    Args:
        message: What went wrong.
        next_step: What the user can do about it.
        results: Answers to the other budgets of the same request, which some architecture holds.
        excess: What the cheapest architecture needs, as a share of the budget, if it is known.
    """

    exit_code = 3

    def __init__(self, message: str, next_step: str, results: Sequence[Any] = (), excess: float = float("inf")) -> None:
        super().__init__(message, next_step)
        self.results, self.excess = tuple(results), excess


class DeviceError(NagsdkError):
    """The device, its runtime or its plugin failed."""

    exit_code = 4


class DeviceUnavailableError(DeviceError):
    """The device, or the runtime that it needs, is not available."""


class DeviceBusyError(DeviceError):
    """Another process holds the device's lock."""


class ConnectionLostError(DeviceError):
    """A session ended in the middle, because its device or the way to it is gone; a fresh one may succeed."""


class MeasurementError(DeviceError):
    """Readings failed or cannot be trusted."""


class UnsupportedLayerError(DeviceError):
    """The backend cannot run a layer of the architecture."""


class BundleError(NagsdkError):
    """A bundle cannot be used as asked."""

    exit_code = 5


class DamagedBundleError(BundleError):
    """A file of the bundle is missing, damaged, not valid, or has the wrong hash."""


class WeightsMissingError(BundleError):
    """The bundle's supernet weights are not on this machine."""


class ImagesMissingError(BundleError):
    """There are no images to recalibrate batch normalisation on."""


class LockError(NagsdkError):
    """nagsdk.lock is out of date, or a file cannot be restored with its pinned hash."""

    exit_code = 7


class UnverifiedError(NagsdkError):
    """A verified deployment was required, but the device is unavailable."""

    exit_code = 6
