"""The two programs of a lab that run all the time: the scheduler, and a worker on each host with devices."""

from __future__ import annotations

import asyncio
import contextlib
import math
import platform
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nagsdk.common.folders import cache_folder
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import DeviceUnavailableError, UsageError
from nagsdk.events import Listener, Notice
from nagsdk.lab.certificates import SCHEDULER, WORKER, security_of
from nagsdk.lab.files import Files
from nagsdk.lab.functions import Functions
from nagsdk.lab.messages import NAME, PROTOCOL
from nagsdk.lab.places import Places
from nagsdk.lab.seal import seal
from nagsdk.plugin.host import host

PORT = 8786
RETRY_S, LOOK_S, SWEEP_S = 1.0, 15.0, 2.0
# Seconds after which dask gives up a silent connection; its own default is longer than work may stand still.
SILENT_S, JOIN_S = 15.0, 10.0
_TTL = "30s"
# Devices that do not answer, such as phones that reboot, must not keep the questions about others waiting.
_MOST_THREADS = 128
_EVERYWHERE = "0.0.0.0"  # noqa: S104 — nobody without a certificate of the lab gets further than the handshake
# All that a scheduler answers, and all that the two say to each other on the connection that stays open. Dask has
# more, most of which runs code of the sender.
_SCHEDULER_ANSWERS = ("identity", "register-worker", "unregister", "heartbeat_worker", "set_resources")
_STREAMS = ("keep-alive", "log-event", "worker-status-change", "close", "remove-worker")


async def run_scheduler(listen: str, certificates: Path | None, on_event: Listener) -> None:
    """Runs the scheduler of a lab until it is cancelled.

    Args:
        listen: Where it listens: ``host:port``, ``:port`` for all networks of this host.
        certificates: Folder of the certificates; the one of the setting if None.
        on_event: Receives a notice once it listens.

    Raises:
        NagsdkError: A certificate is missing, or it cannot listen there.
    """
    security = security_of(SCHEDULER, certificates)
    with _own_process(), temporary_folder() as folder:
        from distributed.scheduler import Scheduler

        class LabScheduler(Scheduler):  # type: ignore[misc]
            start_http_server = _none  # dask's pages would be open to everybody

        host_name, port = _place(listen)
        try:
            scheduler = LabScheduler(
                protocol="tls",
                host=host_name,
                port=port,
                security=security,
                extensions={},
                dashboard=False,
                local_directory=str(folder),
                worker_ttl=_TTL,
            )
            _restrict(scheduler, _SCHEDULER_ANSWERS)
            async with scheduler:
                on_event(Notice(f"The scheduler of the lab listens at {scheduler.address}"))
                await scheduler.finished()
        except OSError as error:
            raise UsageError(f"The scheduler cannot listen at {listen}: {error}.", "Name another port.") from error


