"""Takes the place of a device in a lab for this client, keeps it, and has its worker do jobs there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from nagsdk.common.version import VERSION
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import ConnectionLostError, DeviceBusyError, DeviceUnavailableError, NagsdkError, printable
from nagsdk.events import Listener, Notice, ignore
from nagsdk.lab.connection import Found, Lab
from nagsdk.lab.messages import Json, lost, properties_of
from nagsdk.lab.places import LEASE_S, this_client

LOOK_AGAIN_S, BUSY_S = 1.0, 0.5
_WAIT_S = 600.0
# A worker that was restarted is there again after some seconds.
_RETURN_S = 60.0
# A worker on which something went wrong is the last one to be tried, for so long.
_AVOIDED_S = 120.0


@dataclass
class Taken:
    """The place of a device that this client has taken.

    Attributes:
        worker: The worker.
        id: Id of the lease.
        number: Number of the last job.
        over: Set when it was given back or lost.
    """

    worker: Found
    id: str
    number: int = 0
    over: threading.Event = field(default_factory=threading.Event)


class Taking:
    """What reaches one device, on whichever worker of the lab has it.

    Args:
        lab: The connection to the lab.
        device: Description of the device, as its worker announced it.
        fingerprint: Fingerprint of the device with the settings of its description.
        backend: The plugin's backend on this machine, which exports.
        package: The package of the plugin, with its version.
        on_event: Receives notices.
    """

    def __init__(
        self, lab: Lab, device: Device, fingerprint: str, backend: Backend, package: str, on_event: Listener = ignore
    ) -> None:
        self.lab, self.device, self.fingerprint = lab, device, fingerprint
        self.backend, self.package, self.on_event = backend, package, on_event
        self.turn = threading.RLock()
        self._taken: Taken | None = None
        self._holds = 0
        self._avoided: dict[str, float] = {}
        self._used: list[Mapping[str, str]] = []

    @contextmanager
    def reserved(self, on_event: Listener | None = None) -> Iterator[Taken]:
        """Takes the place of the device, so that no other client uses it meanwhile.

        Args:
            on_event: Receives a notice if it has to wait.

        Raises:
            DeviceBusyError: Others used all such devices for ten minutes.
            DeviceUnavailableError: No worker has the device.
        """
        with self.turn:
            taken = self._take(on_event or self.on_event)
            self._holds += 1
        try:
            yield taken
        finally:
            with self.turn:
                self._holds -= 1
                if self._holds == 0:
                    self._give_back()

    def job(self, what: str, request: Json, body: bytes = b"", *, taken: Taken) -> tuple[Json, bytes]:
        """Has the worker do a job in the device's place, and waits for it.

        Args:
            what: Name of the job; see `nagsdk.lab.functions`.
            request: Its arguments.
            body: Bytes that belong to them.
            taken: The place.

        Raises:
            ConnectionLostError: The worker or its device is gone; the next session takes another one.
            NagsdkError: What the worker said.
        """
        with self.turn:
            if taken.over.is_set():
                raise lost(taken.worker.name, "the session had ended before")
            taken.number += 1
            asked = {**request, **self.which, "what": what, "lease": taken.id, "number": taken.number}
        try:
            while True:
                answer, content = self.ask(taken, "do", asked, body)
                if "pending" not in answer:
                    return answer, content
                body = b""  # the worker has it
        except ConnectionLostError:
            self.lose(taken)
            raise

    def ask(self, place: Taken, call: str, request: Json, body: bytes = b"") -> tuple[Json, bytes]:
        """Asks the worker of a place; see `Lab.ask`."""
        return self.lab.wait(self.lab.ask(place.worker.address, place.worker.name, call, request, body))

    def lose(self, place: Taken) -> None:
        """Notes that a place is lost; the next session takes another one, if there is one."""
        with self.turn:
            place.over.set()
            self._avoided[place.worker.address] = time.monotonic() + _AVOIDED_S
            if self._taken is place:
                self._taken = None
        self.lab.start(_quietly(self.lab, place, "release", {"lease": place.id}))

    @property
    def which(self) -> Json:
        """How workers are told which device is meant."""
        return {"device": self.device.id, "fingerprint": self.fingerprint}

    def candidates(self) -> list[Found]:
        """The workers that have the device, those on which something went wrong last."""
        found = [
            worker
            for worker in self.lab.workers(self.fingerprint)
            if any(self._is_meant(entry) for entry in worker.devices)
        ]
        now = time.monotonic()

        def avoided(worker: Found) -> float:
            until = self._avoided.get(worker.address, 0.0)
            return until if until > now else 0.0

        return sorted(found, key=avoided)

    def _is_meant(self, entry: Mapping[str, Any]) -> bool:
        known: Any = entry.get("device")
        return bool(known) and known.get("id") == self.device.id and entry.get("fingerprint") == self.fingerprint

    def _take(self, on_event: Listener) -> Taken:
        if self._taken is not None:
            return self._taken
        begun, waited, told = time.monotonic(), bool(self._avoided), False
        asked = {**self.which, "client": this_client(), "version": VERSION, "package": self.package}
        while True:
            candidates, busy = self.candidates(), list[str]()
            refused: NagsdkError | None = None
            for worker in candidates:
                try:
                    answer, _ = self.lab.wait(self.lab.ask_once(worker.address, "take", asked))
                except DeviceBusyError as error:
                    busy.append(error.message)
                except (OSError, TimeoutError) as error:
                    refused = lost(worker.name, f"it does not answer ({type(error).__name__})")
                except NagsdkError as error:
                    refused = error
                else:
                    self._note(worker, answer.get("properties"), on_event)
                    self._taken = Taken(worker, str(answer["lease"]))
                    self.lab.start(_keep_alive(self.lab, self._taken))
                    return self._taken
            passed = time.monotonic() - begun
            if busy and passed > _WAIT_S:
                raise DeviceBusyError(
                    f"{self.device.id} was busy for {passed:.0f} s: {busy[0]}",
                    "Wait until it is free, and start again.",
                )
            if not busy and (not waited or passed > _RETURN_S):
                if refused is not None:
                    raise refused
                raise DeviceUnavailableError(
                    f"No worker of the lab has {self.device.id} now.", "`nagsdk lab devices` shows what it has."
                )
            if busy and not told:
                on_event(Notice(f"Waiting: {busy[0]}"))
                told = True
            time.sleep(BUSY_S if busy else LOOK_AGAIN_S)

    def used(self, properties: Mapping[str, str]) -> dict[str, str]:
        """Properties of the device, with all values of those in which the devices that were used differ."""
        values = {name: dict.fromkeys(one[name] for one in self._used if name in one) for name in properties}
        return {name: ", ".join(values[name]) if len(values[name]) > 1 else own for name, own in properties.items()}

    def _note(self, worker: Found, told: Any, on_event: Listener) -> None:
        """Notes which device was taken, and says if it is another one than before."""
        properties = {name: printable(text) for name, text in properties_of(told).items()}
        if self._used and properties != self._used[-1]:
            before = self._used[-1]
            other = [f"{name} {text}" for name, text in properties.items() if before.get(name) != text]
            text = f"The work goes on at {worker.name}, on another device that counts as {self.device.id}"
            on_event(Notice(f"{text}: {', '.join(other)}.", warning=True))
        if properties not in self._used[-1:]:
            self._used.append(properties)

    def _give_back(self) -> None:
        place, self._taken = self._taken, None
        if place is not None:
            place.over.set()
            if self.lab.is_here:  # a forgotten session is collected wherever the collector happens to run
                self.lab.start(_quietly(self.lab, place, "release", {"lease": place.id}))
                return
            try:
                self.lab.wait(_quietly(self.lab, place, "release", {"lease": place.id}))
            except KeyboardInterrupt:
                self.lab.start(_quietly(self.lab, place, "release", {"lease": place.id}))
                raise


async def _keep_alive(lab: Lab, place: Taken) -> None:
    """Tells the worker that this client lives, for as long as it has the place."""
    while not place.over.is_set():
        with suppress(OSError, TimeoutError, NagsdkError):  # one that is lost must not keep the next ones waiting
            await lab.ask_once(place.worker.address, "renew", {"lease": place.id}, limit_s=LEASE_S / 5)
        await asyncio.sleep(LEASE_S / 5)


async def _quietly(lab: Lab, place: Taken, call: str, request: Json) -> None:
    """Tells a worker something; a worker that is gone need not know it."""
    with suppress(OSError, TimeoutError, NagsdkError):
        await lab.ask_once(place.worker.address, call, request)
