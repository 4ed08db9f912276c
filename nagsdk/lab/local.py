"""A lab of this machine alone, for a program that asks for the lab ``local``."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nagsdk.common.processes import end
from nagsdk.common.temporary import temporary_folder
from nagsdk.errors import DeviceUnavailableError
from nagsdk.lab.certificates import write_certificates
from nagsdk.lab.connection import Lab

_START_S, _LOOK_S = 60.0, 0.2


def start_local(workers: Sequence[Sequence[str]] = ((),), folder: Path | None = None) -> Lab:
    """Starts a scheduler and workers in processes of their own, which end with this process.

    Args:
        workers: The arguments of `nagsdk lab worker` for each worker.
        folder: Where certificates are written; a temporary folder if None.

    Raises:
        DeviceUnavailableError: They do not start.
    """
    kept = ExitStack()
    atexit.register(kept.close)
    certificates = (kept.enter_context(temporary_folder()) if folder is None else folder) / "certificates"
    write_certificates(certificates)
    started: list[subprocess.Popen[bytes]] = []
    kept.callback(_end_all, started)
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    started.append(start("scheduler", "--listen", f"127.0.0.1:{port}", "--certificates", str(certificates)))
    lab = Lab(address, certificates)
    arguments = ("--listen", "127.0.0.1:0", "--certificates", str(certificates))
    started += [start("worker", address, *arguments, *own) for own in workers]
    until = time.monotonic() + _START_S
    while len([one for one in lab.workers() if not one.problem]) < len(workers):
        if time.monotonic() > until or any(process.poll() is not None for process in started):
            raise DeviceUnavailableError(
                "The lab of this machine does not start.", "Start its parts by hand, which says why: docs/lab.md."
            )
        time.sleep(_LOOK_S)
    return lab


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Starts ``nagsdk lab …`` in a process of its own, which ends with this one."""
    return subprocess.Popen(  # noqa: S603 — this interpreter and our own module
        [sys.executable, "-P", "-m", "nagsdk", "lab", *arguments, "--with-parent"],
        stdin=subprocess.PIPE,  # closed when this process ends, in whatever way
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def free_port() -> int:
    """A port of this machine that nothing listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        end(process)
