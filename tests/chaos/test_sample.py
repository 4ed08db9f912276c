"""A small sample of the faults of `test_every_moment.py`."""

import errno
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("reads /proc to see what a command leaves", allow_module_level=True)

from tests.chaos.series import CODES, fail, kill, spread, stop, writes


def test_a_sample_of_faults(chaos):
    """One test, because each process that runs tests would make the state that commands start from."""
    for name in ("deploy", "pull", "import"):
        changes = chaos.usual(name).changes
        kill(chaos, name, spread(1, len(changes)))
    for name in ("deploy", "pull"):
        moments = writes(chaos.usual(name).changes)
        fail(chaos, name, [moments[i - 1] for i in spread(1, len(moments))], errno.ENOSPC)
    usual = chaos.usual("deploy")
    by_time, by_change = CODES
    stop(chaos, "deploy", by_time, [usual.seconds / 2], [])
    stop(chaos, "deploy", by_change, [], spread(1, len(usual.changes), seed=by_change))
