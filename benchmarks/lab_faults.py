"""How long work stands still after faults in a lab of this machine.

    python benchmarks/lab_faults.py

A session on a device that sleeps times a network again and again. Then something fails, and the seconds until the next
burst are printed: on another worker with the same device where the fault takes the first one away. Two minutes; Linux.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from lab import install  # type: ignore[import-not-found, unused-ignore]

from nagsdk.common.processes import end
from nagsdk.common.temporary import temporary_folder
from nagsdk.device.backend import Backend
from nagsdk.device.description import Device
from nagsdk.errors import ConnectionLostError
from nagsdk.lab import local
from nagsdk.lab.certificates import write_certificates
from nagsdk.lab.connected import connected
from nagsdk.lab.reach import reached
from nagsdk.lab.session import LabSession
from nagsdk.plugin.host import load_all, using

TARGET_S, MOST_SESSIONS, PLUG_S = 30.0, 4, 20.0
_numbers = count()


class Parts:
    """A lab of this machine whose parts can be harmed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.certificates = folder, folder.parent / "certificates"
        folder.mkdir()
        self.listen = f"127.0.0.1:{local.free_port()}"
        self.address = f"tls://{self.listen}"
        self.started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        return self._start("scheduler", "--listen", self.listen)

    def worker(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a worker with its own cache, and waits until the scheduler knows it."""
        known = len(self.known())
        options = ("--listen", "127.0.0.1:0", "--name", name, "--device", "bench-0")
        cache = str(self.folder / f"cache-{name}")
        process = self._start("worker", self.address, *options, NAGSDK_CACHE_DIR=cache, **environment)
        self.wait_for(known + 1)
        return process

    def known(self) -> list[str]:
        return [worker.name for worker in connected(self.address).workers() if not worker.problem]

    def wait_for(self, number: int) -> None:
        while len(self.known()) < number:
            time.sleep(0.1)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        process = local.start(*arguments, "--certificates", str(self.certificates), **environment)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            end(process)


def goes_on(found: tuple[Backend, Device], networks: Sequence[Path], harm: Callable[[str], float | None]) -> float:
    """Seconds from a fault to the next burst.

    Args:
        found: Where sessions are opened.
        networks: A network that is timed before the fault, and another one that is sent and timed after it.
        harm: Does harm to the worker with this name; may tell the moment from which the seconds count.
    """
    (backend, device), since = found, 0.0
    for _ in range(MOST_SESSIONS):
        try:
            with backend.open(device) as session:
                assert isinstance(session, LabSession)
                if not since:
                    session.time(session.load(networks[0]), 0, 3, 60.0)
                    since = harm(session.worker) or time.monotonic()
                session.time(session.load(networks[1]), 0, 3, 60.0)
                return time.monotonic() - since
        except ConnectionLostError:
            continue
    raise SystemExit("the connection was lost again and again")


@contextmanager
def a_lab(folder: Path) -> Iterator[Parts]:
    parts = Parts(folder / f"lab-{next(_numbers)}")
    try:
        yield parts
    finally:
        parts.end()


def told(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.1f} s (target <= {TARGET_S:.0f})", flush=True)


def faults(folder: Path) -> None:
    """Lets one fault after the other happen."""
    networks = [folder / f"network-{number}.onnx" for number in range(2)]
    for number, path in enumerate(networks):
        path.write_bytes(b"onnx" * (2500 + number))

    def gone(name: str) -> Path:
        return folder / f"gone-{name}"

    @contextmanager
    def two() -> Iterator[tuple[tuple[Backend, Device], dict[str, subprocess.Popen[bytes]]]]:
        with a_lab(folder) as parts:
            workers = {name: parts.worker(name, BENCH_GONE=str(gone(name))) for name in ("first", "second")}
            yield reached("bench-0", parts.address), workers

    for what, sent in (("killed", signal.SIGKILL), ("silent", signal.SIGSTOP)):
        with two() as (found, workers):
            seconds = goes_on(found, networks, lambda name, w=workers, sent=sent: w[name].send_signal(sent))  # type: ignore[misc]
            told(f"a worker is {what}, another one has the device", seconds)
    with two() as (found, workers):
        told("a device is unplugged, another worker has it", goes_on(found, networks, lambda name: gone(name).touch()))
    for name in workers:
        gone(name).unlink(missing_ok=True)
    with two() as (found, workers):
        limit = (5000, 5000)
        seconds = goes_on(
            found,
            networks,
            lambda name: resource.prlimit(workers[name].pid, resource.RLIMIT_FSIZE, limit) and None,
        )
        told("a worker's disk is full, another one has room", seconds)
    with a_lab(folder) as parts:
        parts.worker("first", BENCH_GONE=str(gone("first")))
        found = reached("bench-0", parts.address)

        def unplug(name: str) -> float:
            gone(name).touch()
            subprocess.Popen(["sh", "-c", f"sleep {PLUG_S:g}; rm {gone(name)}"])  # noqa: S607
            return time.monotonic() + PLUG_S

        told(f"a device is plugged in again after {PLUG_S:g} s", goes_on(found, networks, unplug))
        told("the scheduler is killed, the session", goes_on(found, networks, lambda name: parts.scheduler.kill()))
        parts.scheduler.wait()
        time.sleep(2.0)
        parts.start_scheduler()
        begun = time.monotonic()
        parts.wait_for(1)
        told("the scheduler is there again, the worker is known to it", time.monotonic() - begun)
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, parts.address],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            stdout=subprocess.PIPE,
        )
        assert client.stdout is not None
        client.stdout.readline()
        client.kill()
        begun = time.monotonic()
        with found[0].open(found[1]):
            told("a client is killed, the next one has its device", time.monotonic() - begun)


CLIENT = """
import sys, time
from nagsdk.lab.reach import reached
from nagsdk.lab.session import LabSession
backend, device = reached("bench-0", sys.argv[1])
session = backend.open(device)
print("open", flush=True)
time.sleep(600)
"""


def main() -> None:
    os.environ["NAGSDK_DATA_DIR"] = tempfile.mkdtemp()
    os.environ["NAGSDK_CACHE_DIR"] = tempfile.mkdtemp()
    with temporary_folder() as folder:
        install(folder / "site", 0.01, 1)
        write_certificates(folder / "certificates")
        os.environ["NAGSDK_LAB_CERTIFICATES"] = str(folder / "certificates")
        with using(load_all()):
            faults(folder)


if __name__ == "__main__":
    main()
