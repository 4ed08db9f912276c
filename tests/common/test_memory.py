"""Memory that a training keeps; page faults tell whether the system gave out fresh pages."""

import subprocess
import sys

import pytest

from nagsdk.common.memory import memory_kept

COUNT = """
import resource
import numpy as np
from contextlib import nullcontext
from nagsdk.common.memory import memory_kept

def faults(way):
    with way():
        with way():
            pass
        np.ones(10**7)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            np.ones(10**7)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(nullcontext), faults(memory_kept), faults(nullcontext))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is the C library of Linux")
def test_freed_memory_is_used_again_inside_only():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, timeout=120)
    before, inside, after = map(int, done.stdout.split())
    assert inside < min(before, after) / 10


def test_other_c_libraries_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with memory_kept():
        pass
