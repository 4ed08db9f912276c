"""Signals, with real processes: one that unwinds, one that does not, and what either leaves."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# A program in which the command is replaced by some code; it says "ready" when the code runs.
PROGRAM = """
import sys, threading, time, pathlib, subprocess
import nagsdk.cli as cli
from nagsdk.common.unfinished import undoing

def command(**_):
    print("ready", flush=True)
    {code}

cli.cli.main = command
cli.main()
"""
ASLEEP = "time.sleep(600)"
# Swallows the interruption, as some libraries do.
DEAF = """
    while True:
        try: time.sleep(600)
        except KeyboardInterrupt: pass
"""
IN_A_LIBRARY = "__import__('hashlib').pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)"
WITH_A_THREAD = "threading.Thread(target=time.sleep, args=(600,)).start(); time.sleep(600)"


def heard():
    """Lets a started process hear Ctrl-C, which a shell ignores in the background, and the end of its terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and what it starts inherits that


STOPS = [ASLEEP, DEAF, IN_A_LIBRARY, WITH_A_THREAD]


def start(code, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(code=code)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
        **options,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("code", STOPS, ids=["asleep", "deaf", "in a library", "with a thread"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_wherever_it_is(code, number):
    process = start(code)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)  # without the guard, it would take ten minutes
    assert process.returncode == 128 + number
    assert said.startswith("stopping…\n") and "Traceback" not in said


def test_no_exception_gets_into_a_module_that_sets_itself_up(tmp_path):
    """Native ones would abort the process."""
    module = """
import time
print("made", flush=True)
while True:
    try: time.sleep(600)
    except KeyboardInterrupt: print("interrupted", flush=True)
"""
    (tmp_path / "native.py").write_text(module)
    process = start(f"sys.path.insert(0, {str(tmp_path)!r}); import native")
    assert process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (143, "") and errors.startswith("stopping…\n")


def test_a_second_signal_ends_the_command_at_once_and_still_cleans_up(tmp_path):
    partial = tmp_path / "partial"
    partial.touch()
    code = f"""
    with undoing(pathlib.Path({str(partial)!r}).unlink):
        print("made", flush=True)
        {DEAF.replace("    ", "        ").strip()}"""
    process = start(code)
    assert process.stdout.readline() == "made\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "stopping…\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and not list(tmp_path.iterdir())


def test_children_and_theirs_end_with_the_command():
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    child += "print('ready', flush=True); time.sleep(600)"
    code = f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True){DEAF}"
    process = start(code)
    # What other programs print goes to standard error; the grandchild holds this pipe open.
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)  # ends only when nobody holds the pipe
    assert process.returncode == 143


def test_an_ignored_signal_stays_ignored():
    """As under nohup."""
    code = "sys.stdin.readline(); sys.exit(7)"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(code=code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate("go\n", timeout=60)
    assert process.returncode == 7


def test_a_forked_process_keeps_its_signals_to_itself():
    code = (
        "import os; read, write = os.pipe(); child = os.fork() or os.write(write, b'.') and time.sleep(600); "
        "os.read(read, 1); os.kill(child, 15); sys.exit(os.waitpid(child, 0)[1])"
    )
    process = start(code)
    process.communicate(timeout=60)
    assert process.returncode == signal.SIGTERM


def test_nothing_waits_for_a_reader_of_standard_error():
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 65536)
    except BlockingIOError:
        pass
    os.set_blocking(write, True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(code=ASLEEP)],
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
        preexec_fn=heard,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    os.close(read)
    os.close(write)
