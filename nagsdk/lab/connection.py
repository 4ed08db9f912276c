"""A client's connection to a lab: questions to the scheduler and to workers, asked from any thread."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nagsdk.errors import DeviceUnavailableError, NagsdkError, UsageError
from nagsdk.lab.certificates import CLIENT, security_of
from nagsdk.lab.messages import NAME, PROTOCOL, Json, error_of, lost, packed, resource, unexpected, unpacked
from nagsdk.lab.seal import seal

T = TypeVar("T")
# A worker that is silent for so long is given up. All waits of one fault together stay below half a minute.
ANSWER_S, AGAIN_S, HELLO_S = 18.0, 0.5, 4.0
_CONNECT_S, _CLOSE_S = 5.0, 2.0
# Bytes in a second below which a network counts as broken.
LEAST_SPEED = 50_000
# For so long a worker or scheduler to which the connection breaks is asked again.
PATIENCE_S = 8.0
# What scheduler and workers tell of themselves is asked for once by all threads that want it at the same time.
_FRESH_S = 1.0


@dataclass(frozen=True)
class Found:
    """A worker of the lab, as it describes itself.

    Attributes:
        address: Where clients reach it.
        name: Its name, for people.
        host: What tells its host from others.
        version: Its version of nagsdk.
        devices: Its devices; see `nagsdk.lab.places.Entry.described`.
        problem: Why it cannot be used; empty if it can.
    """

    address: str
    name: str
    host: str
    version: str
    devices: tuple[Json, ...]
    problem: str = ""


class Lab:
    """A lab that this process uses.

    Args:
        address: Address of the scheduler, such as ``tls://host:8786``.
        certificates: Folder of the certificates; the one of the setting if None.

    Raises:
        UsageError: The address is not one, or a certificate is missing.
    """

    def __init__(self, address: str, certificates: Path | None = None) -> None:
        if not address.startswith("tls://"):
            raise UsageError(
                f"{address!r:.80} is not the address of a lab.",
                "Write tls://HOST:8786, or local for a lab of this machine. Connections without TLS are refused.",
            )
        self.address = address
        self._told: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        self._arguments = security_of(CLIENT, certificates).get_connection_args(CLIENT)
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="nagsdk lab", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed is not None:
            raise self._failed
        atexit.register(self.close)

    _failed: Exception | None = None

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> None:
            from distributed.core import ConnectionPool

            seal(everywhere=False)
            self._pool = await ConnectionPool(
                deserialize=False, allow_offload=False, connection_args=self._arguments, timeout=_CONNECT_S
            )

        try:
            self._loop.run_until_complete(start())
        except Exception as error:
            self._failed = error
        ready.set()
        if self._failed is None:
            self._loop.run_forever()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits in this thread for what the lab's own thread does; an interruption cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def is_here(self) -> bool:
        """Whether this is the lab's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Closes all connections; the process ends."""
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            asyncio.run_coroutine_threadsafe(self._pool.close(), self._loop).result(_CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Lets the lab's own thread do something besides."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask_once(
        self, address: str, call: str, request: Json, body: bytes = b"", limit_s: float = ANSWER_S
    ) -> tuple[Json, bytes]:
        """Asks a worker, without patience.

        Raises:
            OSError: It does not answer, or TimeoutError.
            NagsdkError: What the worker's function raised.
        """
        asked = getattr(self._pool(address), NAME)(call=call, request=packed(request), body=body)
        try:
            answer = await asyncio.wait_for(asked, limit_s)
            told, content = unpacked(answer["answer"]), bytes(answer["body"])
        except (OSError, TimeoutError, NagsdkError):
            raise
        except Exception as error:  # dask tells what a worker could not do in its own ways
            raise unexpected(error) from error
        if (failure := error_of(told)) is not None and "bursts" not in told:
            raise failure
        return told, content

    async def ask(self, address: str, where: str, call: str, request: Json, body: bytes = b"") -> tuple[Json, bytes]:
        """Asks a worker; where the connection breaks, it is asked again for a while. Every question may be repeated.

        Args:
            address: Its address.
            where: Its name, for messages.
            call: One of the functions in `nagsdk.lab.functions`.
            request: The arguments.
            body: Bytes that belong to them.

        Raises:
            ConnectionLostError: It does not answer any more.
            NagsdkError: What the worker's function raised.
        """
        begun, passed = time.monotonic(), 0.0
        limit = ANSWER_S + len(body) / LEAST_SPEED
        while True:
            try:
                return await self.ask_once(address, call, request, body, limit - passed)
            except (OSError, TimeoutError) as error:
                await asyncio.sleep(AGAIN_S)
                passed = time.monotonic() - begun
                if passed > PATIENCE_S or not await self._knows(address):
                    raise lost(where, f"it does not answer ({type(error).__name__})") from error

    async def _knows(self, address: str) -> bool:
        """Whether the scheduler knows a worker; True if it does not answer itself."""
        try:
            known = await asyncio.wait_for(self._pool(self.address).identity(), HELLO_S)
        except (OSError, TimeoutError):
            return True
        return any((one.get(NAME) or {}).get("address") == address for one in known["workers"].values())

    def workers(self, fingerprint: str | None = None) -> list[Found]:
        """The workers that the scheduler knows.

        Args:
            fingerprint: If given, only the workers that announce a device with it, and only that device of them.

        Raises:
            DeviceUnavailableError: The scheduler does not answer.
        """
        return self.wait(self._workers(fingerprint))

    async def _workers(self, fingerprint: str | None) -> list[Found]:
        if fingerprint is None:
            return await self._shared("workers", self._all_workers)
        known = await self._shared("scheduler", self._identity)
        name = resource(fingerprint)
        return await self._hello_of(
            [one for one in known["workers"].values() if one["resources"].get(name)], {"fingerprint": fingerprint}
        )

    async def _all_workers(self) -> list[Found]:
        known = await self._shared("scheduler", self._identity)
        return await self._hello_of(list(known["workers"].values()), {})

    async def _shared(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        at, answer = self._told.get(what, (0.0, None))
        if answer is None or (answer.done() and time.monotonic() > at + _FRESH_S):
            answer = asyncio.ensure_future(ask())
            self._told[what] = time.monotonic(), answer
        found: T = await asyncio.shield(answer)  # one that waits may be interrupted, the others still wait
        return found

    async def _identity(self) -> Json:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                known: Json = await asyncio.wait_for(self._pool(self.address).identity(), ANSWER_S)
            except (OSError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise DeviceUnavailableError(
                        f"The scheduler of the lab at {self.address} does not answer ({type(error).__name__}).",
                        "Start it: nagsdk lab scheduler. If it runs, compare address and certificates.",
                    ) from error
                await asyncio.sleep(AGAIN_S)
            else:
                return known

    async def _hello_of(self, workers: list[Json], asked: Json) -> list[Found]:
        told = [one.get(NAME) for one in workers]
        return list(await asyncio.gather(*(self._hello(one, asked) for one in told if isinstance(one, dict))))

    async def _hello(self, told: Json, asked: Json) -> Found:
        address = str(told.get("address"))
        if told.get("protocol") != PROTOCOL:
            other = "It has another version of nagsdk, which speaks another protocol: install the same on both."
            return Found(address, address, "", "", (), other)
        try:
            answer, _ = await asyncio.wait_for(self.ask_once(address, "hello", asked), HELLO_S)
        except (OSError, TimeoutError) as error:
            return Found(address, address, "", "", (), f"It does not answer ({type(error).__name__}).")
        name, host, version = (str(answer[key]) for key in ("name", "host", "version"))
        return Found(address, name, host, version, tuple(answer["devices"]))
