"""Facts of the machine that this process runs on."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Its model, as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or platform.machine()
