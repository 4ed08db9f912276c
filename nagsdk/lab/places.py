"""The devices of a worker, and who uses them: one client at a time for each place.

A place is what only one client can use at a time: a phone; or this host, for all devices whose networks run on its
cores. Everything that touches a place happens in the place's own thread, one after the other.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nagsdk.common.folders import cache_folder
from nagsdk.device.backend import Backend, Presence, Session
from nagsdk.device.description import Device, Overrides, read_device
from nagsdk.device.lock import device_lock
from nagsdk.device.presence import presence_of
from nagsdk.errors import DeviceBusyError, DeviceError, DeviceUnavailableError, NagsdkError, UnknownNameError, printable
from nagsdk.lab.messages import lost, of_device, resource
from nagsdk.plugin.host import Host

T = TypeVar("T")
HOST = "host"
# A client that says nothing for so long is gone; it says something every few seconds.
LEASE_S = 20.0
_FRESH_S = 5.0
# Answers that a client may still ask for after it lost a connection.
_KEPT_JOBS = 32


@dataclass
class Lease:
    """The right of one client to use a place.

    Attributes:
        id: Its id, which only the client knows.
        client: Who the client is, for people.
        entry: The device with which it was taken.
        until: When it ends unless the client renews it, on the clock of `time.monotonic`.
        sessions: The open sessions, by number.
        jobs: What was asked last, by number, so that an answer is not lost with a connection.
        locks: The locks of this host that it holds.
    """

    id: str
    client: str
    entry: Entry
    until: float
    sessions: dict[int, Session] = field(default_factory=dict)
    jobs: dict[int, Future[Any]] = field(default_factory=dict)
    locks: ExitStack = field(default_factory=ExitStack)

    @property
    def place(self) -> Place:
        """The place."""
        return self.entry.place

    def renew(self) -> None:
        """Lets it last longer."""
        self.until = time.monotonic() + LEASE_S


@dataclass
class Place:
    """What one client can use at a time."""

    key: str
    lease: Lease | None = None
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "nagsdk place"))


@dataclass
class Entry:
    """A device that a worker announces.

    Attributes:
        device: Its description, which is this host's own.
        named: The name with which it was given.
        backend: Its backend.
        package: The package of its plugin, with the version.
        presence: Whether it is available, with the settings of its description.
        place: Where its networks run.
        fingerprint: What it had as fingerprint when it was available last.
    """

    device: Device
    named: str
    backend: Backend
    package: str
    presence: Presence
    place: Place
    fingerprint: str = ""

    def look(self) -> None:
        """Looks whether the device is there."""
        self.presence = presence_of(self.backend, self.device)
        self.fingerprint = self.presence.fingerprint or self.fingerprint

    def described(self) -> dict[str, Any]:
        """What clients are told."""
        lease = self.place.lease
        return {
            "device": of_device(self.device),
            "named": self.named,
            "package": self.package,
            "available": self.presence.available,
            "reason": self.presence.reason,
            "properties": dict(self.presence.properties),
            "fingerprint": self.fingerprint,
            "busy": "" if lease is None else lease.client,
            "on_host": self.place.key == HOST,
        }

    def with_settings(self, settings: dict[str, Any]) -> Device:
        """The device with the settings of a client: never its options, which stay those of this host.

        Raises:
            NagsdkError: A setting is not legal.
        """
        threads, batch, precision, io = (settings.get(name) for name in ("threads", "batch", "precision", "io"))
        overrides = Overrides(threads, batch, precision, None, io)
        device = overrides.on(self.device, self.backend.precisions, self.backend.ios)
        rewrite = settings.get("rewrite")
        if rewrite is None:
            return device
        rewrites = self.backend.rewrites(device)
        if rewrite not in rewrites:
            raise UnknownNameError.among("rewrite", str(rewrite), rewrites)
        return rewrites[rewrite]


class Places:
    """All devices of a worker.

    Args:
        loaded: The plugins.
        names: Devices to announce, as `--device` takes them; all that are available if empty.
        where: Name of the worker, for messages.

    Raises:
        NagsdkError: A device is unknown.
    """

    def __init__(self, loaded: Host, names: Sequence[str], where: str) -> None:
        self.where, self._lock = where, threading.RLock()
        self._leases: dict[str, Lease] = {}
        self._asked: dict[Device, tuple[float, Presence]] = {}
        places: dict[str, Place] = {}
        self.entries: list[Entry] = []
        for named, device, backend in _given(loaded, names):
            device = Overrides().on(device, backend.precisions, backend.ios)
            presence = presence_of(backend, device)
            if not presence.available and not names:
                continue
            alone = backend.runs_elsewhere or bool(backend.estimated_by)
            key = (presence.fingerprint or f"{device.backend} {device.options}") if alone else HOST
            place = places.setdefault(key, Place(key))
            self.entries.append(
                Entry(device, named, backend, loaded.package_of(backend), presence, place, presence.fingerprint)
            )

    @property
    def resources(self) -> dict[str, float]:
        """What the worker announces to the scheduler: one of each available device, named by its fingerprint."""
        return {resource(e.fingerprint): 1.0 for e in self.entries if e.presence.available}

    def look(self) -> None:
        """Looks again which devices are there; a place that is in use is left alone."""
        for entry in self.entries:
            if entry.place.lease is None:
                entry.look()

    def entry(self, device: str, fingerprint: str) -> Entry:
        """The device that a client means; of several, such as phones that count as one, the first that is available.

        Raises:
            UnknownNameError: This worker has no such device.
        """
        fitting = [e for e in self.entries if e.device.id == device and e.fingerprint == fingerprint]
        if fitting:
            return next((entry for entry in fitting if entry.presence.available), fitting[0])
        raise UnknownNameError.among(f"device on {self.where}", device, sorted({e.device.id for e in self.entries}))

    def presence(self, entry: Entry, device: Device) -> Presence:
        """Whether a device is available with a client's settings; asked at most every few seconds."""
        with self._lock:
            at, known = self._asked.get(device, (0.0, None))
        if known is not None and time.monotonic() < at + _FRESH_S:
            return known
        found = presence_of(entry.backend, device)
        with self._lock:
            self._asked[device] = (time.monotonic(), found)
        return found

    def take(self, entry: Entry, client: str) -> Lease:
        """Gives a client the place of a device.

        Raises:
            DeviceBusyError: Another client, or another process on this host, uses it.
            DeviceUnavailableError: It is not there.
        """
        place = entry.place
        if not entry.presence.available and place.lease is None:
            entry.look()
        if not entry.presence.available:
            raise DeviceUnavailableError(f"{entry.device.id} on {self.where} is not there.", entry.presence.reason)
        with self._lock:
            if place.lease is not None:
                raise _busy(entry.device.id, self.where, place.lease.client)
            lease = Lease(uuid.uuid4().hex, printable(client)[:200], entry, time.monotonic() + LEASE_S)
            place.lease = self._leases[lease.id] = lease
        try:
            place.thread.submit(self._lock_files, lease, entry).result()
        except BaseException:
            self._forget(lease)
            raise
        return lease

    def _lock_files(self, lease: Lease, entry: Entry) -> None:
        """Takes the locks of this host's own commands; they belong to the thread of the place."""
        folder = cache_folder() / "locks"
        sharing = {e.fingerprint for e in self.entries if e.place is entry.place and e.fingerprint}
        with ExitStack() as stack:
            for fingerprint in sorted(sharing):
                try:
                    stack.enter_context(device_lock(folder, fingerprint, timeout_s=0))
                except DeviceBusyError as error:
                    raise _busy(entry.device.id, self.where, "a command on that host") from error
            lease.locks = stack.pop_all()

    def lease(self, id_: str) -> Lease:
        """The lease with an id, which is renewed.

        Raises:
            DeviceError: It ended.
        """
        with self._lock:
            lease = self._leases.get(id_)
            if lease is None:
                raise lost(self.where, "it does not know this client any more")
            lease.renew()
            return lease

    def in_place(self, lease: Lease, number: int, job: Callable[[], T]) -> Future[T]:
        """Does a job in the thread of a place; a number that was given before means the same job."""
        with self._lock:
            if number not in lease.jobs:
                lease.jobs[number] = lease.place.thread.submit(job)
                for old in [other for other in lease.jobs if other <= number - _KEPT_JOBS]:
                    del lease.jobs[old]
            return lease.jobs[number]

    def release(self, lease: Lease) -> None:
        """Ends a lease: closes its sessions, also during a run, and gives back the locks."""
        with self._lock:
            sessions, lease.sessions = list(lease.sessions.values()), {}
        for session in sessions:
            close(session)
        lease.place.thread.submit(lease.locks.close).result()
        self._forget(lease)

    def expired(self) -> list[Lease]:
        """The leases whose clients are gone."""
        with self._lock:
            return [lease for lease in self._leases.values() if time.monotonic() > lease.until]

    def release_all(self) -> None:
        """Ends all leases."""
        for lease in list(self._leases.values()):
            self.release(lease)

    def _forget(self, lease: Lease) -> None:
        with self._lock:
            self._leases.pop(lease.id, None)
            if lease.place.lease is lease:
                lease.place.lease = None


