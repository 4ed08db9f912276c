"""Runs the cases of a format, each within 10 s and 1 GB."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nagsdk.errors import NagsdkError
from tests.fuzz.formats import Format

_MOST_S, _MOST_BYTES = 10.0, 10**9
# Nothing is allocated far beyond what is allowed, so that no case takes the machine down.
_GUARD_BYTES = 4 * 10**9
# Waiting longer than this is a hang even on a busy machine.
_PATIENCE_S = 60


class HangError(BaseException):
    """A case does not end; no reader can catch it as an error of its own."""


@dataclass
class Outcome:
    """What became of the cases of a format.

    Attributes:
        accepted: How many contents were read and could be used.
        refused: How many were refused with an error that says what to do.
        wrong: What went wrong, by the number of the case.
        slowest_s: The most processor time of a case.
    """

    accepted: int = 0
    refused: int = 0
    wrong: dict[int, str] = field(default_factory=dict)
    slowest_s: float = 0.0


def content_of(name: str, kind: Format, number: int) -> bytes:
    """A damaged content; the same number always gives the same one."""
    rng, content = random.Random(f"{name} {number}"), kind.sample()
    for _ in range(20):
        damaged = kind.damage(content, rng)
        if damaged != content:
            return damaged
    raise AssertionError(f"{name} cannot be damaged")


def run(name: str, kind: Format, numbers: Iterable[int], folder: Path) -> Outcome:
    """Reads damaged contents.

    Args:
        name: Name of the format.
        kind: The format.
        numbers: Numbers of the cases.
        folder: A folder that is emptied for each case.
    """
    outcome = Outcome()
    _empty(folder)
    kind.use(kind.sample(), folder)  # loads the libraries, whose memory is not that of a case
    with _guarded():
        for number in numbers:
            _empty(folder)
            content = content_of(name, kind, number)
            before, began = _begin_peak(), time.process_time()
            try:
                with warnings.catch_warnings(), _alarm():
                    warnings.simplefilter("ignore")
                    kind.use(content, folder)
                outcome.accepted += 1
            except NagsdkError as error:
                outcome.refused += 1
                if not (error.message.strip() and error.next_step.strip()):
                    outcome.wrong[number] = "the error has no message or no next step"
            except (Exception, HangError) as error:
                outcome.wrong[number] = "".join(traceback.format_exception(error))[-1500:]
            took = time.process_time() - began
            outcome.slowest_s = max(outcome.slowest_s, took)
            if took > _MOST_S:
                outcome.wrong.setdefault(number, f"it took {took:.0f} s")
            if _peak() - before > _MOST_BYTES:
                outcome.wrong.setdefault(number, f"it took {(_peak() - before) / 1e9:.1f} GB of memory")
    return outcome


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@contextmanager
def _alarm() -> Iterator[None]:
    """Ends a block that hangs, where the system has alarms."""
    if sys.platform == "win32":
        yield
        return

    def ring(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _guarded() -> Iterator[None]:
    """Limits the address space of this process; only Linux does that."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + _GUARD_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _begin_peak() -> int:
    """Forgets the peak of memory, and returns the memory now; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    Path("/proc/self/clear_refs").write_bytes(b"5")
    return _memory("VmRSS")


def _peak() -> int:
    return _memory("VmHWM") if sys.platform == "linux" else 0


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the system does not tell {name}")
