"""Standard output belongs to results: what libraries print to it goes elsewhere."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
from nagsdk.cli.own_process import set_up
set_up()
os.write(1, b"NOISE")
print("result")
print(os.environ.get("OMP_NUM_THREADS", "-"))
"""


def run(script, **streams):
    return subprocess.run([sys.executable, "-c", script], text=True, check=True, **streams)


def test_results_are_apart_from_what_libraries_print():
    done = run(SCRIPT, capture_output=True)
    assert done.stdout.split()[0] == "result" and done.stderr == "NOISE"


def test_one_place_for_both_stays_one():
    done = run(SCRIPT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert set(done.stdout.split()[0:1]) <= {"NOISEresult", "NOISE"} and "result" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors as a POSIX shell does")
@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_descriptor_is_no_error(closed):
    script = f"import os, sys; os.close({closed})\nfrom nagsdk.cli.own_process import set_up; set_up(); os._exit(0)"
    assert run(script, capture_output=True).returncode == 0


def test_an_output_that_is_not_the_descriptor_stays(monkeypatch, capsys):
    from nagsdk.cli import own_process

    before = sys.stdout
    own_process._keep_output()
    assert sys.stdout is before


@pytest.mark.parametrize(("quota", "given", "told"), [(1.5, None, "1"), (None, None, None), (1.5, "7", "7")])
def test_a_quota_limits_the_threads_of_libraries(monkeypatch, quota, given, told):
    import os

    from nagsdk.cli import own_process
    from nagsdk.common import cores

    monkeypatch.setenv("OMP_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    own_process._keep_quota()
    assert os.environ.get("OMP_NUM_THREADS") == told
