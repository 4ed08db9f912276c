"""The one tree of errors.

    NagsdkError                 1  our fault, or nothing more precise
    ├── UsageError              2  the request cannot be understood or served as asked
    │   ├── BudgetError            a budget that is no budget
    │   │   └── UnknownUnitError   its unit is none that nagsdk or a plugin knows
    │   ├── ArchitectureError      an architecture outside its space
    │   ├── UnknownNameError       no device, bundle or plugin of that name
    │   ├── DataError              a folder of images that nothing can be trained on
    │   └── OutputError            the output folder cannot be written (rights, disk space)
    ├── InfeasibleError         3  no architecture of the space holds the budget
    ├── DeviceError             4  the device, its runtime or its plugin failed
    │   ├── DeviceUnavailableError
    │   ├── DeviceBusyError        another process measures on it
    │   ├── MeasurementError       readings that cannot be trusted or had
    │   └── UnsupportedLayerError
    ├── BundleError             5  bundle or weights
    │   ├── DamagedBundleError     a file is torn, foreign or of the wrong hash
    │   ├── WeightsMissingError
    │   └── ImagesMissingError     nothing to recalibrate batch normalisation on
    ├── UnverifiedError         6  a verified deployment was required, and nothing can be measured
    └── LockError               7  what nagsdk.lock pins is out of date or cannot be had; a file has another hash

Every error carries what to do next; the command line prints both and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class NagsdkError(Exception):
    """Base of every error that nagsdk raises on purpose.

    Args:
        message: What went wrong, in one sentence.
        next_step: What the user can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n{self.next_step}"


@dataclass(frozen=True)
class Failure:
    """An error as results tell it that go on without what failed."""

    message: str
    next_step: str
    exit_code: int

    @classmethod
    def of(cls, error: NagsdkError) -> Failure:
        """What an error says."""
        return cls(error.message, error.next_step, error.exit_code)


class UsageError(NagsdkError):
    """The request cannot be understood or served as asked."""

    exit_code = 2


class BudgetError(UsageError):
    """A text that is not a budget."""


class UnknownUnitError(BudgetError):
    """A budget in a unit that neither nagsdk nor a loaded plugin knows."""


class ArchitectureError(UsageError):
    """An architecture that its space does not contain."""


class UnknownNameError(UsageError):
    """A name that nothing is registered under."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], note: str = "") -> UnknownNameError:
        """Builds the error with the nearest known names.

        Args:
            kind: What was looked up, such as ``device``.
            name: The name that was not found.
            known: The legal names.
            note: Why some may be missing.
        """
        names = sorted(known)
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        return cls(f"There is no {kind} named {name!r}.", f"{hint}Known: {', '.join(names)}. {note}".rstrip())


class DataError(UsageError):
    """A folder of images that nothing can be trained or measured on."""


class OutputError(UsageError):
    """The output folder cannot be written."""


class InfeasibleError(NagsdkError):
    """No architecture of the space holds the budget on this device.

    Args:
        message: What went wrong.
        next_step: What the user can do about it.
        results: Answers to those of the budgets asked with it that some architecture holds.
    """

    exit_code = 3

    def __init__(self, message: str, next_step: str, results: Sequence[Any] = ()) -> None:
        super().__init__(message, next_step)
        self.results = tuple(results)


class DeviceError(NagsdkError):
    """The device, its runtime or its plugin failed."""

    exit_code = 4


class DeviceUnavailableError(DeviceError):
    """The device or the runtime it needs is not there."""


class DeviceBusyError(DeviceError):
    """Another process holds the device's lock."""


class MeasurementError(DeviceError):
    """Readings that could not be taken, or cannot be trusted."""


class UnsupportedLayerError(DeviceError):
    """The backend cannot run a layer of the architecture."""


class BundleError(NagsdkError):
    """A bundle cannot be used as asked."""

    exit_code = 5


class DamagedBundleError(BundleError):
    """A file of the bundle is missing, torn, foreign or of the wrong hash."""


class WeightsMissingError(BundleError):
    """The bundle holds no supernet weights on this machine."""


class ImagesMissingError(BundleError):
    """There are no images to recalibrate batch normalisation on."""


class LockError(NagsdkError):
    """What nagsdk.lock pins is not up to date, or cannot be had with the pinned hash; or a file of a deployment has another."""

    exit_code = 7


class UnverifiedError(NagsdkError):
    """A verified deployment was required, and the device is not there to be measured on."""

    exit_code = 6
