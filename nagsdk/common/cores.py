"""How much of this machine's processor this process may use: its cores, and its quota in a container."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nagsdk.common.processes import allowed_cores

_PROC = Path("/proc/self")


def usable_cores() -> int:
    """Number of threads that can run at the same time: the allowed cores, or fewer if there is a quota; 1 or more."""
    return max(1, math.floor(_capacity()))


def overcommitted(threads: int) -> str:
    """Why a number of threads is slowed down on this machine; empty if they can all run at the same time.

    Args:
        threads: Number of threads that wait for each other.
    """
    cores, quota = len(allowed_cores()), cpu_quota()
    if threads > cores:
        return (
            f"{threads} threads share the {cores} {'core' if cores == 1 else 'cores'} that this process may use: they "
            f"wait for each other, so the timings are slow and scatter. Use at most {usable_cores()}."
        )
    if quota is not None and threads > quota:
        return (
            f"{threads} {'thread has' if threads == 1 else 'threads have'} a quota of {quota:g} cores (cgroup): the "
            "system stops them again and again, and the timings show it. Raise the quota of the container"
            f"{f', or use at most {usable_cores()}.' if threads > 1 else '.'}"
        )
    return ""


def restrictions() -> dict[str, str]:
    """What keeps this process from using the whole machine, as properties for the record; empty if nothing does."""
    allowed, quota = allowed_cores(), cpu_quota()
    found = {}
    if len(allowed) < (os.cpu_count() or 1):
        found["allowed_cores"] = _ranges(allowed)
    if quota is not None:
        found["cpu_quota"] = f"{quota:g} cores"
    return found


def cpu_quota() -> float | None:
    """The processor time that the control groups of this process allow it, in cores; None if it is not limited.

    A quota counts for everything below the group that has it, so the least one on the way up decides.
    """
    with contextlib.suppress(OSError, ValueError):
        quotas = [quota for folder in _groups() if (quota := _quota(folder)) is not None]
        return min(quotas, default=None)
    return None


def _capacity() -> float:
    quota = cpu_quota()
    return min(len(allowed_cores()), math.inf if quota is None else quota)


def _ranges(numbers: list[int]) -> str:
    """Numbers as Linux writes them, such as ``0-3,8``."""
    runs = [
        [number for _, number in run]
        for _, run in itertools.groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    ]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _groups() -> Iterator[Path]:
    """Folders of the control groups of this process that may have a quota, each with its parents up to the mount."""
    places: dict[str, str] = {}
    for line in (_PROC / "cgroup").read_text("utf-8").splitlines():
        number, controllers, place = line.split(":", 2)
        if number == "0" or "cpu" in controllers.split(","):
            places["cgroup2" if number == "0" else "cgroup"] = place
    for line in (_PROC / "mountinfo").read_text("utf-8").splitlines():
        before, _, after = line.partition(" - ")
        root, mount = (re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text) for text in before.split()[3:5])
        kind, _, options = after.split(maxsplit=2)
        if kind not in places or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        try:
            inner = PurePosixPath(places[kind]).relative_to(root)
        except ValueError:  # a mount from outside this process's own view; its root is the group
            inner = PurePosixPath()
        if ".." in inner.parts:
            inner = PurePosixPath()
        folder = Path(mount) / inner
        yield from [folder, *folder.parents][: len(inner.parts) + 1]


def _quota(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        if (folder / "cpu.max").is_file():
            most, period = (folder / "cpu.max").read_text("utf-8").split()
        else:
            most, period = ((folder / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period"))
        if most != "max" and int(most) > 0 and int(period) > 0:
            return int(most) / int(period)
    return None
