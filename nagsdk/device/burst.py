"""Timings of consecutive runs, and whole rounds of them, which one journey to a far device can bring."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nagsdk.errors import DeviceError


@dataclass(frozen=True)
class Burst:
    """Timings of consecutive runs of one network.

    Attributes:
        wall_ms: Wall time of every run.
        cpu_ms: CPU time of every run, if the ratio of wall to CPU time shows whether the CPU was taken away: with a
            single thread, and not on Windows. Empty otherwise.
        properties: Other values that were observed (temperature, memory), by a name that includes the unit;
            ``throttled`` is 1 if the device slowed itself down because of heat or power; ``frequency_cap`` is the share
            of its highest frequency that a device allows for good, even when it is cool.

    Raises:
        DeviceError: A property is not a finite number.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()
    properties: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.properties.items():
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise DeviceError(
                    f"The device reported {value!r} as {name} while a network ran.",
                    "Fix its plugin: properties must be finite numbers.",
                )


@dataclass(frozen=True)
class Timing:
    """One burst of a round; the fields are the arguments of `Session.time`."""

    handle: int
    warmup: int
    runs: int
    timeout_s: float


class Rounds(ABC):
    """What a session does with several networks, one after the other.

    These methods call those of single networks. They are no part of what a plugin implements: a session in a lab, to
    which a journey takes longer than a burst, replaces them, and the lab's worker calls them on the plugin's session.
    """

    @abstractmethod
    def load(self, compiled: Path) -> int:
        """See `nagsdk.device.backend.Session`."""

    @abstractmethod
    def time(self, handle: int, warmup: int, runs: int, timeout_s: float) -> Burst:
        """See `nagsdk.device.backend.Session`."""

    def load_all(self, compiled: Sequence[Path]) -> list[int]:
        """Loads artifacts and returns their handles; see `load`."""
        return [self.load(path) for path in compiled]

    def time_all(self, plan: Sequence[Timing]) -> Iterator[Burst]:
        """Times bursts in the given order; see `time`. What was timed before an error is yielded before it."""
        for one in plan:
            yield self.time(one.handle, one.warmup, one.runs, one.timeout_s)
