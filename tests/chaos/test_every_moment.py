"""Commands that are killed, interrupted, or meet a full or broken disk, at every moment; `make chaos` runs this."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

if sys.platform != "linux":
    pytest.skip("reads /proc to see what a command leaves", allow_module_level=True)

from tests.chaos.sandbox import COMMANDS, Ended
from tests.chaos.series import CODES, SOON_S, distinct, fail, kill, spread, stop, writes
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.nightly
KILLS, SIGNALS = 30, 9  # for each command, beside the distinct changes; for each command, signal and way


@pytest.mark.parametrize("name", COMMANDS)
def test_death_at_every_kind_of_change(chaos, name):
    changes = chaos.usual(name).changes
    kill(chaos, name, sorted({*distinct(changes), *spread(KILLS, len(changes))}))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_at_every_kind_of_write(chaos, name):
    fail(chaos, name, writes(chaos.usual(name).changes), errno.ENOSPC)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("name", ["deploy", "pull", "train"])
def test_a_failing_disk(chaos, name, number):
    moments = writes(chaos.usual(name).changes)
    fail(chaos, name, [moments[i - 1] for i in spread(10, len(moments), seed=number)], number)


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("name", COMMANDS)
def test_signals_at_random_times(chaos, name, number):
    usual, chance = chaos.usual(name), random.Random(f"{name} {number}")
    times = [chance.uniform(0, usual.seconds) for _ in range(SIGNALS)]
    stop(chaos, name, number, times, spread(SIGNALS, len(usual.changes), seed=number))


@pytest.mark.parametrize("number", [*CODES, signal.SIGKILL])
def test_signals_while_a_real_device_measures(chaos, number):
    """Started as users start it: it still imports, and the measuring happens in a worker process."""
    box, chance, name = chaos.box, random.Random(number), "calibrate"
    chaos.restore(name)
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins")])
    command = [sys.executable, "-m", "nagsdk", "calibrate", "--device", "cpu", "--bundle", "./tiny"]

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
    chaos.verdict()
    process = start()
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0 and box.left() == [], said