async def run_worker(
    scheduler: str,
    names: Sequence[str],
    *,
    name: str | None,
    listen: str,
    contact: str | None,
    most_bytes: int,
    certificates: Path | None,
    on_event: Listener,
) -> None:
    """Runs a worker until it is cancelled; when the scheduler goes, it waits for it, and running work goes on.

    Args:
        scheduler: Address of the scheduler.
        names: Devices to announce; all that are available if empty.
        name: Name of the worker; the name of this host if None.
        listen: Where it listens for clients, as for `run_scheduler`.
        contact: Address that clients use, where they cannot use the one at which it listens.
        most_bytes: What the files of clients may take.
        certificates: Folder of the certificates; the one of the setting if None.
        on_event: Receives notices.

    Raises:
        NagsdkError: A certificate is missing, a device is unknown, or none is available.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_MOST_THREADS))
    security, named = security_of(WORKER, certificates), name or socket.gethostname()
    places = await asyncio.to_thread(Places, host(), names, named)
    if not places.entries:
        raise DeviceUnavailableError(
            "No device of this host is available, so a worker would have nothing to do.",
            "`nagsdk devices` shows why.",
        )
    with _own_process(), temporary_folder() as folder:
        from distributed.core import Server

        files = Files(cache_folder() / "lab", most_bytes, named)
        functions = Functions(named, platform.node(), places, files)
        server = Server(
            {}, deserialize=False, connection_args=security.get_connection_args(WORKER), local_directory=str(folder)
        )
        server.handlers = {NAME: functions.answer}
        at, port = _place(listen)
        try:
            await server.listen(f"tls://{at}:{port}", allow_offload=False, **security.get_listen_args(WORKER))
        except OSError as error:
            raise UsageError(f"The worker cannot listen at {listen}: {error}.", "Name another port.") from error
        address = contact or server.listeners[0].contact_address
        told = {"address": address, "protocol": PROTOCOL}
        sweeping, waiting = asyncio.create_task(_sweep(places)), False
        try:
            async with server:
                while True:
                    async with _registered(scheduler, told, places, security, folder) as registered:
                        if registered is not None:
                            waiting = False
                            devices = ", ".join(e.device.id for e in places.entries if e.presence.available)
                            on_event(Notice(f"{named} offers {devices} at {address}, known to {scheduler}"))
                            await _until_closed(registered, places)
                    if not waiting:
                        waiting = True
                        on_event(Notice(f"The scheduler {scheduler} does not answer; waiting for it.", warning=True))
                    await asyncio.sleep(RETRY_S)
        finally:
            sweeping.cancel()
            await asyncio.to_thread(places.release_all)


@contextlib.asynccontextmanager
async def _registered(
    scheduler: str, told: dict[str, Any], places: Places, security: Any, folder: Path
) -> AsyncIterator[Any]:
    """A worker of dask that tells the scheduler of this one; None if the scheduler cannot be reached."""
    from distributed.worker import Worker

    class Announcer(Worker):  # type: ignore[misc]
        start_http_server = _none

    worker = Announcer(
        scheduler,
        nthreads=1,
        resources=places.resources,
        security=security,
        deserialize=False,
        extensions={},
        startup_information={NAME: lambda _: told},
        memory_limit=0,
        local_directory=str(folder),
        death_timeout=JOIN_S,
    )
    _restrict(worker, ("ping",))
    try:
        try:
            await worker
        except (OSError, TimeoutError, ValueError, RuntimeError):
            yield None
        else:
            yield worker
    finally:
        with contextlib.suppress(Exception):  # it may have failed halfway
            await worker.close(timeout=1, executor_wait=False, reason="nagsdk")


async def _until_closed(worker: Any, places: Places) -> None:
    """Waits until a worker loses its scheduler, and tells the scheduler of devices that come and go."""
    finished = asyncio.ensure_future(worker.finished())
    announced = places.resources
    while not (await asyncio.wait([finished], timeout=LOOK_S))[0]:
        await asyncio.to_thread(places.look)
        if places.resources != announced:
            announced = {**dict.fromkeys(announced, 0.0), **places.resources}
            with contextlib.suppress(OSError):
                await worker.set_resources(**announced)


async def _sweep(places: Places) -> None:
    """Takes their places from clients that are gone."""
    ending: set[asyncio.Future[None]] = set()
    while True:
        await asyncio.sleep(SWEEP_S)
        for lease in places.expired():
            lease.until = math.inf  # closing a session may take long, and must not keep the others
            ending.add(asyncio.ensure_future(asyncio.to_thread(places.release, lease)))
        ending = {one for one in ending if not one.done()}


def _restrict(server: Any, answers: Sequence[str]) -> None:
    """Leaves a server of dask those of its functions that a lab needs."""
    server.handlers = {name: server.handlers[name] for name in answers}
    server.stream_handlers = {name: f for name, f in server.stream_handlers.items() if name in _STREAMS}


@contextlib.contextmanager
def _own_process() -> Any:
    """Settings of dask for a process that does nothing else."""
    import logging

    import dask

    seal(everywhere=True)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(
        {"distributed.comm.timeouts.tcp": f"{SILENT_S:g}s", "distributed.comm.timeouts.connect": "10s"}
    ):
        yield


def _none(*arguments: Any, **named: Any) -> None:
    """In place of what a lab does not start."""


def _place(text: str) -> tuple[str, int]:
    """Host and port of an address to listen at.

    Raises:
        UsageError: It is none.
    """
    name, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 1 << 16:
        raise UsageError(f"{text!r:.80} is no place to listen at.", "Write HOST:PORT, or :PORT for all networks.")
    return name or _EVERYWHERE, int(port)


def serve(running: Coroutine[Any, Any, None], with_parent: bool) -> None:
    """Runs one of the two until the process is stopped.

    Args:
        running: What runs.
        with_parent: Whether it ends when standard input is closed, by the end of the process that started it.
    """

    async def run() -> None:
        work = asyncio.ensure_future(running)
        if with_parent:
            loop = asyncio.get_running_loop()
            ended = threading.Thread(target=_wait_for_end, args=(loop, work.cancel), daemon=True)
            ended.start()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    asyncio.run(run())


def _wait_for_end(loop: asyncio.AbstractEventLoop, cancel: Callable[[], Any]) -> None:
    while sys.stdin.buffer.read(1):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(cancel)
