"""Facts about this process and others, in the same way on Linux, macOS and Windows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence


def allowed_cores() -> list[int]:
    """Numbers of the processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # psutil calls the same, but takes 40 ms to import
        return sorted(os.sched_getaffinity(0))
    import psutil

    own = psutil.Process()
    if hasattr(own, "cpu_affinity"):
        with contextlib.suppress(psutil.Error):
            return sorted(own.cpu_affinity())
    return list(range(os.cpu_count() or 1))


def can_pin() -> bool:
    """Whether this system lets a process choose its cores; macOS does not."""
    import psutil

    return hasattr(psutil.Process, "cpu_affinity")


def pin(chosen: Sequence[int]) -> None:
    """Restricts this process to some cores; only if `can_pin`.

    Args:
        chosen: Numbers of the cores.

    Raises:
        ValueError: There is no such core.
    """
    import psutil

    own = psutil.Process()
    assert hasattr(own, "cpu_affinity")
    own.cpu_affinity(list(chosen))


def peak_memory_bytes() -> int:
    """The largest amount of memory that this process has used so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and its children; on Linux and macOS it must have been started with ``start_new_session``."""
    if sys.platform == "win32":
        import psutil

        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def end_children() -> None:
    """Kills every process that this one started and that still runs, with what they started in turn."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if sys.platform != "win32" and os.getpgid(child.pid) == child.pid:
                    os.killpg(child.pid, signal.SIGKILL)  # also those that the child left behind
                child.kill()
