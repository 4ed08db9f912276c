"""Facts about the machine on which this process runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder
from nagsdk.common.processes import allowed_cores
from nagsdk.errors import DeviceError, OutputError

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Returns the name of the processor model as the system reports it.

    Measurements are stored under this name, so it must be the same in every run.
    """
    try:
        for line in _CPUINFO.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return _looked_up()  # not Linux
    return platform.processor() or platform.machine()


@functools.cache
def _looked_up() -> str:
    """Asks py-cpuinfo, which takes a second or two, and caches the answer.

    The cache file belongs to this machine alone, because several machines may share the user's folders.
    """
    plain = platform.processor() or platform.machine()
    digest = hashlib.sha256(f"{platform.node()} {platform.machine()} {plain}".encode()).hexdigest()[:16]
    path = cache_folder() / "processors" / f"{digest}.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text("utf-8")
    try:
        import cpuinfo

        name = str(cpuinfo.get_cpu_info().get("brand_raw") or plain)
    except Exception:  # py-cpuinfo may fail in any way on a processor that it does not know
        name = plain
    with contextlib.suppress(OutputError):  # without a writable cache it asks again in every process
        write_atomically(path, name.encode())
    return name


def check_cores(device: str, chosen: Sequence[int]) -> None:
    """Checks the cores that a device description names.

    Args:
        device: Id of the device.
        chosen: Numbers of the cores on which its networks shall run.

    Raises:
        DeviceError: This process may not use one of them.
    """
    allowed = allowed_cores()
    if missing := sorted({*chosen} - {*allowed}):
        raise DeviceError(
            f"The device {device} names the core {missing[0]}, which this process cannot use.",
            f"Choose among {', '.join(map(str, allowed))} in the option cores.",
        )
