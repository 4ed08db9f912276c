"""Several devices at once: those of a lab work side by side, those of this machine one after the other."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from nagsdk.device.patterns import is_pattern, means
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceError, NagsdkError, UnknownNameError
from nagsdk.events import Event, Listener, Notice, stage
from nagsdk.pipeline.target import Target
from nagsdk.plugin.host import host

T = TypeVar("T")
# Exports and fits take this process about a tenth of the time of a calibration: more at once would not be faster.
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of one of several devices.

    Attributes:
        device: Id of the device.
        result: The result; None after an error.
        error: The error in its place.
    """

    device: str
    result: T | None
    error: NagsdkError | None = None


def is_several(names: Sequence[str]) -> bool:
    """Whether names of devices mean several: more than one, ``all``, or a pattern such as ``pixel*``."""
    return len(names) > 1 or any(map(is_pattern, names))


def devices_named(names: Sequence[str], lab: str | None) -> list[str]:
    """The available devices that names and patterns mean, each once.

    Args:
        names: Names, patterns, or ``all``.
        lab: Address of a lab; the devices of this machine if None.

    Raises:
        UnknownNameError: One of them means no available device.
    """
    if lab is not None:
        from nagsdk.lab.reach import matching

        return matching(names, lab)
    loaded, found = host(), dict[str, str]()
    for name in names:
        if not is_pattern(name):
            found.setdefault(name, name)
            continue
        fitting = [d for d in loaded.devices if means(name, (d.id, *d.aliases))]
        before = len(found)
        for device in fitting:
            try:
                presence = presence_of(loaded.backend_of(device), device)
            except DeviceError:  # its plugin is broken
                continue
            if presence.available:
                found.setdefault(presence.fingerprint, device.id)
        if len(found) == before:
            raise UnknownNameError.among("available device", name, [d.id for d in loaded.devices])
    return list(dict.fromkeys(found.values()))


def each(
    names: Sequence[str],
    target: Callable[[str, Listener], Target],
    work: Callable[[Target], T],
    together: bool,
    on_event: Listener,
) -> list[Outcome[T]]:
    """Does the same work on several devices; one that fails does not end the others.

    Args:
        names: The devices.
        target: Makes the target of a device, which sends its events to the given listener.
        work: The work.
        together: Whether the devices work at the same time.
        on_event: Receives the events, one at a time.
    """  # fmt: skip
    turn, done = threading.Lock(), 0

    with stage(on_event, f"{len(names)} devices", len(names)) as progress:

        def tell(name: str, event: Event) -> None:
            if isinstance(event, Notice):  # bars of several devices would hide each other
                with turn:
                    on_event(replace(event, text=f"{name}: {event.text}"))

        def one(name: str) -> Outcome[T]:
            nonlocal done
            try:
                outcome = Outcome(name, work(target(name, lambda event: tell(name, event))))
            except NagsdkError as error:
                outcome = Outcome(name, None, error)
            with turn:
                done += 1
                progress(done, f"{done} of {len(names)} devices")
            return outcome

        with ThreadPoolExecutor(min(len(names), MOST_AT_ONCE) if together else 1) as threads:
            jobs = [threads.submit(contextvars.copy_context().run, one, name) for name in names]
            try:
                return [job.result() for job in jobs]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
