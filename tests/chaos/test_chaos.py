"""Commands that are killed, interrupted, or meet a full or broken disk, at every moment.

The unmarked test is a small sample. `make chaos` runs all of it and prints the counts.
"""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.chaos.sandbox import COMMANDS, Ended
from tests.conftest import REPOSITORY

if sys.platform != "linux":
    pytest.skip("reads /proc to see what a command leaves", allow_module_level=True)

KILLS, SIGNALS = 30, 9  # for each command, beside the distinct changes; for each command, signal and way
SOON_S = 3.0
WRITES = ("open", "os.mkdir", "os.rename", "swap", "write", "fsync", "sql", "sqlite3.connect")
REFUSED = (0, 2, 4, 5, 7)  # a cache that cannot be written is no reason to fail
# Before a command handles signals, they end the process as they end any program.
CODES = {signal.SIGINT: (130, -signal.SIGINT), signal.SIGTERM: (143, -signal.SIGTERM)}


def spread(count, total, seed=0):
    """Numbers from 1 to `total`, spread evenly with a random beginning."""
    step = max(1.0, total / count)
    start = random.Random(seed).uniform(0, step)
    return sorted({min(total, int(start + i * step) + 1) for i in range(min(count, total))})


def distinct(changes):
    """For every distinct change, its first and its last time; names without their random parts are the same change."""
    found = {}
    for number, change in enumerate(changes, 1):
        found.setdefault(re.sub(r"[0-9a-f]{12,}|\d+", "#", change), [number, number])[1] = number
    return sorted({number for ends in found.values() for number in ends})


def writes(changes):
    return [number for number in distinct(changes) if changes[number - 1].partition(" ")[0] in WRITES]


def kill(chaos, name, moments):
    chaos.restore(name)
    for at in moments:
        ended = chaos.run(name, at=at, kill=signal.SIGKILL)
        if ended.code == 0:  # it went on where an earlier run had been killed, and had less to do
            chaos.restore(name)
            ended = chaos.run(name, at=at, kill=signal.SIGKILL)
        chaos.judge("SIGKILL", name, ended, (-signal.SIGKILL,), at, tidy=False)
    chaos.recovers(name)


def fail(chaos, name, moments, number):
    chaos.restore(name)
    for at in moments:
        ended = chaos.run(name, at=at, error=number)
        chaos.judge(os.strerror(number), name, ended, REFUSED, at)
        if ended.code == 0:
            chaos.restore(name)
    chaos.recovers(name)


def stop(chaos, name, number, times, moments):
    """Sends a signal at some times, and at some changes of files."""
    chaos.restore(name)
    for how in [{"number": number, "after": t} for t in times] + [{"kill": number, "at": at} for at in moments]:
        ended = chaos.run(name, **how)
        if ended.code == 0:  # it had ended before
            chaos.judge(number.name, name, ended, (0,), how)
            chaos.restore(name)
        else:
            chaos.judge(number.name, name, ended, CODES[number], how, within_s=SOON_S if "after" in how else None)
    chaos.recovers(name)


def test_a_sample_of_faults(chaos):
    """One test, because each process that runs tests would make the state that commands start from."""
    for name in ("deploy", "pull", "import"):
        changes = chaos.usual(name).changes
        kill(chaos, name, spread(3, len(changes)))
    for name in ("deploy", "pull"):
        moments = writes(chaos.usual(name).changes)
        fail(chaos, name, [moments[i - 1] for i in spread(3, len(moments))], errno.ENOSPC)
    usual = chaos.usual("deploy")
    for number in CODES:
        stop(chaos, "deploy", number, [usual.seconds / 2], spread(1, len(usual.changes), seed=number))
    for name in ("deploy", "pull", "import"):
        chaos.verdict(name)


@pytest.mark.chaos
@pytest.mark.parametrize("name", COMMANDS)
def test_death_at_every_kind_of_change(chaos, name):
    changes = chaos.usual(name).changes
    kill(chaos, name, sorted({*distinct(changes), *spread(KILLS, len(changes))}))
    chaos.verdict(name)


@pytest.mark.chaos
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_at_every_kind_of_write(chaos, name):
    fail(chaos, name, writes(chaos.usual(name).changes), errno.ENOSPC)
    chaos.verdict(name)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["deploy", "pull", "train"])
def test_a_failing_disk(chaos, name, number):
    moments = writes(chaos.usual(name).changes)
    fail(chaos, name, [moments[i - 1] for i in spread(10, len(moments), seed=number)], number)
    chaos.verdict(name)


@pytest.mark.chaos
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_random_times(chaos, name, number):
    usual, chance = chaos.usual(name), random.Random(f"{name} {number}")
    times = [chance.uniform(0, usual.seconds) for _ in range(SIGNALS)]
    stop(chaos, name, number, times, spread(SIGNALS, len(usual.changes), seed=number))
    chaos.verdict(name)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [*CODES, signal.SIGKILL])
def test_signals_while_a_real_device_measures(chaos, number):
    """Started as users start it: it still imports, and the measuring happens in a worker process."""
    box, chance, name = chaos.box, random.Random(number), "calibrate"
    chaos.restore(name)
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    command = [sys.executable, "-m", "nagsdk", "calibrate", "--device", "cpu", "--samples", "5"]

    def start():
        return subprocess.Popen(
            command, cwd=box.work, env={**box.environment, "PYTHONPATH": paths}, stderr=subprocess.PIPE, text=True
        )

    for _ in range(SIGNALS):
        process, after = start(), chance.uniform(0.5, 15)
        time.sleep(after)
        began = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=300)[1]
        ended = Ended(process.returncode, time.monotonic() - began, said, [])
        killed = number == signal.SIGKILL
        codes = (0, -signal.SIGKILL) if killed else (0, *CODES[number])
        chaos.judge(f"{number.name}, real device", name, ended, codes, after, tidy=not killed, within_s=SOON_S)
    process = start()
    assert process.communicate(timeout=600)[1] is not None and process.returncode == 0
    assert chaos.box.left() == []
    chaos.verdict(name)