def close(session: Session) -> None:
    """Closes a session, whatever its plugin does."""
    with suppress(NagsdkError):  # it is gone, which is what was wanted
        session.close()


def gone(entry: Entry, error: DeviceError, where: str) -> NagsdkError:
    """The error that a client gets: a lost connection if the device is not there any more."""
    entry.look()
    if entry.presence.available:
        return error
    return lost(f"{entry.device.id} on {where}", f"{error.message} {entry.presence.reason}")


def _busy(device: str, where: str, who: str) -> DeviceBusyError:
    return DeviceBusyError(f"{device} on {where} is in use by {who}.", "Wait until it is free, or end what uses it.")


def _given(loaded: Host, names: Sequence[str]) -> list[tuple[str, Device, Backend]]:
    if names:
        described = [
            (name, read_device(Path(name)) if name.endswith(".toml") else loaded.device(name)) for name in names
        ]
        return [(name, device, loaded.backend_of(device)) for name, device in described]
    found = []
    for device in loaded.devices:
        try:
            found.append((device.id, device, loaded.backend_of(device)))
        except DeviceError:  # its plugin is broken, which `nagsdk plugins` tells
            continue
    return found


def this_client() -> str:
    """Who this process is, for people who wait for it."""
    return f"process {os.getpid()} on {socket.gethostname()}"
