"""Whatever a file holds: it is read and can be used, or an error of ours says what is wrong with it.

`python -m pytest -m chaos tests/fuzz` runs 100,000 cases and prints how many of each format were accepted; the usual
tests run 2,000. The cases depend on nothing but their number, so that a failure comes again.
"""

import os
import random
import signal
import sys
import time
import traceback
import warnings

import pytest

from nagsdk.errors import NagsdkError
from tests.fuzz.formats import FORMATS, clean

FEW, MANY = 2_000, 100_000
LEAST_OF_MANY = 300
_MOST_S, _MOST_BYTES = 10, 10**9
_SHARES = sum(kind.share for kind in FORMATS.values())
_TABLE = []


def cases_of(name, total):
    return max(round(total * FORMATS[name].share / _SHARES), 8)


def case(name, number):
    """A damaged content; the same number always gives the same one."""
    kind, rng = FORMATS[name], random.Random(f"{name} {number}")
    content = kind.sample()
    for _ in range(20):
        damaged = kind.damage(content, rng)
        if damaged != content:
            return damaged
    raise AssertionError(f"{name} cannot be damaged")


class Hang(BaseException):
    """No error that a reader could catch."""


def _ring(*_):
    raise Hang


def largest():
    """The most memory that this process ever had; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(name, numbers, folder):
    """Runs cases and returns how many were accepted, and what went wrong by number."""
    accepted, wrong, kind, slowest = 0, {}, FORMATS[name], 0.0
    rings = hasattr(signal, "setitimer")
    if rings:
        before = signal.signal(signal.SIGALRM, _ring)
    try:
        for number in numbers:
            clean(folder)
            content = case(name, number)
            began, memory = time.process_time(), largest()
            if rings:  # of processor time this process used; a busy machine hangs nothing
                signal.setitimer(signal.ITIMER_REAL, 6 * _MOST_S)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    kind.use(content, folder)
                accepted += 1
            except NagsdkError as error:
                if not (error.message.strip() and error.next_step.strip()):
                    wrong[number] = "the error has no message or no next step"
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                wrong[number] = "".join(traceback.format_exception(error))[-1500:]
            finally:
                if rings:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            slowest = max(slowest, time.process_time() - began)
            if time.process_time() - began > _MOST_S:
                wrong.setdefault(number, f"it took more than {_MOST_S} s")
            if largest() - memory > _MOST_BYTES:
                wrong.setdefault(number, f"it took more than {_MOST_BYTES / 1e9:.0f} GB")
    finally:
        if rings:
            signal.signal(signal.SIGALRM, before)
    return accepted, wrong, slowest


@pytest.mark.parametrize("name", FORMATS)
def test_valid_files_are_accepted(name, tmp_path):
    FORMATS[name].use(FORMATS[name].sample(), tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_damaged_files_of_every_format_are_refused_or_usable(name, tmp_path):
    _, wrong, _ = run(name, range(cases_of(name, FEW)), tmp_path / "case")
    assert wrong == {}


@pytest.mark.chaos
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files_of_every_format_are_refused_or_usable(name, tmp_path):
    numbers = range(max(cases_of(name, int(os.environ.get("NAGSDK_FUZZ_CASES", MANY))), LEAST_OF_MANY))
    accepted, wrong, slowest = run(name, numbers, tmp_path / "case")
    _TABLE.append((name, len(numbers), accepted, len(numbers) - accepted - len(wrong), len(wrong), slowest))
    first = "\n\n".join(f"case {number}:\n{text}" for number, text in list(wrong.items())[:5])
    assert not wrong, f"{len(wrong)} of {len(numbers)}; the first ones:\n{first}"


@pytest.fixture(scope="module", autouse=True)
def _table(pytestconfig):
    """Prints the table of counts at the end of the full run."""
    yield
    if _TABLE:
        row = "{:<28} {:>8} {:>9} {:>8} {:>6} {:>10}".format
        lines = [row("format", "cases", "accepted", "refused", "wrong", "slowest s")]
        lines += [row(*counts, f"{slowest:.2f}") for *counts, slowest in _TABLE]
        lines.append(row("together", *(sum(column) for column in list(zip(*_TABLE, strict=True))[1:5]), ""))
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            sys.stdout.write("\n" + "\n".join(lines) + "\n")
