"""What a worker does for clients: a table of functions by name, which is all that a message can call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nagsdk.common.temporary import temporary_folder
from nagsdk.common.version import VERSION
from nagsdk.device.burst import Timing
from nagsdk.device.description import LEGAL_NAME
from nagsdk.errors import DeviceError, NagsdkError, UsageError
from nagsdk.lab.files import Files
from nagsdk.lab.messages import CHUNK_BYTES, PROTOCOL, Json, packed, told, unexpected, unpacked
from nagsdk.lab.places import Entry, Lease, Places, close, gone

# How long one question about a running job is open; then the client asks again, which also shows that it lives.
POLL_S = 5.0
_MOST_SESSIONS, _MOST_PLAN, _MOST_FILES = 16, 10_000, 2000
Answer = tuple[Json, bytes]


@dataclass
class Functions:
    """The functions of one worker.

    Attributes:
        name: Name of the worker, for messages.
        host: What tells this host from others, so that a client knows whether the worker is beside it.
        places: Its devices.
        files: The files that clients sent.
    """

    name: str
    host: str
    places: Places
    files: Files

    async def answer(self, call: str, request: bytes, body: bytes = b"") -> dict[str, bytes]:
        """Answers one message; errors are answers too.

        Args:
            call: Name of a function in the table.
            request: JSON with its arguments.
            body: Bytes that belong to them.
        """
        content = b""
        try:
            function = _TABLE.get(call)
            if function is None:
                raise DeviceError(f"A worker has no function {call!r:.40}.", "Install the same version of nagsdk.")
            answer, content = await function(self, unpacked(request), body)
        except NagsdkError as error:
            answer = told(error)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            answer = told(unexpected(error))
        return {"answer": packed(answer), "body": content}

    async def hello(self, request: Json, body: bytes) -> Answer:
        """What this worker is, and what it has; only the device with a fingerprint, if the request names one."""
        return {
            "version": VERSION,
            "protocol": PROTOCOL,
            "name": self.name,
            "host": self.host,
            "devices": [
                entry.described()
                for entry in self.places.entries
                if request.get("fingerprint") in (None, entry.fingerprint)
            ],
        }, b""

    async def presence(self, request: Json, body: bytes) -> Answer:
        """Whether a device is available with a client's settings."""
        entry = self._entry(request)

        def ask() -> Json:
            return asdict(self.places.presence(entry, entry.with_settings(request["settings"])))

        found = await asyncio.to_thread(ask)
        return {"presence": {**found, "properties": dict(found["properties"])}}, b""

    async def take(self, request: Json, body: bytes) -> Answer:
        """Gives a client the place of a device, if it is free and both have the same versions."""
        entry = self._entry(request)
        self._check_versions(request, entry)
        lease = await asyncio.to_thread(self.places.take, entry, str(request["client"]))
        return {"lease": lease.id, "properties": dict(entry.presence.properties)}, b""

    async def renew(self, request: Json, body: bytes) -> Answer:
        """Keeps the places of a client that is alive."""
        self.places.lease(request["lease"])
        return {}, b""

    async def release(self, request: Json, body: bytes) -> Answer:
        """Gives a place back."""
        await asyncio.to_thread(self.places.release, self.places.lease(request["lease"]))
        return {}, b""

    async def close(self, request: Json, body: bytes) -> Answer:
        """Closes a session, also during a run."""
        session = self.places.lease(request["lease"]).sessions.pop(request["session"], None)
        if session is not None:
            await asyncio.to_thread(close, session)
        return {}, b""

    async def missing(self, request: Json, body: bytes) -> Answer:
        """Which of some files are not here."""
        return {"missing": self.files.missing(list(request["names"])[:_MOST_FILES])}, b""

    async def put(self, request: Json, body: bytes) -> Answer:
        """Takes in a part of a file."""
        arguments = (request["name"], request["offset"], request["size"], body, request["upload"])
        return {"here": await asyncio.to_thread(self.files.add, *arguments)}, b""

    async def get(self, request: Json, body: bytes) -> Answer:
        """A part of a file."""
        path = self.files.path(request["name"])
        with path.open("rb") as file:
            file.seek(request["offset"])
            return {"size": path.stat().st_size}, file.read(CHUNK_BYTES)

    async def do(self, request: Json, body: bytes) -> Answer:
        """Does a job in the thread of a place. The same number means the same job, whose answer may have been lost."""
        lease, number = self.places.lease(request["lease"]), request["number"]
        if request["what"] not in _JOBS or type(number) is not int:
            raise DeviceError("A worker has no such job.", "Install the same version of nagsdk on both sides.")
        entry = lease.entry
        if (entry.device.id, entry.fingerprint) != (request["device"], request["fingerprint"]):
            raise UsageError(f"{request['device']!r:.80} is not what this client has taken.", "Take it first.")
        job: Future[Answer] = self.places.in_place(lease, number, lambda: self._done(lease, entry, request, body))
        finished, _ = await asyncio.wait([asyncio.wrap_future(job)], timeout=POLL_S)
        lease.renew()
        return finished.pop().result() if finished else ({"pending": True}, b"")

    def _done(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        for handle in request.get("unload", []):
            try:
                lease.sessions[request["session"]].unload(handle)
            except (NagsdkError, KeyError):
                continue  # whatever uses the handle later is told
        try:
            return _JOBS[request["what"]](self, lease, entry, request, body)
        except DeviceError as error:
            raise gone(entry, error, self.name) from error

    def _open(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        if len(lease.sessions) >= _MOST_SESSIONS:
            raise UsageError(f"A client may have {_MOST_SESSIONS} open sessions.", "Close some.")
        device = entry.with_settings(request["settings"])
        number = request["number"]
        lease.sessions[number] = entry.backend.open(device)
        return {"session": number}, b""

    def _compile(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        device, source = entry.with_settings(request["settings"]), self.files.path(request["name"])
        with temporary_folder() as folder:
            artifact = folder / f"model{entry.backend.suffix}"
            artifact.write_bytes(source.read_bytes())
            compiled = entry.backend.compile(artifact, device, folder)
            if compiled == artifact:
                return {"name": request["name"]}, b""
            return {"name": self.files.keep(compiled, entry.backend.compiled_suffix)}, b""

    def _load(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        session = _session(lease, request)
        return {"handles": session.load_all([self._artifact(entry, name) for name in request["names"]])}, b""

    def _time(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        plan = [Timing(int(h), int(w), int(r), float(s)) for h, w, r, s in request["plan"][:_MOST_PLAN]]
        bursts: list[Json] = []
        try:
            for burst in _session(lease, request).time_all(plan):
                bursts.append({**vars(burst), "properties": dict(burst.properties)})  # noqa: PERF401 — the error below
        except DeviceError as error:  # what was timed before it counts
            return {"bursts": bursts, **told(gone(entry, error, self.name))}, b""
        return {"bursts": bursts}, b""

    def _sustain(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        _session(lease, request).sustain()
        return {}, b""

    def _meter(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        return {"meter": asdict(_session(lease, request).meter())}, b""

    def _layer_times(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        path = self._artifact(entry, request["name"])
        times = _session(lease, request).layer_times(path, int(request["runs"]), float(request["timeout_s"]))
        return {"times": [(one.name, one.kind, one.ms) for one in times]}, b""

    def _infer(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        images = np.frombuffer(body, np.float32).reshape(request["shape"])
        logits = np.ascontiguousarray(_session(lease, request).infer(int(request["handle"]), images), np.float32)
        return {"shape": list(logits.shape)}, logits.tobytes()

    def _evaluate(self, lease: Lease, entry: Entry, request: Json, body: bytes) -> Answer:
        from nagsdk.training.evaluate import evaluate

        with temporary_folder() as folder:
            for name, stored in request["files"].items():
                if not LEGAL_NAME.fullmatch(name):
                    raise UsageError(f"{name!r:.80} is not the name of a file of a bundle.", "Rename it.")
                (folder / name).write_bytes(self.files.path(stored).read_bytes())
            rows = evaluate(bundle=folder, architectures=[str(text) for text in request["architectures"]])
        return {"rows": [row.to_dict() for row in rows]}, b""

    def _artifact(self, entry: Entry, name: str) -> Path:
        path = self.files.path(name)
        if not path.name.endswith(tuple(s for s in (entry.backend.suffix, entry.backend.compiled_suffix) if s)):
            raise UsageError(f"{entry.backend.title} does not load files such as {path.name[64:]}.", "Export it again.")
        return path

    def _entry(self, request: Json) -> Entry:
        return self.places.entry(str(request["device"]), str(request["fingerprint"]))

    def _check_versions(self, request: Json, entry: Entry) -> None:
        check_versions(self.name, (VERSION, entry.package), (str(request["version"]), str(request["package"])))


def check_versions(where: str, there: tuple[str, str], here: tuple[str, str]) -> None:
    """Raises an error if a client and a worker do not run the same nagsdk and the same plugin.

    Args:
        where: Name of the worker.
        there: Version of nagsdk, and package of the device's plugin, on the worker.
        here: The same of the client.

    Raises:
        UsageError: They differ; readings would not mean the same.
    """
    for what, own, other in (("nagsdk", there[0], here[0]), ("the device's plugin", there[1], here[1])):
        if own != other:
            raise UsageError(
                f"{where} has {what} {own or 'in an unknown version'}, the client has {other or 'none'}.",
                "Install the same version on both, and start the worker again.",
            )


def _session(lease: Lease, request: Json) -> Any:
    session = lease.sessions.get(request["session"])
    if session is None:
        raise DeviceError("This session is closed.", "Open a new one.")
    return session


_TABLE: Mapping[str, Callable[[Functions, Json, bytes], Awaitable[Answer]]] = {
    name: getattr(Functions, name)
    for name in ("hello", "presence", "take", "renew", "release", "close", "missing", "put", "get", "do")
}
_JOBS: Mapping[str, Callable[[Functions, Lease, Entry, Json, bytes], Answer]] = {
    name: getattr(Functions, f"_{name}")
    for name in ("open", "compile", "load", "time", "sustain", "meter", "layer_times", "infer", "evaluate")
}
