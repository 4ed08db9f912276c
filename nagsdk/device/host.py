"""Facts of the machine that this process runs on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
from pathlib import Path

from nagsdk.common.files import write_atomically
from nagsdk.common.folders import cache_folder
from nagsdk.errors import OutputError

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Its model, as the system names it; measurements are kept under it, so it must be the same in every run."""
    try:
        for line in _CPUINFO.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return _looked_up()  # no Linux
    return platform.processor() or platform.machine()


@functools.cache
def _looked_up() -> str:
    """What py-cpuinfo finds out in a second or two.

    It is kept in the cache, for this machine alone: others may share the user's folders.
    """
    plain = platform.processor() or platform.machine()
    digest = hashlib.sha256(f"{platform.node()} {platform.machine()} {plain}".encode()).hexdigest()[:16]
    path = cache_folder() / "processors" / f"{digest}.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text("utf-8")
    try:
        import cpuinfo

        name = str(cpuinfo.get_cpu_info().get("brand_raw") or plain)
    except Exception:  # whatever it makes of a processor that it does not know
        name = plain
    with contextlib.suppress(OutputError):  # without a cache it is looked up every time
        write_atomically(path, name.encode())
    return name
