"""Standard streams that are closed, full, or read by nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
GENERATE = [sys.executable, "-m", "nagsdk", "generate", "--device", "cpu", "--budget", "2MMACs", "--json"]


def run(command, **options):
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def test_a_pipe_without_reader_is_refused_before_the_work():
    reader = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    reader.wait()
    done = run(GENERATE, stdout=reader.stdin)
    reader.stdin.close()
    assert done.returncode == 2 and "reads it has ended" in done.stderr


def test_a_reader_that_ends_early_is_no_fault():
    """As ``head`` does."""
    program = (
        "import click, nagsdk.cli as cli\n"
        "cli.COMMANDS = {'long': ('long', '')}\n"
        "cli.LazyGroup.get_command = lambda *_: click.Command('long', callback=lambda: click.echo('x' * 10**6))\n"
        "cli.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", program, "long"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_standard_output_is_said():
    with Path("/dev/full").open("w") as full:
        done = run(GENERATE, stdout=full)
    assert done.returncode == 2 and "disk is full" in done.stderr and "Exception ignored" not in done.stderr


def test_no_file_takes_the_place_of_a_closed_stream():
    done = run(["sh", "-c", 'exec "$@" >&-', "sh", *GENERATE], stdout=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == ""
