"""Series of one kind of fault, at many moments of a command."""

import os
import random
import re
import signal

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
    chaos.finish(name)


def fail(chaos, name, moments, number):
    chaos.restore(name)
    for at in moments:
        ended = chaos.run(name, at=at, error=number)
        chaos.judge(os.strerror(number), name, ended, REFUSED, at)
        if ended.code == 0:
            chaos.restore(name)
    chaos.finish(name)


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
    chaos.finish(name)
