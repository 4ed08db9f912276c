"""Commands that are killed, interrupted, or meet a full or broken disk, at every moment.

The unmarked tests are a small sample. `make chaos` runs all of it and prints what happened.
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

from tests.chaos.faults import INTERRUPT, KILL, TERMINATE
from tests.chaos.sandbox import COMMANDS
from tests.conftest import REPOSITORY

KILLS, SIGNALS = 40, 17  # for each command, and for each command and signal
SOON_S = 3.0
WRITES = ("open", "os.mkdir", "os.rename", "write", "fsync", "sql", "sqlite3.connect")
CODES = {INTERRUPT: (130, -INTERRUPT), TERMINATE: (143, -TERMINATE)}


def spread(count, total, seed=0):
    """Numbers from 1 to `total`, spread evenly with a random beginning."""
    step = max(1.0, total / count)
    start = random.Random(seed).uniform(0, step)
    return sorted({min(total, int(start + i * step) + 1) for i in range(min(count, total))})


def writes(changes):
    """For every distinct write, its first and its last time; names without their random parts are the same write."""
    found = {}
    for number, change in enumerate(changes, 1):
        what, _, name = change.partition(" ")
        if what in WRITES:
            kind = (what, re.sub(r"[0-9a-f]{12,}|\d+", "#", name))
            found.setdefault(kind, [number, number])[1] = number
    return sorted({number for ends in found.values() for number in ends})


def kill(chaos, name, moments):
    chaos.restore(name)
    for at in moments:
        ended = chaos.run(name, at=at, kill=KILL)
        chaos.look(name)
        if ended.code == 0:  # it went on where an earlier run had been killed, and had less to do
            chaos.restore(name)
            ended = chaos.run(name, at=at, kill=KILL)
            chaos.look(name)
        chaos.count("kill -9", name, ended.code)
        assert ended.code in (-KILL, 0), ended.said
    ended = chaos.run(name)
    assert ended.code == 0, ended.said
    chaos.look(name)
    chaos.nothing_left()


def fail(chaos, name, moments, number):
    chaos.restore(name)
    for at in moments:
        ended = chaos.run(name, at=at, error=number)
        chaos.count(os.strerror(number), name, ended.code)
        assert ended.code in (0, 2, 4, 5, 7), (at, ended)
        assert "Traceback" not in ended.said and "bug in nagsdk" not in ended.said, (at, ended.said)
        chaos.look(name)
        chaos.nothing_left()
        if ended.code == 0:
            chaos.restore(name)
    assert chaos.run(name).code == 0
    chaos.look(name)


def stop(chaos, name, number, times=(), moments=(), within_s=None):
    chaos.restore(name)
    tries = [{"number": number, "after": after} for after in times] + [{"kill": number, "at": at} for at in moments]
    for how in tries:
        ended = chaos.run(name, **how)
        kind = signal.Signals(number).name
        chaos.count(kind, name, ended.code, ended.seconds if "after" in how and ended.code else None)
        assert ended.code in (0, *CODES[number]), (how, ended)
        assert "Traceback" not in ended.said, (how, ended.said)
        if within_s is not None and "after" in how and ended.code:
            assert ended.seconds <= within_s, (how, ended)
        chaos.look(name)
        chaos.nothing_left()
        if ended.code == 0:
            chaos.restore(name)


@pytest.mark.parametrize("name", ["deploy", "pull", "import"])
def test_some_deaths(chaos, name):
    kill(chaos, name, spread(3, len(chaos.usual(name).changes)))


@pytest.mark.parametrize("name", ["deploy", "pull"])
def test_some_full_disks(chaos, name):
    moments = writes(chaos.usual(name).changes)
    fail(chaos, name, [moments[i - 1] for i in spread(3, len(moments))], errno.ENOSPC)


@pytest.mark.parametrize("number", [INTERRUPT, TERMINATE])
def test_some_signals(chaos, number):
    moments = spread(2, len(chaos.usual("deploy").changes), seed=number)
    stop(chaos, "deploy", number, [chaos.usual("deploy").seconds / 2], moments)


@pytest.mark.chaos
@pytest.mark.parametrize("name", COMMANDS)
def test_death_at_every_moment(chaos, name):
    kill(chaos, name, spread(KILLS, len(chaos.usual(name).changes)))


@pytest.mark.chaos
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_at_every_write(chaos, name):
    fail(chaos, name, writes(chaos.usual(name).changes), errno.ENOSPC)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["deploy", "pull", "train"])
def test_a_failing_disk(chaos, name, number):
    moments = writes(chaos.usual(name).changes)
    fail(chaos, name, [moments[i - 1] for i in spread(10, len(moments), seed=number)], number)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [INTERRUPT, TERMINATE])
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_every_time(chaos, name, number):
    usual, chance = chaos.usual(name), random.Random(f"{name} {number}")
    times = [chance.uniform(0, usual.seconds) for _ in range(SIGNALS)]
    stop(chaos, name, number, times, spread(SIGNALS, len(usual.changes), seed=number), SOON_S)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [INTERRUPT, TERMINATE])
def test_signals_while_a_real_device_is_calibrated(chaos, number):
    """In a process of its own, which still imports."""
    box, chance = chaos.box, random.Random(number)
    chaos.restore("calibrate")
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    command = [sys.executable, "-m", "nagsdk", "calibrate", "--device", "cpu", "--samples", "5"]
    for _ in range(SIGNALS):
        process = subprocess.Popen(
            command, cwd=box.work, env={**box.environment, "PYTHONPATH": paths}, stderr=subprocess.PIPE, text=True
        )
        # Earlier, Python itself starts, and no command can handle a signal.
        time.sleep(chance.uniform(0.5, 15))
        began = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        seconds = time.monotonic() - began
        chaos.count(signal.Signals(number).name, "a real one", process.returncode, seconds)
        assert process.returncode in (0, *CODES[number]), said
        assert "Traceback" not in said and seconds <= SOON_S, said
        chaos.look("calibrate")
        chaos.nothing_left()
